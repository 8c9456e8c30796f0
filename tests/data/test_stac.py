"""STAC items of the public catalogues, rebuilt by hand over tiny rasters: sensor, bands, units and files."""

import copy
import json
import random

import numpy as np
import pytest
import rasterio

from geolangbind.data.rasters import open_raster, read_raster
from geolangbind.data.stac import is_item, locate, read_item
from geolangbind.errors import DataError, GeoLangBindError, SensorError, UnitError
from geolangbind.sensors import Unit, get_sensor

DN = np.random.default_rng(0).integers(1300, 4000, (4, 8, 8)).astype(np.uint16)
TIFF = "image/tiff; application=geotiff; profile=cloud-optimized"


@pytest.fixture
def item(tmp_path):
    """`item(assets, collection=..., **properties)`: write item.json and return its path."""

    def write(assets, collection=None, version="1.0.0", name="scene", **properties):
        raw = {"type": "Feature", "stac_version": version, "id": name, "geometry": None, "links": [], "assets": assets}
        raw |= {"properties": {"datetime": "2023-06-01T10:00:00Z", **properties}, **({"collection": collection} if collection else {})}
        path = tmp_path / "item.json"
        path.write_text(json.dumps(raw))
        return path

    return write


def asset(href, roles=("data",), **fields):
    return {"href": href, "type": TIFF, "roles": list(roles), **fields}


def earth_search(tif, folder):
    """Assets as in Earth Search v1: colour names, jp2 copies of the same bands, a colour picture and classes."""
    bands = {"blue": ("blue", 0.49, 10), "rededge1": ("rededge", 0.704, 20), "nir": ("nir", 0.842, 10), "swir22": ("swir22", 2.19, 20)}
    assets = {}
    for number, (key, (common, um, gsd)) in enumerate(bands.items()):
        fine = gsd == 10
        tif(folder / f"{key}.tif", DN[number : number + 1, :: 1 if fine else 2, :: 1 if fine else 2], pixel=float(gsd))
        eo = [{"name": key, "common_name": common, "center_wavelength": um, "full_width_half_max": 0.1}]
        raster = [{"nodata": 0, "data_type": "uint16", "spatial_resolution": gsd, "scale": 0.0001, "offset": -0.1}]
        assets[key] = asset(f"./{key}.tif", ["data", "reflectance"], **{"eo:bands": eo, "raster:bands": raster})
        assets[f"{key}-jp2"] = {**assets[key], "href": f"s3://sentinel-s2-l2a/{key}.jp2", "type": "image/jp2"}
    tif(folder / "TCI.tif", DN[:3].astype(np.uint8))
    colours = [{"name": name, "common_name": name} for name in ("red", "green", "blue")]
    assets["visual"] = asset("TCI.tif", ["visual"], **{"eo:bands": colours})
    assets["scl"] = asset("SCL.tif", ["data"], **{"raster:bands": [{"nodata": 0}]})
    assets["thumbnail"] = {"href": "https://x.org/t.jpg", "type": "image/jpeg", "roles": ["thumbnail"]}
    return assets


S2 = {"platform": "sentinel-2b", "constellation": "sentinel-2", "instruments": ["msi"]}


@pytest.mark.parametrize(
    ("facts", "offset"),
    [
        # the assets state -0.1 in all of them, as Earth Search does
        ({"s2:processing_baseline": "05.09", "earthsearch:boa_offset_applied": True}, 0.0),
        ({"s2:processing_baseline": "05.09", "earthsearch:boa_offset_applied": False}, -0.1),
        ({"s2:processing_baseline": "02.14", "earthsearch:boa_offset_applied": False}, 0.0),
        ({"s2:product_uri": "S2B_MSIL2A_20230601T101559_N0509_R065_T32TQM_20230601T150000.SAFE"}, -0.1),
        ({"processing:version": "05.11"}, -0.1),
        ({}, -0.1),
    ],
)
def test_earth_search_the_offset_follows_flag_then_baseline_then_asset(tif, tmp_path, item, facts, offset):
    path = item(earth_search(tif, tmp_path), "sentinel-2-l2a", **S2, **facts)
    raster = read_raster(path)
    assert (raster.sensor.name, raster.sensor.platform, raster.unit) == ("sentinel-2-l2a", "S2B", Unit.REFLECTANCE)
    assert [band.name for band in raster.bands] == ["B02", "B05", "B08", "B12"] and raster.image.shape == (4, 8, 8)
    np.testing.assert_allclose(raster.image[[0, 2]], DN[[0, 2]] / 10000 + offset, atol=1e-6)
    # the record of the satellite is exact where the catalogue rounds
    assert raster.channels.wavelengths_um == (0.4923, 0.7038, 0.8329, 2.1857)
    assert raster.notes[0] == "STAC item scene 2023-06-01T10:00:00Z" and any("resampled to 8 x 8" in note for note in raster.notes)


def test_bands_select_and_the_missing_are_named(tif, tmp_path, item):
    path = item(earth_search(tif, tmp_path), "sentinel-2-l2a", **S2, **{"earthsearch:boa_offset_applied": True})
    assert [band.name for band in read_raster(path, bands=["b8", "B02"]).bands] == ["B08", "B02"]
    with pytest.raises(SensorError, match="has no band B03 of sentinel-2-l2a; it has B02,B05,B08,B12"):
        open_raster(path, bands=["B03"])
    (tmp_path / "nir.tif").unlink()
    with pytest.raises(DataError, match=r"asset 'nir' is not there \('./nir.tif'\).*--bands B02,B05,B12"):
        open_raster(path)
    assert len(open_raster(path, bands=["B02", "B12"]).bands) == 2


def test_planetary_computer_sentinel_2(tif, tmp_path, item):
    """No scale in the item, bands named as in the product, `visual` with the role data, signed places far away."""
    assets = {}
    for number, (name, um) in enumerate([("B04", 0.665), ("B03", 0.56), ("B02", 0.49)]):
        file = f"T32TQM_20230601T101559_{name}_10m.tif"
        tif(tmp_path / file, DN[number : number + 1])
        eo = [{"name": name, "common_name": "any", "center_wavelength": um}]
        assets[name] = asset(f"https://sentinel2l2a01.blob.core.windows.net/{file}?st=2023&sig=x%3D", **{"eo:bands": eo})
    tif(tmp_path / "TCI.tif", DN[:3].astype(np.uint8))
    assets["visual"] = asset("TCI.tif", **{"eo:bands": [{"name": name} for name in ("B04", "B03", "B02")]})
    facts = {"platform": "Sentinel-2A", "constellation": "Sentinel 2", "s2:product_type": "S2MSI2A", "s2:processing_baseline": "05.09"}
    raster = read_raster(item(assets, "sentinel-2-l2a", **facts))
    assert [band.name for band in raster.bands] == ["B02", "B03", "B04"] and raster.sensor.platform == "S2A"
    np.testing.assert_allclose(raster.image, DN[[2, 1, 0]] / 10000 - 0.1, atol=1e-6)


def test_copernicus_data_space_stac_1_1(tif, tmp_path, item):
    """`bands` with prefixed fields, scale and offset of the asset, each band in several resolutions."""
    tif(tmp_path / "B05_20m.tif", DN[:1, ::2, ::2], pixel=20.0)
    tif(tmp_path / "B02_10m.tif", DN[:1])
    tif(tmp_path / "B02_20m.tif", DN[1:2, ::2, ::2], pixel=20.0)
    stated = {"raster:scale": 0.0001, "raster:offset": -0.1, "nodata": 0}
    blue = [{"name": "B02", "eo:common_name": "blue", "eo:center_wavelength": 0.49, "eo:full_width_half_max": 0.098}]
    assets = {
        "B02_20m": asset("B02_20m.tif", ["data", "sampling:downsampled"], gsd=20, bands=blue, **stated),
        "B02_10m": asset("B02_10m.tif", ["data", "sampling:original"], gsd=10, bands=blue, **stated),
        "B05_20m": asset("B05_20m.tif", ["data"], gsd=20, bands=[{"name": "B05"}], **stated),
    }
    name = "S2A_MSIL2A_20230601T101559_N0509_R065_T32TQM_20230601T150000"
    raster = read_raster(item(assets, version="1.1.0", name=name, constellation="sentinel-2", **{"product:type": "S2MSI2A"}))
    assert [band.name for band in raster.bands] == ["B02", "B05"]
    np.testing.assert_allclose(raster.image[0], DN[0] / 10000 - 0.1, atol=1e-6)


def test_landsat_reflectance_and_temperature(tif, tmp_path, item):
    tif(tmp_path / "red.tif", DN[:1] * 5)
    tif(tmp_path / "lwir.tif", DN[1:2] * 10)
    red = {"eo:bands": [{"name": "OLI_B4", "common_name": "red", "center_wavelength": 0.65, "full_width_half_max": 0.04}]}
    warm = {"eo:bands": [{"name": "TIRS_B10", "common_name": "lwir11", "center_wavelength": 10.9, "full_width_half_max": 0.59}]}
    red["raster:bands"] = [{"scale": 2.75e-05, "offset": -0.2, "nodata": 0, "unit": None}]
    warm["raster:bands"] = [{"scale": 0.00341802, "offset": 149.0, "nodata": 0, "unit": "kelvin"}]
    assets = {"red": asset("red.tif", **red), "lwir11": asset("lwir.tif", **warm), "qa": asset("qa.tif"), "emis": asset("emis.tif")}
    path = item(assets, "landsat-c2-l2", platform="landsat-9", instruments=["oli", "tirs"])
    with pytest.raises(UnitError, match=r"--bands SR_B4 \(reflectance\) or --bands ST_B10"):
        open_raster(path)
    np.testing.assert_allclose(read_raster(path, bands=["B4"]).image[0], DN[0] * 5.0 * 2.75e-5 - 0.2, atol=1e-6)
    warm_raster = read_raster(path, bands=["B10"])
    np.testing.assert_allclose(warm_raster.image[0], DN[1] * 10.0 * 0.00341802 + 149, rtol=1e-6)
    assert warm_raster.unit is Unit.SURFACE_TEMPERATURE_K and any("scale and offset of the item" in note for note in warm_raster.notes)
    with pytest.raises(SensorError, match="does not say which sensor"):
        open_raster(item(assets, "landsat-c2-l2", platform="landsat-7"))


def test_radar_elevation_and_aerial_items(tif, tmp_path, item):
    power = (DN[:1] / 10000).astype(np.float32)
    power[0, 0, 0] = -32768
    for name in ("vv", "vh"):
        tif(tmp_path / f"{name}.tif", power)
    assets = {name: asset(f"{name}.tif", **{"raster:bands": [{"nodata": -32768, "data_type": "float32"}]}) for name in ("vh", "vv")}
    radar = {"platform": "SENTINEL-1A", "sar:frequency_band": "C", "sar:center_frequency": 5.405, "sar:product_type": "GRD"}
    path = item(assets, "sentinel-1-rtc", **radar)
    with pytest.raises(UnitError, match="comes in several; say --unit"):
        open_raster(path)
    raster = read_raster(path, unit="gamma0_linear")
    assert raster.channels.kinds == ("gamma0_vv_c", "gamma0_vh_c") and not raster.valid[0, 0] and raster.valid.sum() == 63
    np.testing.assert_allclose(raster.image[0][raster.valid], 10 * np.log10(power[0][raster.valid]), rtol=1e-5)
    for wrong in ({"sar:center_frequency": 9.65}, {"sar:frequency_band": "X", "sar:center_frequency": None}):
        with pytest.raises(SensorError, match="its radar"):
            open_raster(item(assets, "sentinel-1-rtc", **{**radar, **wrong}))

    heights = tif(tmp_path / "dem.tif", DN[:1].astype(np.float32))
    dem = item({"data": asset(heights.as_uri())}, "cop-dem-glo-30", platform="TanDEM-X", gsd=30)
    np.testing.assert_array_equal(read_raster(dem).image, DN[:1])

    tif(tmp_path / "m_1 2.tif", DN.astype(np.uint8))
    colours = [{"name": name, "common_name": name.lower()} for name in ("Red", "Green", "Blue", "NIR")]
    aerial = read_raster(item({"image": asset("m_1%202.tif", **{"eo:bands": colours})}, "naip", **{"naip:year": "2020"}))
    assert [band.name for band in aerial.bands] == ["R", "G", "B", "N"]


def test_a_spectrometer_takes_the_wavelengths_of_the_item(tif, tmp_path, item):
    tif(tmp_path / "cube.tif", DN[:3].astype(np.int16))
    bands = [
        {"name": f"band {k}", "center_wavelength": um, "full_width_half_max": 0.0066} for k, um in ((1, 0.4183), (2, 0.4239), (3, 0.4293))
    ]
    stated = {"eo:bands": bands, "raster:scale": 0.0001, "nodata": -32768}
    facts = {"platform": "EnMAP", "processing:level": "L2A", "hsi:wavelength_min": 0.418, "hsi:wavelength_max": 2.445}
    raster = read_raster(item({"image": asset("cube.tif", **stated)}, **facts))
    assert raster.sensor.name == "enmap-l2a" and raster.channels.wavelengths_um == (0.4183, 0.4239, 0.4293)
    np.testing.assert_allclose(raster.image, DN[:3] / 10000, rtol=1e-6)
    with pytest.raises(SensorError, match="lie outside those of enmap-l2a"):
        open_raster(item({"image": asset("cube.tif", **stated)}, **{**facts, "hsi:wavelength_min": 7.5, "hsi:wavelength_max": 12.0}))


def test_contradictions_are_refused(tif, tmp_path, item):
    assets = earth_search(tif, tmp_path)
    assets["nir"]["eo:bands"][0]["center_wavelength"] = 0.665
    assets["nir"]["eo:bands"][0]["name"] = "B08"
    with pytest.raises(SensorError, match=r"asset 'nir' calls a band B08 and gives it the wavelength 0\.665 µm, but B08 .* 0\.8329"):
        open_raster(item(assets, "sentinel-2-l2a", **S2))
    assets = earth_search(tif, tmp_path)
    assets["nir"]["raster:bands"].append({})
    with pytest.raises(DataError, match="has 1 eo:bands but 2 raster:bands"):
        open_raster(item(assets, "sentinel-2-l2a", **S2))
    assets = {**earth_search(tif, tmp_path), "nir": asset("TCI.tif", **{"eo:bands": [{"name": "B08"}]})}
    with pytest.raises(DataError, match=r"lists 1 bands in asset 'nir', but TCI.tif has 3"):
        open_raster(item(assets, "sentinel-2-l2a", **S2))
    with pytest.raises(SensorError, match=r"fits sentinel-2-l1c and sentinel-2-l2a.*say --sensor"):
        open_raster(item(earth_search(tif, tmp_path), "sentinel-2-l2a", **S2, **{"s2:product_type": "S2MSI1C"}))
    with pytest.raises(SensorError, match="none of its assets 'x', 'y' is a band of naip"):
        open_raster(item({"x": asset("x.tif"), "y": asset("y.tif")}), sensor="naip")


def test_no_data_marks(tif, tmp_path, item):
    numbers = DN[:2].astype(np.float32)
    numbers[0, 0, 0] = 7
    tif(tmp_path / "x.tif", numbers, names=["B02", "B03"])
    facts = {"eo:bands": [{"name": "B02"}, {"name": "B03"}]}

    def valid(first, second, sensor="sentinel-2-l2a"):
        marked = asset("x.tif", **facts, **{"raster:bands": [{"nodata": first}, {"nodata": second}]})
        return read_raster(item({"x": marked}, "c"), sensor=sensor, scale=1e-4, offset=0).valid.sum()

    assert [valid(7, 7), valid("nan", "nan"), valid(7, None), valid(1e308, 1e308)] == [63, 64, 63, 64]
    with pytest.raises(DataError, match=r"different 'nodata' \(7\.0, 8\.0\)"):
        valid(7, 8)


def test_said_goes_before_the_item(tif, tmp_path, item):
    path = item(earth_search(tif, tmp_path), "sentinel-2-l2a", **S2, **{"s2:processing_baseline": "05.09"})
    raster = read_raster(path, sensor="sentinel-2-l1c", platform="S2A", offset=-0.05, scale=2e-4, bands=["B02"])
    assert (raster.sensor.name, raster.sensor.platform) == ("sentinel-2-l1c", "S2A")
    np.testing.assert_allclose(raster.image[0], DN[0] * 2e-4 - 0.05, atol=1e-6)


def test_no_item_and_no_way_out_of_files(tif, tmp_path, item):
    labels = tmp_path / "labels.json"
    labels.write_text('{"type": "FeatureCollection"}')
    assert not is_item(labels) and not is_item(tmp_path / "none.json")
    with pytest.raises(DataError, match="is no STAC item"):
        open_raster(labels)
    labels.write_text("[" * 100_000)
    with pytest.raises(DataError, match="cannot be read as JSON"):
        open_raster(labels)
    virtual = tmp_path / "x.vrt"
    virtual.write_text("<VRTDataset/>")
    for href in ("x.vrt", "/vsicurl/https://x.org/a.tif", "../../../etc/passwd", "http://[", "a\u0000b.tif", "x" * 5000 + ".tif", "."):
        found = read_item(item({"B02": asset("a.tif")}))
        assert locate(found, type(found.assets[0])(**{**vars(found.assets[0]), "href": href})) is None


def test_terramesh_and_bigearthnet_equal_rasterio(shared, tmp_path, item):
    real = shared / "data" / "real"
    patch = real / "coreg_s1_s2_dem_lulc_terramesh" / "282D_485L_3_3"
    s2_bands = [{"name": band.name} for band in get_sensor("sentinel-2-l2a").bands]
    assets = {
        "s2": asset(str(patch / "S2L2A.tif"), bands=s2_bands),
        "s1": asset(str(patch / "S1RTC.tif"), bands=[{"sar:polarizations": ["VV"]}, {"sar:polarizations": ["VH"]}]),
        "dem": asset(str(patch / "DEM.tif"), bands=[{"name": "elevation"}]),
    }
    path = item(assets, version="1.1.0")
    for sensor, said, name, divisor in (
        ("s2-l2a", {"offset": 0}, "S2L2A", 10000), ("s1", {"unit": "gamma0_db"}, "S1RTC", 1), ("cop-dem", {}, "DEM", 1),
    ):  # fmt: skip
        with rasterio.open(patch / f"{name}.tif") as file:
            expected = file.read() / divisor
        np.testing.assert_allclose(read_raster(path, sensor=sensor, **said).image, expected, rtol=1e-5, atol=1e-6)

    scene = real / "coreg_s1_s2_bigearthnet" / "S2A_MSIL2A_20170613T101031_87_48"
    files = {file.stem.rsplit("_", 1)[1]: file for file in scene.glob("S2A*.tif")}
    path = item({name: asset(str(file)) for name, file in files.items()}, name=scene.name, **{"s2:processing_baseline": "02.05"})
    raster, folder = read_raster(path), read_raster(scene, sensor="s2-l2a", offset=0)
    assert raster.bands == folder.bands and raster.sensor.platform == "S2A" and len(raster.bands) == 12
    np.testing.assert_array_equal(raster.image, folder.image)


def paths_in(raw, place=()):
    """Every place in a JSON tree, as tuples of keys."""
    entries = raw.items() if isinstance(raw, dict) else enumerate(raw) if isinstance(raw, list) else ()
    for key, value in entries:
        yield (*place, key)
        yield from paths_in(value, (*place, key))


def test_mutated_items_end_in_one_line_or_an_image(tif, tmp_path, item):
    path = item(earth_search(tif, tmp_path), "sentinel-2-l2a", **S2, **{"s2:processing_baseline": "05.09"})
    whole = json.loads(path.read_text())
    rng = random.Random(6)
    values = [
        None, [], {}, True, -1, 0, 1e308, float("nan"), float("inf"), 10**4000, "", "nan", "__import__('os').system('x')",
        "../../etc/passwd", "/vsicurl/http://127.0.0.1/x.tif", "\ud800\n", ["x"], [[]], [1], {"name": {}}, "é" * 300,
    ]  # fmt: skip
    endings = []
    for _ in range(200):
        raw = copy.deepcopy(whole)
        *above, last = rng.choice(list(paths_in(raw)))
        owner = raw
        for key in above:
            owner = owner[key]
        if rng.random() < 0.25:
            del owner[last]
        else:
            owner[last] = rng.choice(values)
        try:
            path.write_text(json.dumps(raw))
        except ValueError:  # too many digits for Python's writer, not for a hostile one
            path.write_text(json.dumps(whole).replace("0.704", "9" * 5000))
        try:
            endings.append(open_raster(path).read().image.shape[1:])
        except GeoLangBindError as error:
            assert "\n" not in str(error) and str(error).encode()
            endings.append("refused")
    assert 60 < endings.count("refused") < 190
