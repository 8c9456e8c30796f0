"""Statistics: measured on constructed images, curves over wavelength, transforms, JSON."""

import json
import math

import numpy as np
import pytest
import torch

from geolangbind.errors import CheckpointError, UnitError
from geolangbind.sensors.channels import ChannelSet
from geolangbind.statistics import KindStatistics, Measured, Statistics, measure, transform, transform_of

SURFACE = "reflectance_surface"
GREEN_RED = ChannelSet((0.56, 0.66), (SURFACE,) * 2, (0.0,) * 2)
CURVE = Statistics(
    {SURFACE: KindStatistics("identity", (0.5, 0.6, 1.6), (1.0, 2.0, 4.0), (0.1, 0.2, 0.4))},
    {f"known/{SURFACE}": {"green": (10.0, 2.0)}},
)


def plane(*values: float) -> torch.Tensor:
    """(1, C, 2, 2) with one value per channel."""
    return torch.tensor(values).view(1, -1, 1, 1).expand(1, len(values), 2, 2)


def test_log_transform():
    values = torch.tensor([-0.3, 0.0, 0.1, 0.98]).view(1, 1, 2, 2)
    expected = [math.log(0.02), math.log(0.02), math.log(0.12), 0.0]
    assert transform(values, ["log"]).flatten().tolist() == pytest.approx(expected, abs=1e-6)
    assert values.flatten().tolist() == pytest.approx([-0.3, 0.0, 0.1, 0.98])


def test_relief_transform_is_about_the_images_own_mean():
    values = torch.tensor([[[[95.0, 105.0], [100.0, 100.0]]], [[[0.0, 0.0], [0.0, 400.0]]]])
    found = transform(values, ["relief"])
    assert found[0].flatten().tolist() == pytest.approx([-math.asinh(1), math.asinh(1), 0, 0], abs=1e-6)
    assert found[1].flatten().tolist() == pytest.approx([-math.asinh(20)] * 3 + [math.asinh(60)], abs=1e-6)
    assert torch.allclose(transform(values + 2000, ["relief"]), found, atol=1e-3)


def test_relief_ignores_holes():
    image = torch.full((1, 1, 4, 4), 2000.0)
    image[0, 0, 0] = 2010.0
    image[0, 0, 3] = 0.0
    valid = torch.ones(1, 4, 4, dtype=torch.bool)
    valid[0, 3] = False
    mean = (4 * 2010 + 8 * 2000) / 12
    found = transform(image, ["relief"], valid)[0, 0, :3].flatten().tolist()
    assert found == pytest.approx([math.asinh((2010 - mean) / 5)] * 4 + [math.asinh((2000 - mean) / 5)] * 8, rel=1e-4)
    statistics = Statistics({"elevation": KindStatistics("relief", (0.0,), (0.0,), (2.0,))})
    channels = ChannelSet((0.0,), ("elevation",), (0.0,))
    normalized, _ = statistics.normalize(image, channels, "dem", ["elevation"], valid)
    assert normalized[0, 0, :3].flatten().tolist() == pytest.approx([x / 2 for x in found], rel=1e-6)


def test_each_channel_has_its_own_transform():
    image = torch.rand(2, 3, 4, 4)
    mixed = transform(image, ["identity", "log", "relief"])
    for i, name in enumerate(("identity", "log", "relief")):
        assert torch.equal(mixed[:, i], transform(image[:, i : i + 1], [name])[:, 0])


def test_transforms_of_kinds():
    assert {kind: transform_of(kind) for kind in (SURFACE, "reflectance_toa", "elevation", "height", "display", "sigma0_vv_c")} == {
        SURFACE: "log",
        "reflectance_toa": "log",
        "elevation": "relief",
        "height": "relief",
        "display": "identity",
        "sigma0_vv_c": "identity",
    }


@pytest.mark.parametrize(
    ("wavelength_um", "mean", "std"),
    [(0.5, 1.0, 0.1), (0.55, 1.5, 0.15), (1.1, 3.0, 0.3), (0.3, 1.0, 0.1), (2.2, 4.0, 0.4)],
)
def test_the_curve_is_linear_and_held_at_its_ends(wavelength_um, mean, std):
    channels = ChannelSet((wavelength_um,), (SURFACE,), (0.0,))
    normalized, how = CURVE.normalize(plane(7.0), channels, "stranger", ["x"])
    assert how == "curve"
    assert normalized.flatten().tolist() == pytest.approx([(7 - mean) / std] * 4, rel=1e-5)


def test_a_known_sensor_is_normalised_exactly():
    channels = ChannelSet((0.55,), (SURFACE,), (0.0,))
    normalized, how = CURVE.normalize(plane(14.0), channels, "known", ["green"])
    assert how == "exact" and normalized.flatten().tolist() == [2.0] * 4


def test_one_unknown_band_of_a_known_sensor_uses_the_curve():
    channels = ChannelSet((0.55, 0.6), (SURFACE,) * 2, (0.0,) * 2)
    normalized, how = CURVE.normalize(plane(14.0, 3.0), channels, "known", ["green", "red"])
    assert how == "curve"
    assert normalized[0, :, 0, 0].tolist() == pytest.approx([2.0, 5.0], rel=1e-5)


def test_an_unknown_kind_is_refused_with_a_list():
    channels = ChannelSet((0.55, 10.9), (SURFACE, "brightness_temperature"), (0.0,) * 2)
    message = "never taught brightness_temperature .band B10 of landsat.; it knows reflectance_surface. Convert .* or train on this kind"
    with pytest.raises(UnitError, match=message):
        CURVE.normalize(plane(1.0, 300.0), channels, "landsat", ["B3", "B10"])


def test_measure_in_closed_form():
    """Channel means are those of the logarithm; the deviation of the kind is the median over its channels."""
    first = torch.tensor([0.02, 0.08, 0.02, 0.08]).view(1, 1, 2, 2)  # log of 0.04 and 0.10
    second = torch.tensor([0.18, 0.98, 0.18, 0.98]).view(1, 1, 2, 2)  # log of 0.20 and 1.00
    statistics = measure([Measured("s2", ("B03", "B04"), torch.cat([first, second], 1), GREEN_RED)])
    logs = np.log([[0.04, 0.10], [0.20, 1.00]])
    means = logs.mean(axis=1)
    spread = float(np.median([np.std([*row, *row], ddof=1) for row in logs]))
    kind = statistics.kinds[SURFACE]
    assert kind.transform == "log" and kind.wavelengths_um == (0.56, 0.66)
    assert kind.mean == pytest.approx(means, rel=1e-5)
    assert kind.std == pytest.approx([spread] * 2, rel=1e-5)
    bands = statistics.bands[f"s2/{SURFACE}"]
    assert [bands["B03"][0], bands["B04"][0]] == pytest.approx(means, rel=1e-5)
    assert bands["B03"][1] == pytest.approx(spread, rel=1e-5)


def test_two_sensors_share_a_curve_and_keep_their_own_means():
    red = ChannelSet((0.66,), (SURFACE,), (0.0,))
    image = torch.tensor([0.08, 0.98]).view(1, 1, 1, 2)
    statistics = measure([Measured("a", ("r",), image, red), Measured("b", ("red",), image / 2, red)])
    kind, bands = statistics.kinds[SURFACE], statistics.bands
    assert kind.wavelengths_um == (0.66,)
    means = [bands[f"a/{SURFACE}"]["r"][0], bands[f"b/{SURFACE}"]["red"][0]]
    assert kind.mean[0] == pytest.approx(sum(means) / 2)
    assert means[0] == pytest.approx((math.log(0.1) + math.log(1.0)) / 2, rel=1e-5)


def test_what_was_measured_is_normalised_to_mean_zero():
    torch.manual_seed(0)
    image = torch.rand(4, 2, 8, 8) * 0.5
    statistics = measure([Measured("s2", ("B03", "B04"), image, GREEN_RED)])
    normalized, how = statistics.normalize(image, GREEN_RED, "s2", ["B03", "B04"])
    assert how == "exact"
    assert normalized.mean((0, 2, 3)).tolist() == pytest.approx([0, 0], abs=1e-5)
    assert float(normalized.std((0, 2, 3)).mean()) == pytest.approx(1, abs=0.02)


def test_a_constant_kind_has_a_floor_under_its_deviation():
    display = ChannelSet((0.66,), ("display",), (0.0,))
    statistics = measure([Measured("rgb", ("R",), torch.full((1, 1, 4, 4), 0.5), display)])
    assert statistics.kinds["display"].std == (1e-3,)


def test_joined_keeps_the_parents():
    other = Statistics(
        {SURFACE: KindStatistics("log", (0.4,), (0.0,), (9.0,)), "display": KindStatistics("identity", (0.5,), (0.5,), (0.2,))},
        {f"known/{SURFACE}": {"green": (0.0, 1.0)}, "rgb/display": {"R": (0.4, 0.2)}},
    )
    joined = CURVE.joined(other)
    assert joined.kinds == {**CURVE.kinds, "display": other.kinds["display"]}
    assert joined.bands == {**CURVE.bands, "rgb/display": {"R": (0.4, 0.2)}}
    assert set(CURVE.kinds) == {SURFACE}


def test_round_trip_through_json():
    assert Statistics.from_json(json.loads(json.dumps(CURVE.to_json()))) == CURVE
    assert Statistics.from_json(Statistics().to_json()) == Statistics()


@pytest.mark.parametrize(
    "damage",
    [
        {},
        {"kinds": {}},
        {"kinds": {}, "bands": {"a/b": {"c": [1.0]}}},
        {"kinds": {}, "bands": []},
        {"kinds": {SURFACE: {"transform": "log"}}, "bands": {}},
        {"kinds": [], "bands": {}},
        {"kinds": {SURFACE: 3}, "bands": {}},
    ],
)
def test_damaged_json_is_refused(damage):
    with pytest.raises(CheckpointError, match=r"statistics in config\.json are damaged"):
        Statistics.from_json(damage)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("sqrt", (0.0,), (0.0,), (1.0,)), "unknown transform 'sqrt'.*identity, log, relief, warmth"),
        (("log", (0.4, 0.5), (0.0,), (1.0,)), "as many means and positive deviations"),
        (("log", (0.4,), (0.0,), (0.0,)), "positive deviations"),
        (("log", (0.4,), (0.0,), (float("nan"),)), "positive deviations"),
        (("log", (), (), ()), "as many means"),
        (("log", (0.6, 0.5), (0.0, 0.0), (1.0, 1.0)), "must ascend"),
    ],
)
def test_impossible_statistics_are_refused(arguments, message):
    with pytest.raises(CheckpointError, match=message):
        KindStatistics(*arguments)
