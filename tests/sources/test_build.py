"""The builder: parallel, resumable, idempotent, and honest about what it leaves out."""

import hashlib
import json

import numpy as np
import pytest
import rasterio

from geolangbind.data.index import FeatureRecord, load_index, save_index
from geolangbind.data.shards import ShardSet
from geolangbind.data.verify import verify
from geolangbind.errors import DataError, SettingsError
from geolangbind.sources import blocks
from geolangbind.sources.build import Options, build

CLASSES = {"Forest": ["dense trees", "a wood"], "River": ["a river"]}
VIEWS = {"rgb": {"sensor": "aerial-rgb", "gsd_m": 0.5, "from": {"files": "img/{split}/{class}/{id}.png"}}}


@pytest.fixture
def source(card, picture, tmp_path):
    """Ten pictures of two classes in two splits, and a card for them."""
    for number in range(10):
        picture(f"img/{'train' if number < 7 else 'val'}/{'Forest' if number % 2 else 'River'}/p{number}.png", seed=number)
    return card(classes=CLASSES, views=VIEWS, splits={"train": 7, "validation": 4})


def bytes_of(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir() if path.is_file()}


def samples_of(folder):
    return {sample.key: sample for stream in ShardSet.open(folder).streams for sample in stream.read_many(range(len(stream)))}


def test_samples_say_what_the_card_knows(source, tmp_path):
    report = build(source, tmp_path, tmp_path / "out", Options(workers=1))
    assert report.ok and report.samples == {"rgb": {"train": 7, "validation": 3}} and verify(tmp_path / "out").ok
    sample = samples_of(tmp_path / "out")["rgb-p1"]
    assert (sample.meta.labels, sample.meta.split, sample.meta.gsd_m) == ({"scene_class": "Forest"}, "train", 0.5)
    assert (sample.meta.source, sample.meta.licence, sample.encoding) == ("made by the test", "unknown", "png")
    assert len(sample.meta.captions) == len(sample.meta.caption_sources) == 2
    assert all("dense trees" in text.lower() for text in sample.meta.captions)
    provenance = load_index(tmp_path / "out").provenance
    assert provenance["classes"] == {"scene_class": CLASSES} and provenance["card_sha256"] == source.sha256


def test_the_number_of_processes_changes_nothing(source, tmp_path):
    for workers in (1, 2):
        build(source, tmp_path, tmp_path / f"out{workers}", Options(workers=workers, records_per_shard=2))
    assert bytes_of(tmp_path / "out1") == bytes_of(tmp_path / "out2") and len(bytes_of(tmp_path / "out1")) == 7


def test_a_second_build_does_nothing(source, tmp_path):
    build(source, tmp_path, tmp_path / "out", Options(workers=1))
    times = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.tar")}
    again = build(source, tmp_path, tmp_path / "out", Options(workers=1))
    assert again.written == 0 and again.count == 10
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.tar")} == times


def test_an_interrupted_build_goes_on(source, tmp_path, monkeypatch):
    written = []

    def two_blocks(block, *arguments):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(block.name)
        return blocks.write_block(block, *arguments)

    whole = build(source, tmp_path, tmp_path / "whole", Options(workers=1, records_per_shard=2))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("geolangbind.sources.build.write_block", two_blocks)
        build(source, tmp_path, tmp_path / "out", Options(workers=1, records_per_shard=2))
    assert not (tmp_path / "out" / "index.json").exists() and len(list((tmp_path / "out").glob("*.tar"))) == 2
    report = build(source, tmp_path, tmp_path / "out", Options(workers=1, records_per_shard=2))
    assert report.written == report.blocks - 2 and report.fingerprint == whole.fingerprint
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "whole")


def test_what_changed_is_built_again_and_nothing_else(source, picture, tmp_path, card):
    options = Options(workers=1, records_per_shard=2)
    first = build(source, tmp_path, tmp_path / "out", options)
    picture("img/train/River/p0.png", seed=99)
    changed = build(source, tmp_path, tmp_path / "out", options)
    assert changed.written == 1 and changed.fingerprint != first.fingerprint
    (tmp_path / "out" / "test-rgb-train-00001.tar").write_bytes(b"cut off")
    assert build(source, tmp_path, tmp_path / "out", options).written == 1
    assert build(card(classes=CLASSES, views=VIEWS, captions=["given"]), tmp_path, tmp_path / "out", options).written == changed.blocks
    assert verify(tmp_path / "out").ok is True


def test_shards_of_removed_samples_go(source, tmp_path):
    options = Options(workers=1, records_per_shard=2)
    build(source, tmp_path, tmp_path / "out", options)
    for path in (tmp_path / "img" / "val").rglob("*.png"):
        path.unlink()
    report = build(source, tmp_path, tmp_path / "out", options)
    assert report.count == 7 and verify(tmp_path / "out").ok
    assert {path.stem for path in (tmp_path / "out" / blocks.JOURNAL).iterdir()} == {f"test-rgb-train-{n:05d}" for n in range(4)}


def test_a_bad_image_is_left_out_and_told(source, tmp_path):
    (tmp_path / "img/train/Forest/p1.png").write_bytes(b"\x89PNG\r\n\x1a\n no more")
    (tmp_path / "img/train/Moon").mkdir()
    (tmp_path / "img/train/River/p2.png").rename(tmp_path / "img/train/Moon/p2.png")
    report = build(source, tmp_path, tmp_path / "out", Options(workers=1))
    assert not report.ok and report.count == 8 and verify(tmp_path / "out").ok
    assert [(entry.view, entry.place) for entry in report.skipped] == [("rgb", "p1"), ("rgb", "p2")]
    assert "cannot be read" in report.skipped[0].why and "class 'Moon' is none of the card's" in report.skipped[1].why
    assert build(source, tmp_path, tmp_path / "out", Options(workers=1)).skipped == report.skipped  # remembered, not forgotten


def test_features_stay_with_shards_that_did_not_change(source, tmp_path):
    build(source, tmp_path, tmp_path / "out", Options(workers=1))
    index = load_index(tmp_path / "out")
    shard = index.shards[0]
    record = FeatureRecord(shard.file, "t", "t.tar", "0", 0, (1, 1), np.zeros((len(shard.keys), 3), np.int64))
    save_index(tmp_path / "out", index.with_features([record]))
    build(source, tmp_path, tmp_path / "out", Options(workers=1))
    assert list(load_index(tmp_path / "out").shards[0].features) == ["t"]


def test_splits_views_and_limits(source, tmp_path):
    assert build(source, tmp_path, tmp_path / "a", Options(workers=1, split="validation")).count == 3
    assert build(source, tmp_path, tmp_path / "b", Options(workers=1, limit=4)).count == 4
    classes = {sample.meta.labels["scene_class"] for sample in samples_of(tmp_path / "b").values()}
    assert classes == {"Forest", "River"}  # spread, not the first four
    with pytest.raises(SettingsError, match="no sample of view rgb is in split 'test'; it has train, validation"):
        build(source, tmp_path, tmp_path / "c", Options(split="test"))
    with pytest.raises(SettingsError, match=r"has no view 'rbg'.*did you mean rgb"):
        build(source, tmp_path, tmp_path / "c", Options(views=("rbg",)))
    assert not (tmp_path / "c").exists()


def test_files_of_another_source_are_not_there(source, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SettingsError, match=r"does not hold test; looked for rgb: files img/\{split\}.*Get it from made by the test"):
        build(source, tmp_path / "empty", tmp_path / "out")
    with pytest.raises(SettingsError, match="no such folder"):
        build(source, tmp_path / "nowhere", tmp_path / "out")


def test_shards_of_another_source_are_not_overwritten(source, card, tmp_path):
    build(source, tmp_path, tmp_path / "out", Options(workers=1))
    other = card("other", classes=CLASSES, views=VIEWS)
    with pytest.raises(DataError, match="holds shards of test; choose another --out, or say --overwrite"):
        build(other, tmp_path, tmp_path / "out", Options(workers=1))
    assert build(other, tmp_path, tmp_path / "out", Options(workers=1, overwrite=True)).count == 10
    assert verify(tmp_path / "out").ok


def test_nothing_usable_is_an_error_with_the_commonest_reason(source, tmp_path):
    for path in (tmp_path / "img").rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(DataError, match=r"none of the 10 samples of test.*commonest reason"):
        build(source, tmp_path, tmp_path / "out", Options(workers=1))
    assert not (tmp_path / "out" / "index.json").exists()


def test_captions_made_elsewhere_come_first(source, tmp_path):
    lines = [{"key": "rgb-p1", "captions": ["Two barns by a wood."], "source": "a person"}, {"key": "rgb-nobody", "caption": "Nothing."}]
    (tmp_path / "more.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert build(source, tmp_path, tmp_path / "out", Options(workers=1, captions=tmp_path / "more.jsonl")).unjoined == 1
    meta = samples_of(tmp_path / "out")["rgb-p1"].meta
    assert (
        meta.captions[0] == "Two barns by a wood." and meta.caption_sources[0] == "joined:more.jsonl/a person" and len(meta.captions) == 3
    )
    (tmp_path / "more.jsonl").write_text(json.dumps({"key": "rgb-p1", "caption": "Another."}))
    assert build(source, tmp_path, tmp_path / "out", Options(workers=1, captions=tmp_path / "more.jsonl")).written == 2


def test_tiles_move_masks_and_keep_the_ground(card, tif, tmp_path):
    image = np.arange(2 * 30 * 50, dtype=np.uint16).reshape(2, 30, 50) + 1
    image[:, :16, :16] = 0
    tif("a.tif", image, nodata=0)
    mask = (np.arange(30 * 50).reshape(30, 50) % 7).astype(np.uint8)
    tif("m.tif", mask[None])
    view = {
        "sensor": "sentinel-2-l2a",
        "bands": ["B04", "B08"],
        "offset": 0,
        "fit": "tile",
        "size_px": 16,
        "from": {"files": "{id}.tif", "mask": "m.tif"},
    }
    report = build(
        card(views={"msi": {**view, "from": {"files": "a.tif", "mask": "m.tif"}}}), tmp_path, tmp_path / "out", Options(workers=1)
    )
    found = samples_of(tmp_path / "out")
    assert report.count == 7 and "msi-a_r0_c0" not in found  # 2 x 4 windows, one of them without data
    tile = found["msi-a_r14_c34"]  # the last ones move inwards
    np.testing.assert_array_equal(tile.image, image[:, 14:30, 34:50])
    np.testing.assert_array_equal(tile.mask, mask[14:30, 34:50])
    west, _, east, _ = tile.meta.bbox_wgs84
    assert (east - west) * 111_320 * np.cos(np.radians(49.65)) == pytest.approx(160, rel=0.02)


def test_images_of_many_sizes_and_too_large_ones(card, picture, tif, tmp_path):
    for number, size in enumerate([(8, 8), (9, 8), (8, 8), (1, 1)]):
        picture(f"p{number}.png", size=size, seed=number)
    huge = card(views={"rgb": {"sensor": "aerial-rgb", "gsd_m": 1, "from": {"files": "{id}.png"}}})
    report = build(huge, tmp_path, tmp_path / "out", Options(workers=1))
    assert report.count == 4 and report.wordless == 4
    assert sorted(stream.shape for stream in ShardSet.open(tmp_path / "out").streams) == [(3, 1, 1), (3, 8, 8), (3, 8, 9)]
    squashed = card(views={"rgb": {"sensor": "aerial-rgb", "fit": "squash", "size_px": 4, "from": {"files": "{id}.png"}}})
    build(squashed, tmp_path, tmp_path / "squashed", Options(workers=1))
    (stream,) = ShardSet.open(tmp_path / "squashed").streams
    assert stream.shape == (3, 4, 4) and stream.read(0).meta.gsd_m is None


def test_a_forty_thousand_pixel_image_is_refused_before_its_pixels_are_read(card, tmp_path):
    options = {"count": 3, "height": 40_000, "width": 40_000, "dtype": "uint8", "sparse_ok": True, "tiled": True}
    with rasterio.open(tmp_path / "big.tif", "w", driver="GTiff", transform=rasterio.Affine.scale(2), **options):
        pass  # no tile is written: a few kilobytes that claim 4.8 GB
    big = card(views={"rgb": {"sensor": "aerial-rgb", "bands": ["R", "G", "B"], "gsd_m": 1, "from": {"files": "{id}.tif"}}})
    with pytest.raises(DataError, match=r"40000 x 40000 pixels of 3 bands are too large for one sample.*fit: tile"):
        build(big, tmp_path, tmp_path / "out", Options(workers=1))


def test_some_channels_of_a_file_and_several_files_of_one_image(card, tif, tmp_path):
    image = np.random.default_rng(0).integers(1, 255, (5, 6, 7), dtype=np.uint8)
    tif("five.tif", image)
    views = {
        "rgb": {
            "sensor": "aerial-rgb", "bands": ["R", "G", "B"],
            "from": {"files": "five.tif", "channels": ["R", "G", "B", "N", "height"]},
        },
        "msi": {
            "sensor": "sentinel-2-l2a", "bands": ["B04", "B03", "B02", "B08", "B11"], "unit": "reflectance", "scale": 0.004, "offset": 0,
            "from": {"files": "a.tif", "stack": ["b.tif"]},
        },
    }  # fmt: skip
    tif("a.tif", image[:3])
    tif("b.tif", image[3:])
    build(card(views=views), tmp_path, tmp_path / "out", Options(workers=1))
    found = samples_of(tmp_path / "out")
    np.testing.assert_array_equal(found["rgb-five"].image, image[:3])
    np.testing.assert_array_equal(found["msi-a"].image, image)
    tif("b.tif", image[3:4])
    with pytest.raises(DataError, match=r"do not make one image of 5 bands: a\.tif 3 x 6 x 7, b\.tif 1 x 6 x 7"):
        build(card(views={"msi": views["msi"]}), tmp_path, tmp_path / "out2", Options(workers=1))


def test_shards_bring_a_sensor_of_the_users_own_along(card, tif, tmp_path):
    import subprocess
    import sys

    bands = ", ".join(f"{{name: {name}, center_wavelength_um: {um}}}" for name, um in (("green", 0.55), ("edge", 0.72)))
    (tmp_path / "build-test-cam.yaml").write_text(
        "{name: build-test-cam, title: c, modality: msi, product_level: surface, unit: reflectance, scale: 0.001, offset: 0,"
        f" sources: [test], bands: [{bands}]}}"
    )
    image = tif("a.tif", np.arange(1, 33, dtype=np.uint16).reshape(2, 4, 4), names=["green", "edge"])
    build(
        card(views={"msi": {"sensor": "build-test-cam.yaml", "from": {"files": "a.tif"}}}), tmp_path, tmp_path / "out", Options(workers=1)
    )
    (tmp_path / "build-test-cam.yaml").unlink()
    # another process, which has never seen the file
    code = (
        "import sys, pickle; from geolangbind.data.shards import ShardSet; from geolangbind.data.batch import collate\n"
        "stream = ShardSet.open(sys.argv[1]).streams[0]; batch = collate([stream.read(0)])\n"
        "print(batch.sensor, batch.channels.wavelengths_um, round(float(batch.image.sum()), 4))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "out")], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[0] == f"build-test-cam (0.55, 0.72) {round(float(image.sum()) / 1000, 4)}"


def test_radar_pictures(card, picture, tmp_path):
    (tmp_path / "radar-picture.yaml").write_text(
        "{name: build-test-radar-picture, title: r, modality: sar, product_level: none, unit: display_u8, scale: 1, offset: 0,"
        " sources: [test], bands: [{name: amplitude}]}"
    )
    import numpy
    from PIL import Image

    Image.fromarray(numpy.full((4, 4), 51, numpy.uint8)).save(tmp_path / "a.png")
    view = {"sensor": "radar-picture.yaml", "bands": ["amplitude"], "from": {"files": "a.png"}}
    build(card(views={"sar": view}), tmp_path, tmp_path / "out", Options(workers=1))
    from geolangbind.data.batch import collate

    batch = collate([ShardSet.open(tmp_path / "out").streams[0].read(0)])
    assert (batch.modality, batch.channels.kinds) == ("sar", ("display",)) and batch.image.eq(0.2).all()


def test_values_that_cannot_be_are_kept_where_the_card_states_the_unit_and_refused_where_it_does_not(card, tif, tmp_path):
    image = tif("a.tif", np.full((1, 4, 4), 60_000, np.uint16))
    view = {"sensor": "sentinel-2-l2a", "bands": ["B04"], "offset": 0, "from": {"files": "a.tif"}}
    said = build(card(views={"msi": {**view, "unit": "reflectance", "scale": 0.0001}}), tmp_path, tmp_path / "out", Options(workers=1))
    assert said.ok and [entry.place for entry in said.doubtful] == ["a"] and "reflectance lies in" in said.doubtful[0].why
    np.testing.assert_array_equal(samples_of(tmp_path / "out")["msi-a"].image, image)
    with pytest.raises(DataError, match=r"commonest reason.*reflectance lies in"):
        build(card(views={"msi": view}), tmp_path, tmp_path / "ruled", Options(workers=1))


def test_another_part_of_a_source_does_not_replace_the_first(source, tmp_path):
    build(source, tmp_path, tmp_path / "out", Options(workers=1, split="train"))
    with pytest.raises(DataError, match="holds split train of test, which is not what was asked for"):
        build(source, tmp_path, tmp_path / "out", Options(workers=1, split="validation"))
    with pytest.raises(DataError, match="holds split train of test"):
        build(source, tmp_path, tmp_path / "out", Options(workers=1))
    assert build(source, tmp_path, tmp_path / "out", Options(workers=1, split="validation", overwrite=True)).count == 3
