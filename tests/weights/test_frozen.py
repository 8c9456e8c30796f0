"""Freezing: the same vectors as the live model, which stays as it was."""

import dataclasses

import numpy as np
import pytest
import torch

from geolangbind.errors import CheckpointError, SensorError, UnitError
from geolangbind.model import GeoLangBind
from geolangbind.models.encoder import VisionConfig
from geolangbind.models.text import TextConfig
from geolangbind.models.two_tower import TwoTower
from geolangbind.sensors import KINDS, ChannelSet, Unit, channel_set, get_sensor, list_sensors
from geolangbind.sensors.units import to_canonical
from geolangbind.statistics import KindStatistics, Statistics
from geolangbind.weights.frozen import FrozenTextTower, ImageInput, channel_statistics, freeze, image_input, unit_of

STATISTICS = Statistics(
    {
        "reflectance_surface": KindStatistics("log", (0.4, 2.4), (-2.0, -1.5), (0.7, 0.9)),
        "display": KindStatistics("identity", (0.4,), (0.5,), (0.2,)),
        "sigma0_vv_c": KindStatistics("identity", (0.0,), (-11.0,), (5.0,)),
        "sigma0_vh_c": KindStatistics("identity", (0.0,), (-18.0,), (4.0,)),
        "brightness_temperature": KindStatistics("warmth", (10.0,), (0.1,), (1.2,)),
        "elevation": KindStatistics("relief", (0.0,), (0.0,), (1.5,)),
    },
    {"sentinel-2-l2a/reflectance_surface": {"B04": (-1.7, 0.6)}},
)
CASES = {
    "reflectance": ("sentinel-2-l2a", ["B04", "B03", "B12"], "reflectance", 0, 0.5),
    "display": ("aerial-rgb", ["R", "G", "B"], "display_u8", 0, 255),
    "decibel": ("sentinel-1-grd", ["VV", "VH"], "sigma0_db", -25, 0),
    "kelvin": ("aster-tir", ["B13", "B14"], "brightness_temperature_k", 270, 320),
    "metres": ("copernicus-dem", ["elevation"], "elevation_m", 0, 900),
}
RGB_UM = (0.665, 0.56, 0.49)


def build(native=True, statistics=STATISTICS, **vision) -> GeoLangBind:
    torch.manual_seed(0)
    config = VisionConfig(32, 8, 32, 1, 2, 64, generator_hidden=64, kinds=native, mean_over_channels=native)
    towers = TwoTower(dataclasses.replace(config, **vision), TextConfig(100, 10, 16, 1, 2, 2.0, 32))
    return GeoLangBind(towers, None, statistics).eval()


def frozen_for(model, image: ImageInput):
    return freeze(model, image.channels, sensor=image.sensor, bands=image.bands)


def chips(case: str, count=3) -> torch.Tensor:
    _, bands, _, low, high = CASES[case]
    return low + (high - low) * torch.rand(count, len(bands), 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def model() -> GeoLangBind:
    return build()


@pytest.mark.parametrize("case", list(CASES))
def test_a_frozen_tower_gives_the_live_vectors(model, case):
    sensor, bands, unit, *_ = CASES[case]
    image = image_input(model, sensor=sensor, bands=bands, unit=unit)
    vectors = frozen_for(model, image)(chips(case))
    assert vectors.shape == (3, 32) and vectors.dtype == torch.float32 and not vectors.requires_grad
    live = model.encode_image(chips(case), sensor=sensor, bands=bands, unit=unit)
    assert (vectors - live).abs().max() < 1e-5
    assert torch.allclose(vectors.norm(dim=1), torch.ones(3), atol=1e-6)
    assert image.unit == unit and image.bands == tuple(bands)


def test_wavelengths_take_normalised_input():
    model = build(native=False)
    image = image_input(model, wavelengths_um=list(RGB_UM))
    assert image == ImageInput(ChannelSet(RGB_UM)) and image.unit is None
    pixels = torch.randn(2, 3, 32, 32)
    assert (frozen_for(model, image)(pixels) - model.encode_image(pixels, wavelengths_um=RGB_UM)).abs().max() < 1e-5


def test_a_model_of_wavelengths_with_statistics_takes_sensors_and_its_own_number_for_radar():
    model = build(native=False, radar_um=5.405)
    for case in ("reflectance", "decibel"):
        sensor, bands, unit, *_ = CASES[case]
        vectors = frozen_for(model, image_input(model, sensor=sensor, bands=bands, unit=unit))(chips(case))
        assert (vectors - model.encode_image(chips(case), sensor=sensor, bands=bands, unit=unit)).abs().max() < 1e-5


@pytest.mark.parametrize("count", [1, 2, 3, 12, 202])
@pytest.mark.parametrize("native", [True, False])
def test_the_convolution_is_the_generated_embedding(count, native):
    model = build(native)
    wavelengths = tuple(np.linspace(0.42, 2.45, count).tolist())
    channels = ChannelSet(wavelengths, ("reflectance_surface",) * count if native else None)
    image = torch.randn(2, count, 32, 32)
    with torch.no_grad():
        live = model.vision.patch_embed(image, channels)
    frozen = freeze(model, channels, sensor=None, bands=None).patch_embed
    assert type(frozen) is torch.nn.Conv2d and frozen.weight.shape == (32, count, 8, 8)
    assert (frozen(image).permute(0, 2, 3, 1) - live).abs().max() < 1e-5


@pytest.mark.parametrize("vision", [{"patch_padding": 1}, {"stem": (16,), "patch_size": 4}, {"image_size": 36, "gelu_tanh": True}])
def test_padding_stems_and_odd_sizes_are_frozen_too(vision):
    model = build(native=False, **vision)
    size = model.vision.config.image_size
    image = torch.randn(2, 3, size, size)
    frozen = freeze(model, ChannelSet(RGB_UM), sensor=None, bands=None)
    assert (frozen(image) - model.encode_image(image, wavelengths_um=RGB_UM)).abs().max() < 1e-5


def test_the_live_model_is_left_bit_for_bit_alone():
    model = build()
    model.towers.train()
    before = {name: tensor.clone() for name, tensor in model.towers.state_dict().items()}
    image = image_input(model, sensor="copernicus-dem")
    random = torch.get_rng_state()
    frozen, text = frozen_for(model, image), FrozenTextTower(model)
    assert torch.equal(torch.get_rng_state(), random)
    assert model.towers.training and not frozen.training and not text.training
    assert all(parameter.requires_grad for parameter in model.towers.parameters())
    assert not any(parameter.requires_grad for part in (frozen, text) for parameter in part.parameters())
    vectors = frozen(chips("metres"))
    for part in (frozen, text):
        for parameter in part.parameters():
            parameter.zero_()
    after = model.towers.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    again = frozen_for(model, image)
    for parameter in model.towers.parameters():
        parameter.data.zero_()
    assert torch.equal(again(chips("metres")), vectors)


def test_the_generator_is_not_carried_along(model):
    frozen = frozen_for(model, image_input(model, sensor="copernicus-dem"))
    names = set(frozen.state_dict())
    assert not [name for name in names if "weight_generator" in name or "text" in name]
    assert {"patch_embed.weight", "patch_embed.bias", "mean", "std", "vision.pos_embed"} <= names


def test_text_tower(model):
    ids = torch.randint(100, (4, 10), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(FrozenTextTower(model)(ids), model.towers.text_vectors(ids))


def test_statistics_are_those_of_the_live_model():
    """Exact per band where seen, else linear between the centres 0.4 and 2.4 µm."""
    sensor = get_sensor("sentinel-2-l2a")
    channels = channel_set(sensor, sensor.select(bands=["B04", "B03"]), Unit.REFLECTANCE)
    seen, curve = channel_statistics(STATISTICS, channels, sensor.name, ["B04", "B03"])
    assert (seen.transform, seen.mean, seen.std) == ("log", -1.7, 0.6)
    share = (0.5598 - 0.4) / 2.0
    assert (curve.mean, curve.std) == pytest.approx((-2.0 + 0.5 * share, 0.7 + 0.2 * share))


def test_the_unit_of_every_band_of_every_sensor_comes_back():
    seen = set()
    for sensor in list_sensors():
        for band in sensor.bands:
            _, unit = to_canonical(np.zeros(0, np.float32), sensor.unit_of(band))
            channels = channel_set(sensor, [band], unit)
            assert unit_of(channels) is unit
            seen.add(unit)
    assert len(seen) >= 6
    assert {unit_of(ChannelSet((10.0,), (kind,))) for kind in KINDS} >= {*seen, Unit.HEIGHT_M, Unit.GAMMA0_DB}


def test_units_of_one_family_meet_in_the_canonical_one(model):
    for unit in ("sigma0_linear", "sigma0_db"):
        image = image_input(model, sensor="s1-grd" if unit.endswith("db") else "sentinel-1-grd", bands=["VV"], unit=unit)
        assert image.unit is Unit.SIGMA0_DB and image.sensor == "sentinel-1-grd"
    assert image_input(model, sensor="aster-tir", bands=["B13"], unit="celsius").unit is Unit.BRIGHTNESS_TEMPERATURE_K
    assert image_input(model, sensor="sentinel-2-l2a", bands=["b4"]).unit is Unit.REFLECTANCE, "what the product holds"
    assert image_input(model, sensor="sentinel-2-l2a", bands=["b4"]).bands == ("B04",)


S2 = {"sensor": "sentinel-2-l2a", "bands": ["B04"]}


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ({}, SensorError, r"sensor= and bands=, or wavelengths_um="),
        ({**S2, "wavelengths_um": RGB_UM}, SensorError, r"one channel set: say either"),
        ({"wavelengths_um": RGB_UM, "bands": ["B04"]}, SensorError, r"belong to a sensor"),
        ({"wavelengths_um": RGB_UM, "unit": "reflectance"}, SensorError, r"belong to a sensor"),
        ({"wavelengths_um": ()}, SensorError, r"at least one channel"),
        ({"wavelengths_um": (float("nan"),)}, SensorError, r"finite"),
        ({"sensor": "sentinel-2-l2a"}, SensorError, r"which bands of sentinel-2-l2a.*a count is never taken as an order"),
        ({"sensor": "sentinel-9"}, SensorError, r"unknown sensor 'sentinel-9'"),
        ({**S2, "bands": ["B99"]}, SensorError, r"no band 'B99'"),
        ({**S2, "unit": "furlongs"}, UnitError, r"unknown unit 'furlongs'"),
        ({**S2, "unit": "dn"}, UnitError, r"no physical meaning"),
        ({"sensor": "sentinel-1-grd", "bands": ["VV"]}, SensorError, r"several units.*unit=\.\.\..*sigma0_db"),
        ({"sensor": "sentinel-1-grd", "bands": ["HH"], "unit": "sigma0_db"}, UnitError, r"never taught sigma0_hh_c \(band HH"),
        ({"sensor": "sentinel-2-l1c", "bands": ["B04"]}, UnitError, r"never taught reflectance_toa.*it knows .*reflectance_surface"),
        ({"sensor": "landsat-8-9-l2", "bands": ["SR_B4", "ST_B10"]}, SensorError, r"hold reflectance and surface_temperature_k"),
    ],
)
def test_refusals_of_image_input(model, asked, error, message):
    with pytest.raises(error, match=message):
        image_input(model, **asked)


def test_a_model_without_statistics_takes_wavelengths_only():
    model = build(native=False, statistics=Statistics())
    with pytest.raises(CheckpointError, match=r"holds no statistics and cannot normalise sentinel-2-l2a.*wavelengths_um="):
        image_input(model, **S2)
    assert image_input(model, wavelengths_um=RGB_UM).sensor is None


def test_refusals_of_freeze(model):
    kinds = ("reflectance_surface", "elevation")
    with pytest.raises(SensorError, match="share one unit; these hold elevation_m and reflectance"):
        freeze(model, ChannelSet((0.66, 0.0), kinds), sensor="mine", bands=["a", "b"])
    for channels, bands in ((ChannelSet((0.66, 0.56)), ["a", "b"]), (ChannelSet((0.66, 0.0), kinds), ["a"])):
        with pytest.raises(SensorError, match=r"2 channels of mine but .* one each"):
            freeze(model, channels, sensor="mine", bands=bands)
    with pytest.raises(SensorError, match="these hold no kinds"):
        unit_of(ChannelSet((0.66,)))
