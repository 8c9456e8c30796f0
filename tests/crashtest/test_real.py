import numpy as np
import pytest
import torch

from geolangbind.crashtest.real import COLLECTIONS, real_stacks
from geolangbind.errors import DataError


@pytest.fixture
def root(tmp_path, tif):
    """BigEarthNet's layout: one scene of 20 x 20 pixels whose values say their column."""
    folder = tmp_path / "coreg_s1_s2_bigearthnet" / "S2A_MSIL2A_x"
    folder.mkdir(parents=True)
    ramp = np.tile(np.arange(20), (20, 1))
    for band in ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12"):
        tif(folder / f"S2A_MSIL2A_x_{band}.tif", (1000 + 100 * ramp)[None].astype(np.uint16))
    for number, name in enumerate(("VV", "VH")):
        tif(folder / f"S1A_x_{name}.tif", (-20.0 + ramp / 10 - number)[None].astype(np.float32))
    return tmp_path


def test_tiles_are_whole_and_the_same_in_every_view(root):
    ticks = []
    (stacks,) = real_stacks(root, tile_px=8, tick=lambda: ticks.append(1))
    assert (stacks.name, stacks.synthetic, len(ticks)) == ("bigearthnet", False, 1)
    assert stacks.places == tuple(f"S2A_MSIL2A_x-{number}" for number in range(4))
    optical, radar = stacks.views["Sentinel-2 L2A"], stacks.views["Sentinel-1"]
    assert optical.image.shape == (4, 12, 8, 8) and radar.bands == ("VV", "VH")
    # the second tile begins in column 8: reflectance 0.18, -19.2 dB
    torch.testing.assert_close(optical.image[1, :, 0, 0], torch.full((12,), 0.18))
    torch.testing.assert_close(radar.image[1, :, 0, 0], torch.tensor([-19.2, -20.2]))
    assert "4 tiles of 8 px from 1 real scene " in stacks.about


def test_views_on_different_grids_are_refused(root, tif):
    folder = root / "coreg_s1_s2_bigearthnet" / "S2A_MSIL2A_x"
    for name in ("VV", "VH"):
        tif(folder / f"S1A_x_{name}.tif", np.full((1, 40, 40), -10, np.float32))
    with pytest.raises(DataError, match="not on one grid; tiles of 8 px: Sentinel-2 L2A 4, Sentinel-1 25"):
        real_stacks(root, tile_px=8)


def test_a_root_without_any_collection_and_an_empty_collection(tmp_path):
    with pytest.raises(DataError, match="none of the folders coreg_s1_s2_dem_lulc_terramesh"):
        real_stacks(tmp_path)
    (tmp_path / "eurosat").mkdir()
    with pytest.raises(DataError, match="no ms/"):
        real_stacks(tmp_path)


def test_the_real_stacks(shared):
    found = {stacks.name: stacks for stacks in real_stacks(shared / "data" / "real")}
    assert set(found) == set(COLLECTIONS)
    assert {name: len(stacks.places) for name, stacks in found.items()} == {
        "terramesh": 48, "worldcereal": 4, "bigearthnet": 12, "myanmar": 4, "mendoza": 6, "eurosat": 40,
    }  # fmt: skip
    # clear land is dark in cirrus whichever offset a scene carries
    cirrus = found["terramesh"].views["Sentinel-2 L1C"]
    assert float(cirrus.image[:, cirrus.bands.index("B10")].mean(dim=(1, 2)).max()) < 0.01
    assert set(found["worldcereal"].again) == {"Sentinel-2 L2A", "Sentinel-1"}
    assert not any(stacks.synthetic for stacks in found.values())
