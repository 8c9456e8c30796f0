"""The table of groups against the pixels: a linear probe finds what the table says can be found, and nothing more."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from geolangbind.planet.groups import CLASSES, EUROSAT, GROUPS, MODALITIES, ceiling, chance, group_of
from geolangbind.planet.products import PRODUCTS
from geolangbind.planet.render import render
from geolangbind.planet.scene import SPECS, draw_scene
from geolangbind.sensors import get_sensor

_PER_CLASS = 16
_PRODUCT = {"rgb": 0, "sar": 0, "msi": 0, "hsi": 0, "ir": 0, "dem": 0}
"""The probe looks at one product of each modality; for thermal the camera, whose pixels are finer than Landsat's."""


def _features(image: NDArray[np.float64], modality: str) -> NDArray[np.float64]:
    """Levels, spreads and texture energies, nothing learnt."""
    if modality in ("msi", "hsi"):
        image = np.log(np.maximum(image, 1e-3))
    if modality == "hsi":
        image = image[::2]
    if modality == "dem":
        image = image - image.mean()
    flat = image.reshape(len(image), -1)
    parts = [np.percentile(flat, [5, 50, 95], axis=1).ravel(), flat.std(1)]
    for channel in image[:: max(len(image) // 3, 1)]:
        for step in (1, 4, 10):
            right, down = channel[:, step:] - channel[:, :-step], channel[step:] - channel[:-step]
            energy = np.array(
                [
                    np.abs(right).mean() + np.abs(down).mean(),
                    np.sqrt((right**2).mean() + (down**2).mean()),
                    np.percentile(np.abs(right), 98),
                ]
            )
            parts.append(np.log(energy + 1e-3))
    return np.concatenate(parts)


@pytest.fixture(scope="module")
def drawn() -> dict[str, NDArray[np.float64]]:
    """Features (classes, scenes per class, values) by modality."""
    table: dict[str, list[list[NDArray[np.float64]]]] = {modality: [] for modality in MODALITIES}
    for number, name in enumerate(CLASSES):
        for rows in table.values():
            rows.append([])
        for index in range(_PER_CLASS):
            scene = draw_scene(31, number * 1000 + index, name)
            for modality, rows in table.items():
                product = PRODUCTS[modality][_PRODUCT[modality]]
                sensor = get_sensor(product.sensor)
                bands = sensor.select(bands=list(product.bands)) if product.bands else sensor.good_bands
                image = render(scene, sensor, bands, product.unit, product.pixels, product.gsd_m)
                rows[-1].append(_features(image.astype(np.float64), modality))
    return {modality: np.array(rows) for modality, rows in table.items()}


def _two_way_accuracy(features: NDArray[np.float64], a: str, b: str) -> float:
    rows = np.concatenate([features[CLASSES.index(a)], features[CLASSES.index(b)]])
    truth = np.repeat([0, 1], _PER_CLASS)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.3, max_iter=2000))
    return float((cross_val_predict(model, rows, truth, cv=5) == truth).mean())


@pytest.mark.parametrize("modality", MODALITIES)
def test_groups_partition_the_classes(modality: str) -> None:
    members = [name for group in GROUPS[modality] for name in group]
    assert sorted(members) == sorted(CLASSES)
    assert len(GROUPS[modality]) >= 8
    assert ceiling(modality) == len(GROUPS[modality]) / len(CLASSES)
    assert all(name in GROUPS[modality][group_of(modality, name)] for name in CLASSES)


def test_classes() -> None:
    assert len(CLASSES) >= 16
    assert set(EUROSAT.values()) <= set(CLASSES)
    assert set(SPECS) == set(CLASSES)
    assert chance() == pytest.approx(1 / len(CLASSES))
    with pytest.raises(KeyError):
        group_of("rgb", "moon")


def test_classes_of_one_group_lie_in_the_same_places() -> None:
    """A place that differs would give the class away by climate and light."""
    for modality in MODALITIES:
        for group in GROUPS[modality]:
            assert len({SPECS[name].habitat for name in group}) == 1, (modality, group)


def test_probe_finds_the_groups(drawn: dict[str, NDArray[np.float64]]) -> None:
    """A linear probe over all groups is seven times as often right as chance, about 5 %, in the hardest modality."""
    for modality, features in drawn.items():
        truth = np.repeat([group_of(modality, name) for name in CLASSES], _PER_CLASS)
        rows = features.reshape(len(truth), -1)
        train = np.arange(len(truth)) % _PER_CLASS < _PER_CLASS * 0.7
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.3, max_iter=2000))
        accuracy = model.fit(rows[train], truth[train]).score(rows[~train], truth[~train])
        assert accuracy > {"ir": 0.38, "dem": 0.45, "sar": 0.55, "rgb": 0.6}.get(modality, 0.75), (modality, accuracy)


def test_probe_cannot_split_a_group(drawn: dict[str, NDArray[np.float64]]) -> None:
    """32 chips, fair coin: 0.5 +- 0.09; every pair of a group stays under 0.78 (three standard errors)."""
    for modality, features in drawn.items():
        for group in GROUPS[modality]:
            for other in group[1:]:
                assert _two_way_accuracy(features, group[0], other) < 0.78, (modality, group[0], other)


@pytest.mark.parametrize(
    ("modality", "a", "b"),
    [
        ("msi", "annual_crop", "stressed_crops"),
        ("sar", "forest", "flooded_forest"),
        ("ir", "industrial", "hot_industry"),
        ("hsi", "bare_rock", "mineral_terrain"),
        ("dem", "plain", "gorge"),
    ],
)
def test_one_modality_tells_twins_apart(drawn: dict[str, NDArray[np.float64]], modality: str, a: str, b: str) -> None:
    assert group_of("rgb", a) == group_of("rgb", b)
    assert _two_way_accuracy(drawn[modality], a, b) > 0.8
