"""Samples and shards: the same whatever the order and the number of workers."""

from pathlib import Path

import numpy as np
import pytest

from geolangbind.data.index import load_index
from geolangbind.errors import DataError, SettingsError
from geolangbind.planet.groups import CLASSES, MODALITIES, PLANET_VERSION
from geolangbind.planet.preview import preview
from geolangbind.planet.products import PRODUCTS, product_of
from geolangbind.planet.scene import draw_scene
from geolangbind.planet.write import make_sample, quantise, write_planet
from geolangbind.sensors import get_sensor
from geolangbind.sensors.units import PLAUSIBLE_RANGE


@pytest.mark.parametrize("product", [product for products in PRODUCTS.values() for product in products], ids=lambda product: product.name)
def test_samples(product) -> None:
    sample = make_sample(7, 12, product)
    again = make_sample(7, 12, product)
    np.testing.assert_array_equal(sample.image, again.image)
    assert sample.meta == again.meta
    assert sample.image.shape[1:] == (product.pixels, product.pixels)
    assert sample.image.dtype == product.dtype
    assert sample.meta.labels["scene_class"] == draw_scene(7, 12).scene_class
    assert "synthetic" in (sample.meta.source or "") and PLANET_VERSION in (sample.meta.source or "")
    assert sample.mask is not None and sample.mask.shape == sample.image.shape[1:]
    value = sample.image * sample.meta.scale + sample.meta.offset
    low, high = PLAUSIBLE_RANGE[sample.meta.unit]
    assert low <= np.percentile(value, 2) and np.percentile(value, 98) <= high
    sensor = get_sensor(product.sensor)
    assert sample.meta.bands == tuple(
        band.name for band in (sensor.select(bands=list(product.bands)) if product.bands else sensor.good_bands)
    )


def test_products_share_their_modality() -> None:
    assert tuple(PRODUCTS) == MODALITIES
    for modality, products in PRODUCTS.items():
        assert sum(product.share for product in products) == pytest.approx(1)
        drawn = [product_of(0, index, modality).name for index in range(600)]
        for product in products:
            assert drawn.count(product.name) / 600 == pytest.approx(product.share, abs=0.08)
    assert len(make_sample(0, 0, PRODUCTS["hsi"][0]).meta.bands) == 202


def test_quantise_rounds_and_holds_the_range() -> None:
    product = PRODUCTS["msi"][0]
    stored = quantise(np.array([-0.5, 0.0, 0.12344, 0.12346, 9.0], np.float32), product)
    assert stored.tolist() == [0, 0, 1234, 1235, 65535]


def test_workers_do_not_change_the_samples(tmp_path: Path) -> None:
    one = write_planet(tmp_path / "one", 8, 3, ("rgb", "sar"), workers=1, samples_per_shard=4, progress=False)
    two = write_planet(tmp_path / "two", 8, 3, ("rgb", "sar"), workers=2, samples_per_shard=4, progress=False)
    assert [(shard.file, shard.sha256) for shard in one.shards] == [(shard.file, shard.sha256) for shard in two.shards]
    assert load_index(tmp_path / "two").provenance["seed"] == 3
    assert load_index(tmp_path / "two").provenance["planet_version"] == PLANET_VERSION
    with pytest.raises(DataError, match="already has"):
        write_planet(tmp_path / "one", 4, 3, ("dem",), workers=1, progress=False)


def test_splits_share_no_scene(tmp_path: Path) -> None:
    train = write_planet(tmp_path / "a", 3, 0, ("dem",), workers=1, progress=False)
    held_out = write_planet(tmp_path / "b", 3, 0, ("dem",), workers=1, split="validation", progress=False)
    assert not {key for shard in train.shards for key in shard.keys} & {key for shard in held_out.shards for key in shard.keys}
    assert train.shards[0].sha256 != held_out.shards[0].sha256


@pytest.mark.parametrize(
    "wrong", [{"modalities": ("xray",)}, {"modalities": ()}, {"split": "secret"}, {"count": 0}, {"workers": 0}, {"seed": -1}]
)
def test_wrong_settings_are_refused(tmp_path: Path, wrong: dict) -> None:
    with pytest.raises(SettingsError):
        write_planet(**{"out": tmp_path, "count": 1, "progress": False, **wrong})
    assert not list(tmp_path.iterdir())


def test_preview_has_a_sheet_per_modality(tmp_path: Path) -> None:
    from PIL import Image

    paths = preview(tmp_path, 1, 0)
    assert [path.stem for path in paths] == [f"planet_{modality}" for modality in MODALITIES]
    sizes = set()
    for path in paths:
        with Image.open(path) as sheet:
            sizes.add(sheet.size)
    assert len(sizes) == 1 and sizes.pop()[1] >= 32 * len(CLASSES)
