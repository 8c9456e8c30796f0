"""Real rasters of all six modalities through an untrained model: what matters is how they are read, not the answer."""

import pytest

from geolangbind.data.rasters import open_raster
from geolangbind.evaluate.classify import classify, find_images, parse_labels, read_truth

TERRAMESH = "coreg_s1_s2_dem_lulc_terramesh/282D_485L_3_3"
EUROSAT_MS = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B09", "B10", "B11", "B12", "B8A"]
L1C = [*EUROSAT_MS[:8], "B8A", *EUROSAT_MS[8:12]]
UNITS = {
    "display": "display_u8",
    "gamma0": "gamma0_db",
    "reflectance": "reflectance",
    "brightness": "brightness_temperature_k",
    "elevation": "elevation_m",
}
CLASSES = {"forest": ("forest",), "water": ("open water",), "town": ("houses", "streets")}


@pytest.fixture(scope="module")
def real(shared):
    return shared / "data" / "real"


@pytest.mark.parametrize(
    ("path", "options", "bands", "kind", "gsd_m"),
    [
        ("eurosat/rgb/River/River_1.jpg", {"sensor": "sentinel-2-tci", "bands": ["R", "G", "B"]}, ["R", "G", "B"], "display", None),
        (
            "naip_north_dakota/m_4709963_se_14_1_20180716.tif", {"sensor": "naip", "bands": ["R", "G", "B", "N"]},
            ["R", "G", "B", "N"], "display", 5,
        ),
        (
            "sar_s1_camargue/S1A__IW___A_20150309T173017_VV_grd_mli_geo_norm_db.tif",
            {"sensor": "sentinel-1-grd", "unit": "gamma0_db"}, ["VV"], "gamma0_vv_c", 20,
        ),
        (f"{TERRAMESH}/S1RTC.tif", {"sensor": "sentinel-1-grd", "unit": "gamma0_db"}, ["VV", "VH"], "gamma0_vv_c gamma0_vh_c", 10),
        (
            "eurosat/ms/Forest/Forest_1.tif",
            {"sensor": "sentinel-2-l1c", "bands": EUROSAT_MS, "scale": 1e-4, "offset": 0.0}, EUROSAT_MS, "reflectance_toa", 10,
        ),
        (
            "s2_13band_new_zealand/20201002T221611_20201002T221610_T60HWB.tif", {"sensor": "sentinel-2-l1c", "bands": L1C, "offset": 0.0},
            L1C, "reflectance_toa", 10,
        ),
        (
            "coreg_s1_s2_bigearthnet/S2A_MSIL2A_20170613T101031_87_48", {"sensor": "sentinel-2-l2a", "offset": 0.0},
            [*EUROSAT_MS[:8], "B8A", "B09", "B11", "B12"], "reflectance_surface", 10,
        ),
        (
            "s2_ships_casablanca/casablanca_s2_l2a.tif", {"sensor": "sentinel-2-l2a", "scale": 1 / 65535, "offset": 0.0},
            ["B02", "B03", "B04", "B08", "B11"], "reflectance_surface", 8.33,
        ),
        ("hsi_enmap_potsdam/images/enmap_potsdam_tile_64_0.tif", {"sensor": "enmap-l2a"}, 202, "reflectance_surface", 30),
        (
            "landsat8_thermal_mendoza/l8_dn.tif", {"sensor": "landsat-8-9-l1", "bands": ["B10", "B11"]},
            ["B10", "B11"], "brightness_temperature", 30,
        ),
        (f"{TERRAMESH}/DEM.tif", {"sensor": "copernicus-dem"}, 1, "elevation", 10),
        ("dem_zion/srtm.tif", {"sensor": "srtm"}, 1, "elevation", 82.6),
    ],
    ids=lambda value: value.split("/")[0] + ":" + value.split("/")[-1][:12] if isinstance(value, str) and "/" in value else "",
)  # fmt: skip
def test_real_rasters_are_read_with_their_bands_and_units(real, model, path, options, bands, kind, gsd_m):
    raster = next(open_raster(real / path, **options).windows(64))
    names = [band.name for band in raster.bands]
    assert len(names) == bands if isinstance(bands, int) else names == bands
    assert set(raster.channels.kinds) == set(kind.split()) and raster.gsd_m == (None if gsd_m is None else pytest.approx(gsd_m, rel=0.01))
    guesses = list(classify(model, real / path, CLASSES, options, window_px=256))
    assert guesses and all(sum(guess.scores) == pytest.approx(1, abs=1e-5) for guess in guesses)
    listed = ", ".join(names) if len(names) < 20 else "202 bands B1 to B224"
    assert guesses[0].notes[0] == f"{options['sensor']} {listed} in {UNITS[kind.split('_')[0]]}"


def test_a_thermal_picture(real, model):
    path = min((real / "thermal_hit_uav" / "images").glob("*.jpg"))
    guesses = list(classify(model, path, CLASSES, {"sensor": "lwir-camera"}, window_px=512))
    assert len(guesses) == 1 and guesses[0].notes[0] == "lwir-camera LWIR in display_u8"


def test_eurosat_folders_give_images_and_truth(real):
    from geolangbind.paths import cards_dir

    classes = parse_labels(str(cards_dir() / "eurosat" / "card.yaml"))
    for kind, count, options in (
        ("rgb", 20, {"sensor": "sentinel-2-tci"}),
        ("ms", 4, {"sensor": "sentinel-2-l1c", "bands": EUROSAT_MS, "offset": 0.0}),
    ):
        paths = find_images(real / "eurosat" / kind, options)
        truth = read_truth("folder", paths, classes)
        assert {name: truth.count(name) for name in classes} == dict.fromkeys(classes, count)


def test_a_patch_folder_holds_two_sensors(real):
    """BigEarthNet lays radar and optical bands of one patch into one folder: which is meant is said by the sensor."""
    folder = real / "coreg_s1_s2_bigearthnet"
    for options in ({"sensor": "sentinel-2-l2a", "offset": 0.0}, {"sensor": "sentinel-1-grd", "unit": "sigma0_db"}):
        found = find_images(folder, options)
        assert len(found) == 3 and all(path.is_dir() for path in found)
