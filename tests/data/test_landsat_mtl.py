"""Landsat level-1 numbers with the constants of the MTL file."""

import math

import numpy as np
import pytest

from geolangbind.data.rasters import open_raster, read_raster
from geolangbind.errors import DataError, UnitError

S2 = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12"]
RNG = np.random.default_rng(0)
DN = RNG.integers(300, 4000, (13, 8, 10)).astype(np.uint16)


MTL = """GROUP = L1_METADATA_FILE
  DATE_ACQUIRED = 2016-02-09
  SUN_ELEVATION = 30.0
  REFLECTANCE_MULT_BAND_4 = 2.0000E-05
  REFLECTANCE_ADD_BAND_4 = -0.100000
  RADIANCE_MULT_BAND_10 = 3.3420E-04
  RADIANCE_ADD_BAND_10 = 0.10000
  K1_CONSTANT_BAND_10 = 774.8853
  K2_CONSTANT_BAND_10 = 1321.0789
END
"""


def test_landsat_level_1_uses_the_mtl_file(tif, tmp_path):
    stored = np.full((2, 4, 4), 10000, np.uint16)
    stored[1] = 26000
    path = tif(tmp_path / "l8.tif", stored, names=["B4", "B10"])
    with pytest.raises(UnitError, match=r"need the scene's \*_MTL\.txt beside the raster"):
        open_raster(path, sensor="landsat-8-l1", bands=["B4"])
    (tmp_path / "LC08_MTL.txt").write_text(MTL)
    # (2e-5 * 10000 - 0.1) / sin(30 degrees) = 0.2
    np.testing.assert_allclose(read_raster(path, sensor="landsat-8-l1", bands=["B4"]).image, 0.2, rtol=1e-5)
    kelvin = 1321.0789 / math.log(774.8853 / (3.342e-4 * 26000 + 0.1) + 1)
    raster = read_raster(path, sensor="landsat-8-l1", bands=["B10"])
    np.testing.assert_allclose(raster.image, kelvin, rtol=1e-5)
    assert 290 < kelvin < 300 and raster.channels.kinds == ("brightness_temperature",)


@pytest.mark.parametrize(
    ("change", "message"), [("30.0", "no reflectance at night"), ("REFLECTANCE_MULT_BAND_4", "has no REFLECTANCE_MULT")]
)
def test_an_mtl_file_that_does_not_serve_is_refused(tif, tmp_path, change, message):
    path = tif(tmp_path / "l8.tif", DN[:1], names=["B4"])
    (tmp_path / "LC08_MTL.txt").write_text(MTL.replace(change, "-5.0" if change == "30.0" else "OTHER"))
    with pytest.raises(DataError, match=message):
        open_raster(path, sensor="landsat-8-l1")


def test_of_several_mtl_files_the_one_with_the_rasters_name_holds(tif, tmp_path):
    for scene in ("LC08_A", "LC08_B"):
        (tmp_path / f"{scene}_MTL.txt").write_text(MTL)
    assert open_raster(tif(tmp_path / "LC08_B_stack.tif", DN[:1], names=["B4"]), sensor="landsat-8-l1").width == 10
    with pytest.raises(UnitError, match="none there has the name"):
        open_raster(tif(tmp_path / "stack.tif", DN[:1], names=["B4"]), sensor="landsat-8-l1")
