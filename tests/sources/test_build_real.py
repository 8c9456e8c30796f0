"""Everything in the shared real rasters through the builder and back: values equal to rasterio's."""

import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio
import yaml

from geolangbind.data.rasters import read_raster
from geolangbind.data.shards import ShardSet
from geolangbind.data.verify import verify
from geolangbind.sensors.units import Unit
from geolangbind.sources.build import Options, build
from geolangbind.sources.card import load_card
from geolangbind.sources.plan import make_plan

CARDS = yaml.safe_load((Path(__file__).parent / "real_cards.yaml").read_text())
COUNTS = {
    "terramesh": 12, "worldcereal": 23, "bigearthnet": 12, "myanmar": 7, "treesat": 293, "new_zealand": 1, "amazon": 2,
    "casablanca": 1, "naip": 2, "camargue": 1, "landsat": 3, "enmap": 6, "hit_uav": 16, "alexandria": 3, "zion": 1, "eurosat": 240,
    "rsvqa": 9,
}  # fmt: skip
"""Counted by hand from the folders' README."""


def load(name, real, folder):
    spec = dict(CARDS[name])
    root = real / spec.pop("root")
    if not spec:
        return load_card(name), root
    facts = {"name": name, "title": name, "tasks": ["train"], "licence": "unknown", "source": "shared", "revision": "unknown"}
    (folder / f"{name}.yaml").write_text(yaml.safe_dump({**facts, **spec}))
    return load_card(folder / f"{name}.yaml"), root


def stored_by_rasterio(path, sample):
    """The file's own numbers of the sample's bands, or None where rasterio has to be told how to make one grid of several."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        if path.is_dir():
            files = {re.search(r"_([A-Z0-9]+)\.tif$", file.name)[1]: file for file in path.glob("*.tif")}
            return np.concatenate([rasterio.open(files[band]).read() for band in sample.meta.bands])
        with rasterio.open(path) as file:
            image = file.read()
            names = [text or "" for text in file.descriptions]
    if len(image) == len(sample.meta.bands):
        return image
    if sample.meta.sensor == "enmap-l2a":
        return image[[int(band[1:]) - 1 for band in sample.meta.bands]]
    return image[[next(i for i, text in enumerate(names) if text.split("_")[0] == band) for band in sample.meta.bands]]


@pytest.mark.parametrize("name", CARDS)
def test_every_real_raster_comes_back_as_rasterio_reads_it(name, shared, tmp_path):
    card, root = load(name, shared / "data" / "real", tmp_path)
    report = build(card, root, tmp_path / "out", Options(workers=1))
    assert report.ok and not report.missing and report.count == COUNTS[name] and report.wordless == 0
    assert verify(tmp_path / "out").ok
    records = {(view.name, record.place): record for view, record in _records(card, root)}
    for stream in ShardSet.open(tmp_path / "out").streams:
        for number in range(len(stream)):
            sample = stream.read(number)
            view = sample.key.split("-")[0]
            (record,) = [r for (v, place), r in records.items() if v == view and sample.key == _key(card, view, place)]
            if not hasattr(record.image, "is_file"):  # an array of a series
                np.testing.assert_array_equal(sample.image, np.load(record.image.root)[record.image.number])
                continue
            if sample.meta.unit is Unit.BRIGHTNESS_TEMPERATURE_K:  # no line through the stored numbers: kept in kelvin
                want = read_raster(record.image, sensor=sample.meta.sensor, bands=list(sample.meta.bands)).image
            else:
                want = stored_by_rasterio(record.image, sample)
                assert sample.image.dtype == want.dtype
            np.testing.assert_array_equal(sample.image, want)
            if record.mask is not None and name != "zion":  # its labels lie in another grid
                np.testing.assert_array_equal(sample.mask, rasterio.open(record.mask).read(1))


def _records(card, root):
    for block in make_plan(card, root).blocks:
        yield from ((block.view, record) for record in block.records)


def _key(card, view, place):
    from geolangbind.sources.assemble import sample_key

    return sample_key(card.views[view], place)


def test_land_cover_in_another_grid_is_brought_to_the_elevation(shared, tmp_path):
    card, root = load("zion", shared / "data" / "real", tmp_path)
    build(card, root, tmp_path / "out", Options(workers=1))
    sample = ShardSet.open(tmp_path / "out").streams[0].read(0)
    # the share of each class is that of the file, though the pixels are 31 m there and 83 m here
    labels = rasterio.open(root / "nlcd.tif").read(1)
    inside, there = sample.mask[sample.mask > 0], labels[labels > 0]
    for value in range(1, 9):
        assert (inside == value).mean() == pytest.approx((there == value).mean(), abs=0.02)


def test_co_registered_views_share_their_place(shared, tmp_path):
    from geolangbind.data.places import place_of

    card, root = load("terramesh", shared / "data" / "real", tmp_path)
    build(card, root, tmp_path / "out", Options(workers=1))
    places = [{place_of(key) for shard in stream.shards for key in shard.keys} for stream in ShardSet.open(tmp_path / "out").streams]
    assert places == [{"282D_485L_3_3", "433D_629L_3_1", "637U_59R_1_3"}] * 4
