"""Kernel generators of their own: chosen by physical kind, saved, loaded and exported with the model."""

import dataclasses
import json

import pytest
import torch

from geolangbind.errors import CheckpointError
from geolangbind.model import GeoLangBind, architecture, load_folder
from geolangbind.models.encoder import VisionConfig, VisionEncoder
from geolangbind.models.routes import route_of, routes_from_json
from geolangbind.models.text import TextConfig
from geolangbind.models.two_tower import TwoTower
from geolangbind.sensors.channels import ChannelSet
from geolangbind.statistics import KindStatistics, Statistics
from geolangbind.weights.frozen import freeze, image_input
from geolangbind.weights.to_timm import timm_tensors
from merge_weights import merge

ROUTES = (("rgb", ("display",)), ("sar", ("sigma0_vv_c", "sigma0_vh_c")))
TINY = {"image_size": 32, "patch_size": 8, "width": 32, "depth": 1, "num_heads": 2, "mlp_hidden": 64, "generator_hidden": 64}
RGB = ChannelSet((0.665, 0.56, 0.49), ("display",) * 3)
SAR = ChannelSet((0.0, 0.0), ("sigma0_vv_c", "sigma0_vh_c"), (5.405, 5.405))
VV = ChannelSet((0.0,), ("sigma0_vv_c",), (5.405,))
S2 = ChannelSet((0.665, 0.56, 0.49), ("reflectance_surface",) * 3)
MIXED = ChannelSet((0.665, 0.0), ("display", "sigma0_vv_c"), (0.0, 5.405))
BARE = ChannelSet((0.665, 0.56, 0.49))
EXPECTED = {RGB: "rgb", SAR: "sar", VV: "sar", S2: None, MIXED: None, BARE: None}


def build(routes=ROUTES, **changes) -> VisionEncoder:
    torch.manual_seed(0)
    return VisionEncoder(VisionConfig(**{**TINY, "routes": routes, **changes})).eval()


def whole(routes=ROUTES, seed=0) -> GeoLangBind:
    torch.manual_seed(seed)
    statistics = Statistics({"display": KindStatistics("identity", (0.5,), (0.4,), (0.2,))})
    vision = VisionConfig(**{**TINY, "routes": routes})
    return GeoLangBind(TwoTower(vision, TextConfig(64, 8, 16, 1, 2, 2.0, 32)), None, statistics).eval()


@pytest.fixture(scope="module")
def routed() -> VisionEncoder:
    return build()


@pytest.mark.parametrize(("channels", "name"), EXPECTED.items())
def test_an_image_goes_where_all_its_kinds_belong(routed, channels, name):
    assert route_of(channels, ROUTES) == name
    embed = routed.patch_embed if name is None else routed.routes[name]
    assert routed.embed_for(channels) is embed
    image = torch.randn(2, len(channels), 32, 32)
    with torch.no_grad():
        output = routed(image, channels=channels)
        others = [other for other in (routed.patch_embed, *routed.routes.values()) if other is not embed]
        assert torch.equal(output.patch_tokens, embed(image, channels).flatten(1, 2))
        assert not any(torch.allclose(output.patch_tokens, other(image, channels).flatten(1, 2)) for other in others)


def test_every_route_has_all_tensors_of_a_generator(routed):
    names = {name.removeprefix("patch_embed.") for name in routed.state_dict() if name.startswith("patch_embed.")}
    assert {name.removeprefix("routes.sar.") for name in routed.state_dict() if name.startswith("routes.sar.")} == names
    plain = set(build(()).state_dict())
    assert set(routed.state_dict()) == plain | {f"routes.{route}.{name}" for route in ("rgb", "sar") for name in names}


@pytest.mark.parametrize("stem", [(), (8, 16)])
def test_equal_generators_give_the_unrouted_model(stem):
    size = {"stem": stem, "patch_size": 2 if stem else 8}
    plain, routed = build((), **size), build(**size)
    state = plain.state_dict()
    for name, tensor in plain.patch_embed.state_dict().items():
        state |= {f"routes.{route}.{name}": tensor for route in ("rgb", "sar")}
    routed.load_state_dict(state)
    for channels in EXPECTED:
        image = torch.randn(2, len(channels), 32, 32)
        with torch.no_grad():
            assert torch.equal(routed(image, channels=channels).embedding, plain(image, channels=channels).embedding)


def test_kernels_are_cached_per_generator(routed):
    with torch.no_grad():
        kernels = {name: routed.embed_for(channels).kernels(channels)[0] for channels, name in ((RGB, "rgb"), (SAR, "sar"), (S2, None))}
        assert routed.routes["rgb"].kernels(RGB)[0] is kernels["rgb"] and routed.patch_embed.kernels(S2)[0] is kernels[None]
        routed.routes["sar"].kind_code.add_(0)  # a parameter of one generator changed: the others' kernels stay
        assert routed.embed_for(RGB).kernels(RGB)[0] is kernels["rgb"]
        assert routed.embed_for(SAR).kernels(SAR)[0] is not kernels["sar"]


def test_a_saved_model_comes_back_routed(tmp_path):
    model = whole()
    folder = model.save(tmp_path / "model")
    told = json.loads((folder / "config.json").read_text())["architecture"]["vision"]
    assert told["routes"] == [["rgb", ["display"]], ["sar", ["sigma0_vv_c", "sigma0_vh_c"]]]
    loaded = load_folder(folder)
    assert loaded.vision.config == model.vision.config and loaded.vision.config.routes == ROUTES
    for channels in (RGB, SAR, S2):
        image = torch.randn(2, len(channels), 32, 32)
        assert torch.equal(loaded.encode_channels(image, channels), model.encode_channels(image, channels))
    assert loaded.vision.embed_for(RGB) is loaded.vision.routes["rgb"]


def test_a_routed_merge_of_the_tool_is_such_a_model(tmp_path):
    _, rgb, others = models = [whole((), seed) for seed in range(3)]
    folders = [str(model.save(tmp_path / name)) for model, name in zip(models, ("base", "rgb", "others"), strict=True)]
    merge(folders[0], [(folders[1], 1.0), (folders[2], 0.5)], tmp_path / "merged", routes=["rgb"])
    merged = load_folder(tmp_path / "merged").vision
    assert merged.config.routes == (("rgb", ("display",)),)
    for channels, branch in ((RGB, rgb), (SAR, others), (S2, others)):
        image = torch.randn(1, len(channels), 32, 32)
        with torch.no_grad():
            assert torch.equal(merged.embed_for(channels)(image, channels), branch.vision.patch_embed(image, channels))
    assert torch.allclose(merged.pos_embed, (rgb.vision.pos_embed + others.vision.pos_embed) / 2)


def test_models_without_routes_say_nothing_of_them(tmp_path):
    model = whole(())
    config = model.config()
    assert "routes" not in config["architecture"]["vision"]  # as before there were routes: such configurations load, and merge with ours
    assert architecture(json.loads(json.dumps(config)))[0] == model.vision.config
    assert not [name for name in model.towers.state_dict() if "routes" in name]


def test_exports_take_the_route_s_generator():
    model = whole()
    image = torch.randn(2, 3, 32, 32)
    for channels in (RGB, S2):
        frozen = freeze(model, channels, sensor=None, bands=None)
        assert (frozen(image) - model.encode_channels(image, channels)).abs().max() < 1e-5
        weight, _ = model.vision.embed_for(channels).kernels(channels)
        assert torch.equal(frozen.patch_embed.weight.flatten(1), weight)
        assert not [name for name in frozen.state_dict() if "generator" in name or "routes" in name]
    program = torch.export.export(freeze(model, RGB, sensor=None, bands=None), (image,))
    assert (program.module()(image) - model.encode_channels(image, RGB)).abs().max() < 1e-5
    assert "routes" in dict(model.vision.named_children()), "the live model keeps its routes"


def test_timm_export_of_a_sensor_takes_the_route_s_generator():
    model = whole()
    image = image_input(model, sensor="sentinel-2-tci", bands=["R", "G", "B"], unit="display_u8")
    assert route_of(image.channels, ROUTES) == "rgb"
    tensors = timm_tensors(model, image)
    assert not [name for name in tensors if "routes" in name]
    assert torch.equal(tensors["patch_embed.proj.weight"].flatten(1), model.vision.routes["rgb"].kernels(image.channels)[0])


@pytest.mark.parametrize(
    ("routes", "told"),
    [
        ((("rgb.2", ("display",)),), "cannot name a route"),
        ((("", ("display",)),), "cannot name a route"),
        ((("train", ("display",)),), "cannot name a route"),  # a method of torch modules
        ((("rgb", ()),), "has no physical kinds"),
        ((("rgb", ("colour", "display")),), "unknown kinds colour"),
        ((("a", ("display",)), ("b", ("elevation", "display"))), "display belongs to route 'b' and to one before it"),
        ((("a", ("display",)), ("a", ("elevation",))), "two routes have one name"),
    ],
)
def test_routes_that_cannot_be_followed_are_refused(routes, told):
    with pytest.raises(CheckpointError, match=told):
        VisionConfig(routes=routes)


def test_models_of_wavelengths_have_no_routes():
    with pytest.raises(CheckpointError, match="this model knows wavelengths only"):
        VisionConfig(kinds=False, routes=ROUTES)
    assert VisionConfig(kinds=False).routes == ()


@pytest.mark.parametrize("damaged", [[["rgb", "display"]], [["rgb"]], [3], 3])
def test_damaged_routes_in_a_configuration(tmp_path, damaged):
    with pytest.raises((TypeError, ValueError)):
        routes_from_json(damaged)
    folder = whole().save(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    config["architecture"]["vision"]["routes"] = damaged
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="incomplete or damaged"):
        load_folder(folder)


def test_the_configuration_stays_hashable():
    assert hash(VisionConfig(routes=ROUTES)) == hash(dataclasses.replace(VisionConfig(), routes=ROUTES))
