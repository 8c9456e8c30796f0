"""Real rasters of all six modalities: bands, units and values against what rasterio reads."""

import csv

import numpy as np
import pytest
import rasterio

from geolangbind.data.rasters import iter_windows, open_raster, read_raster
from geolangbind.errors import DataError, SensorError, UnitError
from geolangbind.sensors import Unit, get_sensor

TERRAMESH = "coreg_s1_s2_dem_lulc_terramesh/282D_485L_3_3"
BIGEARTH = "coreg_s1_s2_bigearthnet/S2A_MSIL2A_20170613T101031_87_48"
ENMAP = "hsi_enmap_potsdam/images/enmap_potsdam_tile_64_0.tif"
LANDSAT = "landsat8_thermal_mendoza"
CAMARGUE = "sar_s1_camargue/S1A__IW___A_20150309T173017_VV_grd_mli_geo_norm_db.tif"


@pytest.fixture(scope="module")
def real(shared):
    return shared / "data" / "real"


def pixels(path):
    with rasterio.open(path) as file:
        return file.read().astype(np.float64)


def test_rgb_picture(real):
    path = next((real / "rsvqa_hr" / "images").glob("*.png"))
    raster = read_raster(path)
    assert ([band.name for band in raster.bands], raster.unit) == (["R", "G", "B"], Unit.DISPLAY_U8)
    from PIL import Image

    np.testing.assert_allclose(raster.image, np.asarray(Image.open(path)).transpose(2, 0, 1) / 255, atol=1e-6)


def test_rgb_naip_needs_its_band_order(real):
    path = real / "naip_north_dakota" / "m_4709963_se_14_1_20180716.tif"
    with pytest.raises(SensorError, match="--bands R,G,B,N"):
        open_raster(path, sensor="naip")
    raster = read_raster(path, sensor="naip", bands=["R", "G", "B", "N"])
    stored = pixels(path)
    assert raster.gsd_m == pytest.approx(5) and (raster.valid == (stored != 0).all(0)).all()
    np.testing.assert_allclose(raster.image[:, raster.valid], stored[:, raster.valid] / 255, atol=1e-6)


def test_sar_gamma0_with_its_polarisations(real):
    path = real / TERRAMESH / "S1RTC.tif"
    raster = read_raster(path, sensor="sentinel-1-grd", unit="gamma0_db")
    assert raster.channels.kinds == ("gamma0_vv_c", "gamma0_vh_c")
    np.testing.assert_allclose(raster.image, pixels(path), rtol=1e-6)
    # vegetation and water scatter less into the other polarisation
    assert raster.image[0].mean() > raster.image[1].mean() + 3


def test_sar_single_band_named_by_its_file(real):
    raster = read_raster(real / CAMARGUE, sensor="s1", unit="sigma0_db")
    assert raster.bands[0].name == "VV" and raster.gsd_m == pytest.approx(20) and (raster.image[:, raster.valid] > -98).all()


def test_sar_scaled_integers_are_refused_until_the_scale_is_said(real):
    path = next((real / "coreg_s1_dem_myanmar").glob("S1A_*.tif"))
    with pytest.raises(UnitError, match="scaled integers"):
        read_raster(path, unit="sigma0_db")
    raster = read_raster(path, unit="sigma0_db", scale=0.01, offset=0)
    assert raster.sensor.name == "sentinel-1-grd"  # from the product name
    np.testing.assert_allclose(raster.image, pixels(path) / 100, rtol=1e-5)


def test_msi_with_the_offset_of_the_newer_baseline(real):
    path = real / TERRAMESH / "S2L1C.tif"
    with pytest.raises(UnitError, match=r"baseline 04\.00 is in these numbers is unknown"):
        open_raster(path, sensor="s2-l1c")
    raster = read_raster(path, sensor="s2-l1c", offset=-0.1)
    np.testing.assert_allclose(raster.image, pixels(path) / 10000 - 0.1, atol=1e-6)
    # with the right offset the cirrus band is near zero
    assert abs(raster.image[10].mean()) < 0.005 and raster.bands[10].name == "B10"


def test_msi_where_the_offset_was_already_taken_off(real):
    path = real / TERRAMESH / "S2L2A.tif"
    with pytest.raises(UnitError, match="applied before"):
        read_raster(path, sensor="s2-l2a", offset=-0.1)
    assert read_raster(path, sensor="s2-l2a", offset=0).channels.kinds == ("reflectance_surface",) * 12


def test_msi_eurosat_whose_last_band_is_b8a(real):
    path = real / "eurosat" / "ms" / "Forest" / "Forest_1.tif"
    order = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B09", "B10", "B11", "B12", "B8A"]
    with pytest.raises(SensorError, match="a count is no order"):
        open_raster(path, sensor="s2-l1c", offset=0)
    raster = read_raster(path, sensor="s2-l1c", bands=order, offset=0)
    mean = dict(zip(order, raster.image.mean((1, 2)), strict=True))
    # forest: the narrow near infrared is close to the wide one and far above red
    assert mean["B8A"] == pytest.approx(mean["B08"], rel=0.25) and mean["B8A"] > 3 * mean["B04"]


def test_msi_folder_of_bands_in_three_sizes(real):
    raster = read_raster(real / BIGEARTH, sensor="sentinel-2-l2a", offset=0)
    assert [band.name for band in raster.bands] == [band.name for band in get_sensor("sentinel-2-l2a").bands]
    assert raster.image.shape == (12, 120, 120) and raster.sensor.platform == "S2A" and raster.gsd_m == 10
    fine, coarse = (pixels(next((real / BIGEARTH).glob(f"S2A*_{band}.tif")))[0] / 10000 for band in ("B04", "B01"))
    np.testing.assert_allclose(raster.image[3], fine, atol=1e-6)
    # bilinear resampling keeps the mean of a 60 m band
    assert raster.image[0].mean() == pytest.approx(coarse.mean(), rel=0.01)
    assert read_raster(real / BIGEARTH, sensor="s1", unit="sigma0_db").channels.kinds == ("sigma0_vv_c", "sigma0_vh_c")


def test_hsi_with_the_wavelengths_of_the_file(real):
    raster = read_raster(real / ENMAP, sensor="enmap-l2a")
    with (real / "hsi_enmap_potsdam" / "bands.csv").open() as file:
        centres = {f"B{row['band']}": float(row["center_um"]) for row in csv.DictReader(file)}
    assert len(raster.bands) == 202 and raster.channels.kinds == ("reflectance_surface",) * 202
    assert all(band.center_wavelength_um == pytest.approx(centres[band.name], abs=1e-6) for band in raster.bands)
    stored = pixels(real / ENMAP)[[int(band.name[1:]) - 1 for band in raster.bands]]
    np.testing.assert_allclose(raster.image[:, raster.valid], stored[:, raster.valid] / 10000, atol=1e-6)


def test_hsi_bands_without_data_are_refused_by_name(real):
    with pytest.raises(DataError, match="B130 hold no data at all; leave them out"):
        read_raster(real / ENMAP, sensor="enmap", bands=["B48", "B130"])
    with pytest.raises(SensorError, match="where sentinel-2-l2a has no band"):
        open_raster(real / ENMAP, sensor="s2-l2a")


def test_thermal_brightness_temperature_of_a_summer_noon(real):
    raster = read_raster(real / LANDSAT / "l8_dn.tif", sensor="landsat-8-9-l1", bands=["B10", "B11"])
    assert raster.channels.wavelengths_um == (10.895, 12.005) and raster.unit is Unit.BRIGHTNESS_TEMPERATURE_K
    radiance = pixels(real / LANDSAT / "l8_dn.tif")[6] * 3.342e-4 + 0.1
    np.testing.assert_allclose(raster.image[0], 1321.0789 / np.log(774.8853 / radiance + 1), rtol=1e-5)
    assert 285 < np.median(raster.image) < 320


def test_thermal_and_reflectance_of_one_file_are_read_apart(real):
    with pytest.raises(UnitError, match=r"--bands B2,B3,B4,B5,B6,B7 \(reflectance\) or --bands B10,B11 \(brightness"):
        open_raster(real / LANDSAT / "l8_dn.tif", sensor="landsat-8-9-l1")
    toa = read_raster(real / LANDSAT / "l8_dn.tif", sensor="landsat-8-9-l1", bands=["B4", "B5"])
    surface = read_raster(real / LANDSAT / "l8_sr_x10000.tif", sensor="landsat-8-9-l2", bands=["B4", "B5"], scale=0.0001, offset=0)
    # two independent calibrations of one scene: they differ by the atmosphere only
    assert np.corrcoef(toa.image[1].ravel(), surface.image[1].ravel())[0, 1] > 0.99
    assert toa.image[1].mean() == pytest.approx(surface.image[1].mean(), rel=0.15)


def test_a_product_of_another_scale_is_refused(real):
    with pytest.raises(UnitError, match="the scale belongs to another product"):
        read_raster(real / LANDSAT / "l8_sr_x10000.tif", sensor="landsat-8-9-l2")


def test_thermal_picture(real):
    path = next((real / "thermal_hit_uav" / "images").glob("*.jpg"))
    raster = read_raster(path, sensor="lwir-camera")
    assert (raster.unit, raster.channels.wavelengths_um, raster.channels.kinds) == (Unit.DISPLAY_U8, (10.5,), ("display",))


@pytest.mark.parametrize(
    ("name", "sensor", "bands", "kind", "low", "high"),
    [
        (f"{TERRAMESH}/DEM.tif", "copernicus-dem", None, "elevation", -10, 200),
        ("dem_zion/srtm.tif", "srtm", None, "elevation", 1024, 2892),
        ("dem_lidar_alexandria_va/dsm.tif", "airborne-lidar", None, "elevation", -20, 200),
        ("dem_lidar_alexandria_va/hag.tif", "airborne-lidar", None, "height", -20, 100),
        ("coreg_s1_dem_myanmar/srtm_slope_elevation.tif", "srtm", ["elevation"], "elevation", 175, 308),
    ],
)
def test_elevation(real, name, sensor, bands, kind, low, high):
    raster = read_raster(real / name, sensor=sensor, bands=bands)
    assert raster.channels.kinds == (kind,) and raster.channels.wavelengths_um == (0.0,)
    assert low <= raster.image[:, raster.valid].min() and raster.image.max() <= high
    np.testing.assert_allclose(raster.image[0][raster.valid], pixels(real / name)[0][raster.valid], rtol=1e-6)


def test_elevation_voids_are_masked(real):
    raster = read_raster(real / "dem_lidar_alexandria_va" / "dtm.tif", sensor="lidar")
    stored = pixels(real / "dem_lidar_alexandria_va" / "dtm.tif")[0]
    np.testing.assert_array_equal(raster.valid, stored != -9999)
    assert 0 < (~raster.valid).mean() < 0.01


def test_classes_are_no_elevation(real):
    with pytest.raises(SensorError, match="calls its channels class"):
        open_raster(real / TERRAMESH / "LULC.tif", sensor="copernicus-dem")
    with pytest.raises(DataError, match="colour palette"):
        open_raster(real / "dem_zion" / "nlcd.tif", sensor="srtm")


@pytest.mark.parametrize(
    ("name", "arguments", "gsd_m"),
    [
        ("dem_zion/srtm.tif", {"sensor": "srtm"}, 82.6),  # 3 arc-seconds at 37.3 degrees north
        ("s2_ships_casablanca/casablanca_s2_l2a.tif", {"sensor": "s2-l2a", "offset": 0}, 8.33),  # 10 m of web Mercator at 33.6 degrees
        (ENMAP, {"sensor": "enmap"}, 30.0),
    ],
)
def test_pixel_size_on_the_ground(real, name, arguments, gsd_m):
    assert open_raster(real / name, **arguments).gsd_m == pytest.approx(gsd_m, rel=5e-3)


def test_bounds_lie_where_the_readme_says(real):
    west, south, east, north = read_raster(real / CAMARGUE, sensor="s1", unit="sigma0_db").bounds_wgs84
    assert west < 4.52 < east and south < 43.59 < north


def test_windows_of_a_real_scene(real):
    reader = open_raster(real / "s2_amazon_srtm" / "s2_l2_refl_x10000.tif", sensor="s2-l2a", offset=0, bands=["B04", "B03", "B02"])
    windows = list(iter_windows(reader, 64))
    assert len(windows) == 16 and {raster.image.shape for raster in windows} == {(3, 64, 64)}
    covered = np.zeros((reader.height, reader.width), int)
    for raster in windows:
        column, row, width, height = raster.window
        covered[row : row + height, column : column + width] += 1
    assert covered.min() == 1
