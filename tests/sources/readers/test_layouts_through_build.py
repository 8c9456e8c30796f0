"""Every torchgeo layout through the builder into shards and back: numbers as rasterio (So2Sat: h5py) reads them, splits, labels, masks."""

import h5py
import numpy as np
import pytest

from geolangbind.data.shards import ShardSet
from geolangbind.sources.build import Options, build
from geolangbind.sources.readers import torchgeo
from geolangbind.sources.readers.torchgeo_layouts import LAYOUTS

THREE = {"train": {"split": "train"}, "validation": {"split": "val"}, "test": {"split": "test"}}
RGB = {"sensor": "aerial-rgb", "bands": ["R", "G", "B"], "unit": "display_u8", "gsd_m": 1}
S2 = {"sensor": "sentinel-2-l1c", "unit": "reflectance", "scale": 0.0001, "offset": 0, "gsd_m": 10}
S1 = {"sensor": "sentinel-1-grd", "bands": ["VV", "VH"], "unit": "sigma0_db", "gsd_m": 10}
EUROSAT = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B09", "B10", "B11", "B12", "B8A"]
TIF = "ds/images/remote_sensing/otherDatasets/sentinel_2/tif"

# class: builder and its arguments, view, the card's entry, and by key: file (and channels), split, label
CASES = {
    "EuroSAT": (
        "eurosat", (), {**S2, "bands": EUROSAT}, {"splits": THREE}, {"v-River_1": (f"{TIF}/River/River_1.tif", None, "test", "River")},
    ),
    "EuroSAT100": (
        "eurosat", ("eurosat-100",), {**S2, "bands": ["B8A", "B02"]}, {"splits": THREE},
        {"v-Forest_1": (f"{TIF}/Forest/Forest_1.tif", [13, 2], "train", "Forest")},
    ),
    "EuroSATSpatial": (
        "eurosat", ("eurosat-spatial",), {**S2, "bands": ["B10"]}, {"splits": THREE},
        {"v-Forest_2": (f"{TIF}/Forest/Forest_2.tif", [10], "validation", "Forest")},
    ),
    "RESISC45": (
        "resisc45", (), RGB, {"splits": THREE}, {"v-sea_ice_001": ("NWPU-RESISC45/sea_ice/sea_ice_001.jpg", None, "test", "sea_ice")},
    ),
    "UCMerced": (
        "ucmerced", (), RGB, {"splits": THREE}, {"v-beach00": ("UCMerced_LandUse/Images/beach/beach00.tif", None, "test", "beach")},
    ),
    "PatternNet": ("patternnet", (), RGB, {}, {"v-harbor001": ("PatternNet/images/harbor/harbor001.jpg", None, None, "harbor")}),
    "MillionAID": (
        "million_aid", (), RGB, {"splits": {"train": {"split": "train"}}},
        {"v-P0000002": ("train/water_area/beach/P0000002.jpg", None, "train", "beach")},
    ),
    "SkyScript": ("skyscript", (), RGB, {"splits": THREE}, {"v-a2": ("images7/a2.jpg", None, "validation", None)}),
    "MMFlood": (
        "mmflood", (), S1, {"splits": THREE},
        {"v-EMSR200-1-0": ("activations/EMSR200-1/s1_raw/EMSR200-1-0.tif", None, "test", None)},
    ),
    "Potsdam2D": (
        "isprs", ("Potsdam2D",), RGB, {"splits": {"train": {"split": "train"}}},
        {"v-top_potsdam_2_10_RGBIR": ("4_Ortho_RGBIR/top_potsdam_2_10_RGBIR.tif", [1, 2, 3], "train", None)},
    ),
    "Vaihingen2D": (
        "isprs", ("Vaihingen2D",), {**RGB, "sensor": "naip", "bands": ["N", "R", "G"]}, {"splits": {"train": {"split": "train"}}},
        {"v-top_mosaic_09cm_area1": ("top/top_mosaic_09cm_area1.tif", None, "train", None)},
    ),
    "LoveDA": ("loveda", (), RGB, {"splits": THREE}, {"v-1366": ("Train/Urban/images_png/1366.png", None, "train", None)}),
    "DIOR": ("dior", (), RGB, {"splits": THREE}, {"v-00001": ("Images_trainval/00001.jpg", None, "train", None)}),
}  # fmt: skip


@pytest.fixture
def built(layouts, card, tmp_path):
    """Write a layout, build it, and return its samples by key."""
    torchgeo._listed.cache_clear()

    def make(name, builder, arguments, view, entry):
        on_disk = layouts("torchgeo")
        getattr(on_disk, builder)(tmp_path / "root", *arguments)
        whole = card(views={"v": {**view, "from": {"torchgeo": name, **entry}}}, captions=["given", "labels"])
        report = build(whole, tmp_path / "root", tmp_path / "out", Options(workers=1))
        assert report.skipped == () and report.places == {"v": f"torchgeo: {name}"}
        found = [sample for stream in ShardSet.open(tmp_path / "out").streams for sample in stream.read_many(range(len(stream)))]
        return on_disk, {sample.key: sample for sample in found}

    return make


@pytest.mark.parametrize("name", CASES)
def test_files(built, tmp_path, name):
    builder, arguments, view, entry, expected = CASES[name]
    (tmp_path / "root").mkdir()
    on_disk, samples = built(name, builder, arguments, view, entry)
    for key, (path, channels, split, label) in expected.items():
        numbers = on_disk.stored(tmp_path / "root" / path, channels)
        assert samples[key].image.dtype == numbers.dtype
        np.testing.assert_array_equal(samples[key].image, numbers)
        assert (samples[key].meta.split, samples[key].meta.labels.get("scene_class")) == (split, label)


def test_masks_arrive(built, tmp_path):
    (tmp_path / "root").mkdir()
    _, samples = built("Vaihingen2D", *CASES["Vaihingen2D"][:4])
    np.testing.assert_array_equal(samples["v-top_mosaic_09cm_area1"].mask, np.arange(54).reshape(6, 9) % 6)


def test_captions_arrive(built, tmp_path):
    (tmp_path / "root").mkdir()
    _, samples = built("SkyScript", *CASES["SkyScript"][:4])
    assert samples["v-a1"].meta.captions == ('a "red" roof, near a river',)


def test_boxes_arrive(built, tmp_path):
    (tmp_path / "root").mkdir()
    _, samples = built("DIOR", *CASES["DIOR"][:4])
    assert [(box.xyxy, box.text) for box in samples["v-00001"].meta.boxes] == [((3, 4, 20, 9), "ship")]


@pytest.mark.parametrize(("name", "builder"), [("BigEarthNet", "bigearthnet"), ("BigEarthNetV2", "bigearthnet_v2")])
def test_folders_of_bands(built, tmp_path, name, builder):
    if name == "BigEarthNetV2":
        pytest.importorskip("pyarrow")
    (tmp_path / "root").mkdir()
    on_disk, samples = built(name, builder, (), {**S1, "scale": 1, "offset": 0}, {"options": {"bands": "s1"}, "splits": THREE})
    (sample,) = samples.values()
    for number, band in enumerate(("VV", "VH")):
        (path,) = (tmp_path / "root").rglob(f"*_{band}.tif")
        np.testing.assert_array_equal(sample.image[number], on_disk.stored(path)[0])
    assert len(sample.meta.labels["classes"]) == 2
    assert sample.meta.split == ("train" if name == "BigEarthNet" else "validation")


def test_so2sat(built, tmp_path):
    view = {**S1, "bands": ["VV", "VH"], "unit": "sigma0_linear", "scale": 1, "offset": 0}
    splits = {"train": {"split": "train"}, "validation": {"split": "validation"}, "test": {"split": "test"}}
    _, samples = built("So2Sat", "so2sat", (), view, {"options": {"bands": ["S1_B6", "S1_B5"]}, "splits": splits})
    with h5py.File(tmp_path / "root" / "testing.h5") as file:
        numbers = file["sen1"][1].transpose(2, 0, 1)[[5, 4]]
    np.testing.assert_array_equal(samples["v-testing-1"].image, numbers)
    assert (samples["v-testing-1"].meta.split, samples["v-testing-1"].meta.labels["scene_class"]) == ("test", "Compact low rise")


def test_no_layout_is_left_out():
    assert {*CASES, "BigEarthNet", "BigEarthNetV2", "So2Sat"} == set(LAYOUTS)
