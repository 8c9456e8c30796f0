"""Unseen sensors: the same scenes, sizes and labels as the seen ones, other bands; the share of accuracy kept."""

import numpy as np
import pytest

from geolangbind.data.shards import ShardSet
from geolangbind.errors import DataError
from geolangbind.evaluate.embedder import Ours
from geolangbind.evaluate.encoded import encode_streams
from geolangbind.evaluate.prompts import label_phrases
from geolangbind.evaluate.zero_shot import zero_shot
from geolangbind.planet.products import PRODUCTS
from geolangbind.planet.write import write_planet
from geolangbind.study.unseen import SUBSETS, UNSEEN, accuracy_kept, products, write_unseen
from geolangbind.weights.load import load


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_unseen(tmp_path_factory.mktemp("unseen") / "planet", 6, seed=2)


def _streams(folder):
    return {stream.shards[0].file.rpartition("-")[0]: stream for stream in ShardSet.open(folder).streams}


def test_every_sensor_shows_the_scenes_of_its_counterpart(folder) -> None:
    streams = _streams(folder)
    trained = {product.sensor for seen in PRODUCTS.values() for product in seen}
    for name, against in (UNSEEN | SUBSETS).items():
        unseen, seen = streams[name], streams[against]
        assert (unseen.modality, unseen.unit, unseen.shape[1:]) == (seen.modality, seen.unit, seen.shape[1:]), name
        assert unseen.bands != seen.bands or unseen.sensor != seen.sensor
        if name in UNSEEN and name != "landsat-toa":  # Landsat's thermal bands are trained on, its reflectance is not
            assert unseen.sensor not in trained
        for mine, theirs in zip(unseen.read_many(range(6)), seen.read_many(range(6)), strict=True):
            assert mine.meta.labels == theirs.meta.labels and mine.meta.gsd_m == theirs.meta.gsd_m
            np.testing.assert_array_equal(mine.mask, theirs.mask)
    counts = {name: len(streams[name].bands) for name in (*UNSEEN, *SUBSETS)}
    assert counts == {
        "landsat-toa": 8, "worldview-3": 16, "landsat-surface": 7, "superdove": 8, "five-band-camera": 5, "spectrometer-60": 60,
        "naip": 4, "aster-tir": 5, "srtm": 1, "sentinel-2-10m": 4, "enmap-half": 101,
    }  # fmt: skip


def test_neighbouring_bands_agree_with_the_seen_sensor(folder) -> None:
    """Landsat's and Sentinel-2's red differ by the band, not by the scene: the pictures correlate almost fully."""
    streams = _streams(folder)
    landsat, sentinel = streams["landsat-surface"].read(0), streams["msi-l2a"].read(0)
    red = [sample.image[sample.meta.bands.index(band)].ravel() for sample, band in ((landsat, "SR_B4"), (sentinel, "B04"))]
    assert np.corrcoef(red)[0, 1] > 0.98
    assert red[0].mean() == pytest.approx(red[1].mean(), rel=0.05)


def test_landsat_is_as_sharp_as_its_counterpart_unless_asked(folder, tmp_path) -> None:
    (product,) = [product for product in products({"five-band-camera": folder / "five-band-camera.yaml",
                                                   "spectrometer-60": folder / "spectrometer-60.yaml"}, own_gsd=True)
                  if product.name == "landsat-surface"]  # fmt: skip
    write_planet(tmp_path / "own", 1, seed=2, workers=1, split="test", progress=False, products=[product])
    (own,) = ShardSet.open(tmp_path / "own").streams
    sharp = _streams(folder)["landsat-surface"].read(0).image.astype(float)
    blurred = own.read(0).image.astype(float)
    assert own.read(0).key == _streams(folder)["landsat-surface"].read(0).key
    rough = [np.abs(np.diff(image, axis=2)).mean() for image in (sharp, blurred)]
    assert rough[1] < 0.8 * rough[0]


def test_kept_is_the_quotient_of_two_accuracies(folder) -> None:
    model = load("planet-tiny")
    shards = ShardSet.open(folder)
    found = accuracy_kept(model, folder)
    assert set(found) == {*UNSEEN, *SUBSETS}
    for name, row in found.items():
        assert row["against"] == (UNSEEN | SUBSETS)[name] and row["unseen"]["n"] == row["seen"]["n"] == 6
    row = found["superdove"]
    classes = label_phrases(shards, "scene_class")
    embedder = Ours("", "", model)
    encoded = [encode_streams(embedder, [_streams(folder)[name]]) for name in ("superdove", "msi-l2a")]
    unseen, seen = (zero_shot(embedder, own, classes, "scene_class")[0].value for own in encoded)
    assert row["kept"] == pytest.approx(unseen / seen)


def test_a_folder_of_something_else_is_refused(tmp_path) -> None:
    write_planet(tmp_path / "planet", 1, modalities=("dem",), workers=1, progress=False)
    with pytest.raises(DataError, match="holds no landsat-toa"):
        accuracy_kept(load("planet-tiny"), tmp_path / "planet")
