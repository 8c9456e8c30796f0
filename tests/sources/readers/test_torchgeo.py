"""Every dataset in the table, on a fixture of its layout: numbers as rasterio reads them, labels, splits."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from geolangbind.data.rasters import open_raster
from geolangbind.errors import DataError, SensorError, SettingsError
from geolangbind.sources.readers import OPENERS, torchgeo
from geolangbind.sources.readers.torchgeo_layouts import LAYOUTS
from geolangbind.sources.record import Item

EUROSAT = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B09", "B10", "B11", "B12", "B8A")
THREE = {"train": {"split": "train"}, "validation": {"split": "val"}, "test": {"split": "test"}}


@pytest.fixture(scope="module")
def on_disk(layouts):
    return layouts("torchgeo")


@pytest.fixture(autouse=True)
def _fresh():
    torchgeo._listed.cache_clear()


def content(record):
    assert isinstance(record.image, Item)
    return OPENERS["torchgeo"](record.image)


@pytest.mark.parametrize(("name", "prefix"), [("EuroSAT", "eurosat"), ("EuroSAT100", "eurosat-100"), ("EuroSATSpatial", "eurosat-spatial")])
def test_eurosat(on_disk, listing, tmp_path, name, prefix):
    folder = on_disk.eurosat(tmp_path, prefix)
    found = listing("torchgeo", name, sensor="sentinel-2-l1c", bands=EUROSAT, splits=THREE)
    assert {place: (record.split, record.classes) for place, record in found.items()} == {
        "Forest_1": ("train", ("Forest",)),
        "Forest_2": ("validation", ("Forest",)),
        "River_1": ("test", ("River",)),
    }
    assert found["River_1"].image == folder / "River" / "River_1.tif"
    reader = open_raster(found["River_1"].image, sensor="sentinel-2-l1c", bands=EUROSAT, scale=0.0001, offset=0)
    assert [band.name for band in reader.bands] == list(EUROSAT)


def test_some_bands_of_eurosat_are_read_in_the_order_of_the_view(on_disk, listing, tmp_path):
    folder = on_disk.eurosat(tmp_path)
    found = listing("torchgeo", "EuroSAT", sensor="sentinel-2-l1c", bands=("B8A", "B04", "B02"), splits=THREE)
    read = content(found["Forest_2"])
    assert read.image.dtype == np.uint16
    np.testing.assert_array_equal(read.image, on_disk.stored(folder / "Forest" / "Forest_2.tif", [13, 4, 2]))
    west, south, east, north = read.bounds_wgs84
    assert 4.2 < west < east < 4.4
    assert 45.1 < south < north < 45.2
    (folder / "Forest" / "Forest_2.tif").write_bytes(b"II*\0 cut")
    with pytest.raises(DataError, match=r"Forest_2.tif"):
        content(found["Forest_2"])


def test_a_split_without_a_list_is_left_out(on_disk, listing, tmp_path):
    on_disk.eurosat(tmp_path)
    (tmp_path / "eurosat-val.txt").unlink()
    assert {record.split for record in listing("torchgeo", "EuroSAT", splits=THREE).values()} == {"train", "test"}


def test_resisc45(on_disk, listing, tmp_path):
    folder = on_disk.resisc45(tmp_path)
    found = listing("torchgeo", "RESISC45", bands=("R", "G", "B"), splits=THREE)
    assert {place: (record.split, record.classes) for place, record in found.items()} == {
        "airplane_001": ("train", ("airplane",)),
        "airplane_002": ("test", ("airplane",)),
        "sea_ice_001": ("test", ("sea_ice",)),
    }
    assert found["sea_ice_001"].image == folder / "sea_ice" / "sea_ice_001.jpg"


def test_ucmerced_keeps_its_size(on_disk, listing, tmp_path):
    folder = on_disk.ucmerced(tmp_path)
    (record,) = listing("torchgeo", "UCMerced", splits=THREE).values()
    assert (record.place, record.image, record.split, record.classes) == ("beach00", folder / "beach" / "beach00.tif", "test", ("beach",))


def test_patternnet_has_no_splits(on_disk, listing, tmp_path):
    folder = on_disk.patternnet(tmp_path)
    found = listing("torchgeo", "PatternNet")
    assert {(record.image, record.split, record.classes) for record in found.values()} == {
        (folder / name / f"{name}001.jpg", None, (name,)) for name in ("harbor", "river")
    }


def test_names_that_repeat_in_every_class_get_their_folder(on_disk, listing, tmp_path):
    folder = on_disk.patternnet(tmp_path)
    (folder / "river" / "river001.jpg").rename(folder / "river" / "harbor001.jpg")
    assert set(listing("torchgeo", "PatternNet")) == {"PatternNet/images/harbor/harbor001", "PatternNet/images/river/harbor001"}


def test_million_aid(on_disk, listing, tmp_path):
    folder = on_disk.million_aid(tmp_path)
    found = listing("torchgeo", "MillionAID", splits={"train": {"split": "train"}}, options={"task": "multi-label"})
    assert found["P0000001"].classes == ("agriculture_land", "grassland", "meadow")
    assert found["P0000002"].image == folder / "water_area" / "beach" / "P0000002.jpg"
    assert listing("torchgeo", "MillionAID", splits={"train": {"split": "train"}})["P0000002"].classes == ("beach",)


def test_skyscript(on_disk, listing, tmp_path):
    on_disk.skyscript(tmp_path)
    found = listing("torchgeo", "SkyScript", splits=THREE)
    assert {record.split for record in found.values()} == {"validation"}
    (caption,) = found["a1"].captions
    assert caption.text == 'a "red" roof, near a river'
    assert caption.source == "given:SkyScript_val_5K_filtered_by_CLIP_openai.csv"
    assert found["a2"].image == tmp_path / "images7" / "a2.jpg"


def test_mmflood(on_disk, listing, tmp_path):
    folder = on_disk.mmflood(tmp_path)
    found = listing("torchgeo", "MMFlood", sensor="sentinel-1-grd", bands=("VV", "VH"), splits=THREE)
    assert {place: record.split for place, record in found.items()} == {"EMSR107-1-0": "train", "EMSR200-1-0": "test"}
    assert found["EMSR200-1-0"].image == folder / "EMSR200-1" / "s1_raw" / "EMSR200-1-0.tif"
    assert found["EMSR200-1-0"].mask == folder / "EMSR200-1" / "mask" / "EMSR200-1-0.tif"
    one = content(listing("torchgeo", "MMFlood", sensor="sentinel-1-grd", bands=("VH",), splits=THREE)["EMSR200-1-0"])
    np.testing.assert_array_equal(one.image, on_disk.stored(found["EMSR200-1-0"].image, [2]))
    np.testing.assert_array_equal(one.mask, np.eye(7, 8))


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        (43, ("Pastures", "Continuous urban fabric", "Discontinuous urban fabric", "Airports")),
        (19, ("Urban fabric", "Pastures")),  # two join in one, airports belong to none
    ],
)
def test_bigearthnet(on_disk, listing, tmp_path, classes, expected):
    _, s2 = on_disk.bigearthnet(tmp_path)
    options = {"num_classes": classes}
    (optical,) = listing("torchgeo", "BigEarthNet", splits=THREE, options={**options, "bands": "s2"}).values()
    (radar,) = listing("torchgeo", "BigEarthNet", splits=THREE, options={**options, "bands": "s1"}).values()
    assert (optical.place, optical.split, optical.classes) == (s2, "train", expected)
    assert (radar.place, radar.classes) == (s2, expected)
    check_patch(on_disk, optical.image, radar.image)


def test_bigearthnet_v2(on_disk, listing, tmp_path):
    pytest.importorskip("pyarrow")
    _, s2 = on_disk.bigearthnet_v2(tmp_path)
    (optical,) = listing("torchgeo", "BigEarthNetV2", splits=THREE, options={"bands": "s2"}).values()
    (radar,) = listing("torchgeo", "BigEarthNetV2", splits=THREE, options={"bands": "s1"}).values()
    assert (optical.place, optical.split, optical.classes) == (s2, "validation", ("Arable land", "Marine waters"))
    assert (radar.place, radar.classes) == (s2, optical.classes)
    check_patch(on_disk, optical.image, radar.image)
    with pytest.raises(SettingsError, match="bands: s2"):
        listing("torchgeo", "BigEarthNetV2", splits=THREE)


def check_patch(on_disk, optical, radar):
    """The folders open as rasters, bands in order, and the bands have the numbers that rasterio reads."""
    reader = open_raster(optical, sensor="sentinel-2-l2a", scale=0.0001, offset=0)
    assert [band.name for band in reader.bands] == list(on_disk.S2_BANDS)
    np.testing.assert_allclose(reader.read().image[3], on_disk.stored(optical / f"{optical.name}_B04.tif")[0] * 1e-4, rtol=1e-6)
    reader = open_raster(radar, sensor="sentinel-1-grd", bands=["VH"], unit="sigma0_db")
    np.testing.assert_array_equal(reader.read().image, on_disk.stored(radar / f"{radar.name}_VH.tif"))


def test_both_sensors_of_bigearthnet_in_one_view_are_refused(on_disk, listing, tmp_path):
    on_disk.bigearthnet(tmp_path)
    with pytest.raises(SettingsError, match="bands: s2"):
        listing("torchgeo", "BigEarthNet", splits=THREE)


def test_so2sat(on_disk, listing, tmp_path):
    import h5py

    path = on_disk.so2sat(tmp_path)
    splits = {"train": {"split": "train"}, "test": {"split": "test"}}
    options = {"bands": ["S2_B8A", "S2_B02"]}
    found = listing("torchgeo", "So2Sat", sensor="sentinel-2-l2a", bands=("B8A", "B02"), splits=splits, options=options)
    assert {place: (record.split, record.classes) for place, record in found.items()} == {
        "testing-0": ("test", ("Water",)),
        "testing-1": ("test", ("Compact low rise",)),
    }
    read = content(found["testing-1"])
    with h5py.File(path) as file:
        expected = file["sen2"][1]
    assert read.image.dtype == np.float64
    np.testing.assert_array_equal(read.image, [expected[:, :, 7], expected[:, :, 0]])
    with pytest.raises(SettingsError, match="S2_B02"):
        listing("torchgeo", "So2Sat", sensor="sentinel-2-l2a", bands=("B02",), splits=splits, options=options)


@pytest.mark.parametrize(("name", "bands"), [("Potsdam2D", ("R", "G", "B", "N")), ("Vaihingen2D", ("N", "R", "G"))])
def test_isprs_masks_become_class_numbers(on_disk, listing, tmp_path, name, bands):
    path, classes = on_disk.isprs(tmp_path, name)
    (record,) = listing(
        "torchgeo", name, sensor="naip", bands=bands, splits={"train": {"split": "train"}, "test": {"split": "test"}}
    ).values()
    assert record.split == "train"
    read = content(record)
    assert read.image.dtype == np.uint8
    np.testing.assert_array_equal(read.image, on_disk.stored(path))
    np.testing.assert_array_equal(read.mask, classes)
    assert read.bounds_wgs84 is None


def test_vaihingen_has_no_blue(on_disk, listing, tmp_path):
    on_disk.isprs(tmp_path, "Vaihingen2D")
    with pytest.raises(SensorError, match=r"no channel is B of aerial-rgb; the files hold nir,red,green"):
        listing("torchgeo", "Vaihingen2D", bands=("R", "G", "B"))
    # said otherwise, they are what is said
    (record,) = listing("torchgeo", "Vaihingen2D", bands=("R", "G", "B"), channels=["R", "G", "B"]).values()
    assert content(record).image.shape == (3, 6, 9)


def test_loveda(on_disk, listing, tmp_path):
    folder, classes = on_disk.loveda(tmp_path)
    found = listing("torchgeo", "LoveDA", splits=THREE)
    assert {place: record.split for place, record in found.items()} == {"0": "train", "1366": "train", "55U": "test", "55R": "test"}
    assert found["1366"].mask == folder / "Urban" / "masks_png" / "1366.png"
    np.testing.assert_array_equal(on_disk.stored(found["1366"].mask)[0], classes)
    assert found["55U"].mask is None


def test_dior(on_disk, listing, tmp_path):
    on_disk.dior(tmp_path)
    found = listing("torchgeo", "DIOR", splits=THREE)
    assert {place: record.split for place, record in found.items()} == {"00001": "train", "11726": "test"}
    (box,) = found["00001"].boxes
    assert (box.xyxy, box.text) == ((3, 4, 20, 9), "ship")
    assert found["11726"].boxes == ()
    assert found["00001"].image == tmp_path / "Images_trainval" / "00001.jpg"


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_nothing_there(listing, name):
    assert listing("torchgeo", name, options={"bands": "s2"} if name.startswith("BigEarth") else {}) == {}


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        ("EuroSat", {}, "did you mean EuroSAT"),
        ("os.system", {}, "no dataset 'os.system'"),
        ("EuroSAT", {"splits": {"train": "train"}}, "write 'splits"),
        ("EuroSAT", {"splits": {"train": {"splt": "train"}}}, r"'splt' cannot be set \(did you mean split\?\)"),
        ("EuroSAT", {"options": {"download": True}}, "'download' cannot be set"),
        ("EuroSAT", {"options": {"root": "/"}}, "'root' cannot be set"),
        ("EuroSAT", {"splits": {"train": {"split": "trian"}}}, "does not take"),
        ("PatternNet", {"options": {"split": "train"}}, "does not take"),
        ("EuroSAT", {"label": "label"}, "no option 'label'"),
    ],
)
def test_what_a_card_cannot_say(listing, spec, options, message):
    with pytest.raises(SettingsError, match=message):
        listing("torchgeo", spec, **options)


def test_damaged_files_are_told(on_disk, listing, tmp_path):
    on_disk.so2sat(tmp_path).write_bytes(b"no HDF5")
    with pytest.raises(DataError, match="So2Sat is there but cannot be read"):
        listing("torchgeo", "So2Sat", splits={"test": {"split": "test"}})


def test_files_that_vanish_while_building(on_disk, listing, tmp_path):
    on_disk.eurosat(tmp_path)
    (record,) = listing("torchgeo", "EuroSAT", sensor="sentinel-2-l1c", bands=("B04",), splits={"train": {"split": "train"}}).values()
    shutil.rmtree(tmp_path / "ds")
    torchgeo._listed.cache_clear()
    with pytest.raises(DataError, match="changed while they were read"):
        content(record)
    assert isinstance(record.image.root, Path)


@pytest.mark.parametrize(
    ("row", "message"), [("/etc/hostname,x", "does not lie there"), ("../a.jpg,x", "does not lie there"), (",x", "cannot be listed")]
)
def test_tables_that_mean_harm_or_are_damaged(on_disk, listing, tmp_path, row, message):
    on_disk.skyscript(tmp_path)
    (tmp_path / "SkyScript_val_5K_filtered_by_CLIP_openai.csv").write_text(f"filepath,title\n{row}\n")
    with pytest.raises(DataError, match=message):
        listing("torchgeo", "SkyScript", splits=THREE)
