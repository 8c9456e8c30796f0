"""GEO-Bench's files: bands by name, labels without unpickling, masks."""

import json

import numpy as np
import pytest

from geolangbind.data.shards import ShardSet
from geolangbind.errors import DataError, SettingsError
from geolangbind.sources.build import Options, build
from geolangbind.sources.readers import OPENERS, geobench

SO2SAT = ("05 - VH.LEE Filtered", "06 - VV.LEE Filtered", "02 - Blue", "04 - Red", "08 - NIR", "08A - Vegetation Red Edge")
RADAR = {"VV": "06 - VV.LEE Filtered", "VH": "05 - VH.LEE Filtered"}
CLASSES = {"classes": {"Compact high rise": ("x",), "Water": ("water",), "Forest": ("forest",)}}


@pytest.fixture(autouse=True)
def _fresh():
    geobench._labels.cache_clear()


@pytest.fixture
def on_disk(layouts):
    return layouts("geobench")


def bands(names, dtype="float32", shape=(5, 7), seed=0):
    random = np.random.default_rng(seed)
    return {name: (random.random(shape) * 200).astype(dtype) for name in names}


def content(record):
    return OPENERS["geobench"](record.image)


@pytest.mark.parametrize("label", [1, np.int64(1)])
def test_so2sat_has_its_label_in_the_attribute_only(on_disk, listing, tmp_path, label):
    arrays = bands(SO2SAT)
    on_disk.sample(tmp_path / "m-so2sat", "id_0001", arrays, label)
    on_disk.sample(tmp_path / "m-so2sat", "id_0002", bands(SO2SAT, seed=1), 2, label_first=False)
    on_disk.partition(tmp_path / "m-so2sat", train=["id_0002"], valid=["id_0001"], test=[])
    found = listing("geobench", "m-so2sat", sensor="sentinel-2-l2a", bands=("B8A", "B04", "B02"), card=CLASSES)
    assert {name: record.split for name, record in found.items()} == {"id_0002": "train", "id_0001": "validation"}
    read = content(found["id_0001"])
    assert read.image.dtype == np.float32
    np.testing.assert_array_equal(read.image, [arrays[name] for name in ("08A - Vegetation Red Edge", "04 - Red", "02 - Blue")])
    assert (read.classes, read.mask) == (("Water",), None)
    assert content(found["id_0002"]).classes == ("Forest",)


def test_bands_that_the_card_names(on_disk, listing, tmp_path):
    arrays = bands(SO2SAT)
    on_disk.sample(tmp_path / "m-so2sat", "a", arrays, 0)
    on_disk.partition(tmp_path / "m-so2sat", test=["a"])
    record = listing("geobench", "m-so2sat", sensor="sentinel-1-grd", bands=("VV", "VH"), names=RADAR, classes=["town"])["a"]
    np.testing.assert_array_equal(content(record).image, [arrays[RADAR["VV"]], arrays[RADAR["VH"]]])
    assert content(record).classes == ("town",)
    record = listing("geobench", "m-so2sat", sensor="sentinel-1-grd", bands=("VV", "VH"), card=CLASSES)["a"]
    with pytest.raises(DataError, match=r"a.hdf5: has no array for band VV; it has .*06 - VV.LEE Filtered"):
        content(record)


def test_labels_of_several_classes(on_disk, listing, tmp_path):
    folder = tmp_path / "m-bigearthnet"
    on_disk.sample(folder, "a", bands(["04 - Red"], "int16"), np.array([1, 0, 1]))
    on_disk.sample(folder, "b", bands(["04 - Red"], "int16"), np.array([0, 1, 0]))
    on_disk.partition(folder, train=["a", "b"])
    found = listing("geobench", "m-bigearthnet", sensor="sentinel-2-l2a", bands=("B04",), card=CLASSES)
    assert content(found["a"]).classes == ("Compact high rise", "Forest")
    assert content(found["a"]).image.dtype == np.int16
    # the JSON goes before the attribute
    (folder / "label_stats.json").write_text(json.dumps({"a": [0, 1, 1]}))
    geobench._labels.cache_clear()
    assert content(found["a"]).classes == ("Water", "Forest")
    assert content(found["b"]).classes == ("Water",)


def test_dates_in_names_and_a_label_map(on_disk, listing, tmp_path):
    arrays = bands(["04 - Red_2015-01-01", "05 - NIR_2015-01-01"], "uint8")
    on_disk.sample(tmp_path / "m-forestnet", "-1.2_103.4_2015_01_01", arrays)
    on_disk.partition(tmp_path / "m-forestnet", test=["-1.2_103.4_2015_01_01"])
    (tmp_path / "m-forestnet" / "label_map.json").write_text(json.dumps({"0": ["other"], "2": ["-1.2_103.4_2015_01_01"]}))
    (record,) = listing("geobench", "m-forestnet", sensor="landsat-8-9-l1", bands=("B5", "B4"), card=CLASSES).values()
    read = content(record)
    np.testing.assert_array_equal(read.image, list(arrays.values())[::-1])
    assert read.classes == ("Forest",)


@pytest.mark.parametrize("name", ["m-nz-cattle", "m-NeonTree"])
def test_masks(on_disk, listing, tmp_path, name):
    arrays = bands(["Red", "Green", "Blue"], "uint8", (6, 4))
    mask = (np.arange(24) % 2).reshape(6, 4)
    others = {"Canopy Height Model": np.zeros((2, 2, 1)), "Neon": np.zeros((2, 2, 9))} if name == "m-NeonTree" else {}
    on_disk.sample(tmp_path / name, "a", {**arrays, **others}, mask=mask)
    on_disk.partition(tmp_path / name, train=["a"])
    read = content(listing("geobench", name, bands=("R", "G", "B"))["a"])
    np.testing.assert_array_equal(read.image, list(arrays.values()))
    np.testing.assert_array_equal(read.mask, mask)
    assert (read.mask.dtype, read.classes) == (np.uint8, ())


def test_partitions(on_disk, listing, tmp_path):
    (tmp_path / "m-so2sat").mkdir()
    on_disk.partition(tmp_path / "m-so2sat", train=["a", "b"])
    on_disk.partition(tmp_path / "m-so2sat", "0.50x_train", train=["a"])
    assert set(listing("geobench", "m-so2sat", partition="0.50x_train")) == {"a"}
    assert listing("geobench", "m-so2sat", partition="0.10x_train") == {}
    assert listing("geobench", "m-forestnet") == {}


def test_wrong_names_must_be_said(on_disk, listing, tmp_path):
    (tmp_path / "m-eurosat").mkdir()
    on_disk.partition(tmp_path / "m-eurosat", train=["a"])
    with pytest.raises(SettingsError, match="names its arrays after other bands"):
        listing("geobench", "m-eurosat", sensor="sentinel-2-l1c", bands=("B8A",))
    assert set(listing("geobench", "m-eurosat", sensor="sentinel-2-l1c", bands=("B8A",), names={"B8A": "12 - SWIR"})) == {"a"}


@pytest.mark.parametrize("text", ["[]", '{"train": "a"}', '{"train": [1]}', "{", '{"train": ["../a"]}'])
def test_partitions_that_cannot_be_used(listing, tmp_path, text):
    (tmp_path / "m-so2sat").mkdir()
    (tmp_path / "m-so2sat" / "default_partition.json").write_text(text)
    with pytest.raises(DataError):
        listing("geobench", "m-so2sat")


@pytest.mark.parametrize(
    ("label", "arrays", "message"),
    [
        (3, bands(["04 - Red"]), "its class 3 has no name; the card names 3 classes"),
        ([2, 0], bands(["04 - Red"]), "0 or 1 for each"),
        ("tree", bands(["04 - Red"]), "neither a whole number"),
        (None, bands(["04 - Red"]), "no label that can be read"),
        (1, bands(["02 - Blue"]), "no array for band B04; it has 02 - Blue"),
        (1, bands(["04 - Red_2015-01-01", "04 - Red_2016-01-01"]), "2 arrays for band B04"),
        (1, bands(["04 - Red"], shape=(3, 3, 2)), r"one height and width, up to 8192 pixels: 04 - Red \(3, 3, 2\)"),
    ],
)
def test_files_that_cannot_be_used(on_disk, listing, tmp_path, label, arrays, message):
    on_disk.sample(tmp_path / "m-x", "a", arrays, label)
    on_disk.partition(tmp_path / "m-x", train=["a"])
    record = listing("geobench", "m-x", sensor="sentinel-2-l2a", bands=("B04",), card=CLASSES)["a"]
    with pytest.raises(DataError, match=rf"a\.hdf5: .*{message}"):
        content(record)


def test_no_hdf5_and_no_mask(on_disk, listing, tmp_path):
    folder = tmp_path / "m-x"
    on_disk.sample(folder, "a", bands(["Red", "Green", "Blue"]), mask=np.full((5, 7), 300))
    on_disk.partition(folder, train=["a", "b", "c"])
    (folder / "b.hdf5").write_bytes(b"no HDF5")
    found = listing("geobench", "m-x", bands=("R", "G", "B"))
    for name, message in (("a", "class numbers from 300 to 300"), ("b", "not readable as HDF5"), ("c", "not readable as HDF5")):
        with pytest.raises(DataError, match=message):
            content(found[name])


def test_through_the_builder(on_disk, card, tmp_path):
    arrays = bands(SO2SAT)
    on_disk.sample(tmp_path / "root" / "m-so2sat", "id_0001", arrays, 1)
    on_disk.partition(tmp_path / "root" / "m-so2sat", valid=["id_0001"])
    view = {"sensor": "sentinel-2-l1c", "bands": ["B04", "B02"], "unit": "reflectance", "scale": 1, "offset": 0, "gsd_m": 10}
    whole = card(views={"msi": {**view, "from": {"geobench": "m-so2sat"}}}, classes={"forest": ["trees"], "water": ["a lake"]})
    assert build(whole, tmp_path / "root", tmp_path / "out", Options(workers=1)).skipped == ()
    ((sample,),) = [stream.read_many(range(len(stream))) for stream in ShardSet.open(tmp_path / "out").streams]
    np.testing.assert_array_equal(sample.image, [arrays["04 - Red"], arrays["02 - Blue"]])
    assert (sample.meta.split, sample.meta.labels) == ("validation", {"scene_class": "water"})
