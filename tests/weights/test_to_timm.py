"""timm folders: timm's own factory makes the same tower of them."""

import dataclasses
import json

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_data_config

from geolangbind.errors import CheckpointError, UnitError
from geolangbind.model import GeoLangBind
from geolangbind.models import zoo
from geolangbind.models.encoder import VisionConfig
from geolangbind.models.text import TextConfig
from geolangbind.models.two_tower import TwoTower
from geolangbind.statistics import KindStatistics, Statistics
from geolangbind.weights import to_timm
from geolangbind.weights.frozen import ImageInput, image_input
from geolangbind.weights.to_timm import export_timm, timm_architecture, timm_tensors

STATISTICS = Statistics(
    {
        "reflectance_surface": KindStatistics("log", (0.4, 2.4), (-2.0, -1.5), (0.7, 0.9)),
        "display": KindStatistics("identity", (0.4,), (0.45,), (0.2,)),
        "sigma0_vv_c": KindStatistics("identity", (0.0,), (-11.0,), (5.0,)),
        "sigma0_vh_c": KindStatistics("identity", (0.0,), (-18.0,), (4.0,)),
    }
)
CASES = {
    "display": {"sensor": "aerial-rgb", "bands": ["R", "G", "B"], "unit": "display_u8"},
    "decibel": {"sensor": "sentinel-1-grd", "bands": ["VV", "VH"], "unit": "sigma0_db"},
    "reflectance": {"sensor": "sentinel-2-l2a", "bands": ["B02", "B03", "B04", "B08"], "unit": "reflectance"},
    "one band": {"sensor": "sentinel-2-l2a", "bands": ["B08"], "unit": "reflectance"},
    "wavelengths": {"wavelengths_um": (0.665, 0.56, 0.49)},
}


def build(native=True, **vision) -> GeoLangBind:
    torch.manual_seed(0)
    config = VisionConfig(32, 8, 32, 2, 4, 48, generator_hidden=64, kinds=native, mean_over_channels=native)
    towers = TwoTower(dataclasses.replace(config, **vision), TextConfig(100, 10, 16, 1, 2, 2.0, 32))
    return GeoLangBind(towers, None, STATISTICS).eval()


@pytest.fixture(scope="module")
def model() -> GeoLangBind:
    return build()


def timm_of(folder, **options) -> torch.nn.Module:
    return timm.create_model(f"local-dir:{folder}", pretrained=True, **options).eval()


@torch.no_grad()
def both(model: GeoLangBind, image: ImageInput, folder) -> tuple[torch.Tensor, torch.Tensor]:
    size = model.vision.config.image_size
    pixels = torch.randn(3, len(image.channels), size, size)
    return timm_of(folder)(pixels), model.vision(pixels, channels=image.channels).embedding


@pytest.mark.parametrize("case", list(CASES))
def test_timm_gives_the_live_embedding(model, case, tmp_path):
    image = image_input(model, **CASES[case])
    found, expected = both(model, image, export_timm(model, tmp_path / "out", image))
    assert found.shape == (3, 32) and (found - expected).abs().max() < 1e-4
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["README.md", "config.json", "export.json", "model.safetensors"]


@pytest.mark.parametrize("vision", [{"gelu_tanh": True}, {"image_size": 36}, {"image_size": 42, "patch_size": 14}])
def test_other_activations_and_sizes(vision, tmp_path):
    model = build(native=False, **vision)
    image = image_input(model, wavelengths_um=(0.49, 0.56))
    found, expected = both(model, image, export_timm(model, tmp_path / "out", image))
    assert (found - expected).abs().max() < 1e-4


def test_the_activation_matters(tmp_path):
    """Else the test above would prove nothing about it."""
    image = image_input(build(native=False), wavelengths_um=(0.49, 0.56))
    folder = export_timm(build(native=False, gelu_tanh=True), tmp_path / "out", image)
    found, expected = both(build(native=False), image, folder)
    assert (found - expected).abs().max() > 1e-6


def test_pictures_through_timms_own_transforms_are_the_live_models_vectors(model, tmp_path):
    image = image_input(model, **CASES["display"])
    tower = timm_of(export_timm(model, tmp_path / "out", image))
    data = resolve_data_config(tower.pretrained_cfg)
    assert (data["input_size"], tuple(data["mean"]), tuple(data["std"])) == ((3, 32, 32), (0.45,) * 3, (0.2,) * 3)
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    with torch.no_grad():
        embedding = tower(create_transform(**data)(Image.fromarray(pixels)).unsqueeze(0))
    live = model.encode_image(pixels.transpose(2, 0, 1), **CASES["display"])
    assert torch.allclose(embedding / embedding.norm(), live, atol=1e-4)


def config_of(folder) -> dict:
    return json.loads((folder / "config.json").read_text())


def test_plain_normalisation_is_folded_other_is_said(model, tmp_path):
    plain = export_timm(model, tmp_path / "sar", image_input(model, **CASES["decibel"]))
    assert (config_of(plain)["pretrained_cfg"]["mean"], config_of(plain)["pretrained_cfg"]["std"]) == ([-11.0, -18.0], [5.0, 4.0])
    assert json.loads((plain / "export.json").read_text())["image"]["normalisation"]["folded"] is True
    log = export_timm(model, tmp_path / "msi", image_input(model, **CASES["reflectance"]))
    assert (config_of(log)["pretrained_cfg"]["mean"], config_of(log)["pretrained_cfg"]["std"]) == ([0.0] * 4, [1.0] * 4)
    told = json.loads((log / "export.json").read_text())["image"]
    assert told["normalisation"]["folded"] is False and told["normalisation"]["transforms"] == {"log": "log(max(x, 0) + 0.02)"}
    blue = told["normalisation"]["channels"][0]
    assert (blue["band"], blue["mean"]) == ("B02", pytest.approx(-2.0 + 0.5 * (0.4927 - 0.4) / 2.0))
    assert "as export.json says" in (log / "README.md").read_text() and "mean and std of its" in (plain / "README.md").read_text()


def test_what_export_json_says_leads_to_the_live_vectors(model, tmp_path):
    folder = export_timm(model, tmp_path / "out", image_input(model, **CASES["reflectance"]))
    rows = json.loads((folder / "export.json").read_text())["image"]["normalisation"]["channels"]
    mean, std = (torch.tensor([row[name] for row in rows]).reshape(-1, 1, 1) for name in ("mean", "std"))
    pixels = 0.5 * torch.rand(2, 4, 32, 32)
    with torch.no_grad():
        embedding = timm_of(folder)((torch.log(pixels.clamp_min(0) + 0.02) - mean) / std)
    live = model.encode_image(pixels, **CASES["reflectance"])
    assert torch.allclose(embedding / embedding.norm(dim=1, keepdim=True), live, atol=1e-4)


def test_a_head_can_be_added_for_fine_tuning(model, tmp_path):
    folder = export_timm(model, tmp_path / "out", image_input(model, **CASES["reflectance"]))
    tower = timm_of(folder, num_classes=7)
    assert tower(torch.zeros(2, 4, 32, 32)).shape == (2, 7)
    kernels = timm_tensors(model, image_input(model, **CASES["reflectance"]))["patch_embed.proj.weight"]
    assert torch.equal(tower.patch_embed.proj.weight.detach(), kernels)


@pytest.mark.parametrize(("size", "name"), [("b-224", "vit_base_patch16_siglip_224"), ("l-384", "vit_so400m_patch14_siglip_384")])
def test_named_sizes_are_timms_own(size, name):
    """Every tensor of ours has its place in timm's registered model, of 202 channels too."""
    config = zoo.get_size(size).vision
    architecture, arguments = timm_architecture(config, 202)
    assert architecture == name and set(arguments) == {"in_chans", "img_size", "act_layer"}
    with torch.device("meta"):
        expected = timm.create_model(architecture, num_classes=0, **arguments).state_dict()
        ours = TwoTower(config, TextConfig(100, 10, 16, 1, 2, 2.0, 32)).vision.state_dict()
    shapes = {key: tensor.shape for key, tensor in ours.items() if not key.startswith("patch_embed.")}
    k, width = config.patch_size, config.width
    shapes |= {"patch_embed.proj.weight": (width, 202, k, k), "patch_embed.proj.bias": (width,)}
    assert shapes == {key: tuple(tensor.shape) for key, tensor in expected.items()}


def test_other_sizes_of_a_family_and_families():
    assert timm_architecture(VisionConfig(384), 3)[0] == "vit_base_patch16_siglip_384"
    assert timm_architecture(VisionConfig(320), 3) == (
        "vit_base_patch16_siglip_224",
        {"in_chans": 3, "img_size": 320, "act_layer": "gelu"},
    )
    assert timm_architecture(VisionConfig(256, 16, 1024, 24, 16, 4096, gelu_tanh=True), 3) == (
        "vit_large_patch16_siglip_256",
        {"in_chans": 3, "img_size": 256, "act_layer": "gelu_tanh"},
    )
    name, arguments = timm_architecture(VisionConfig(224, 16, 384, 12, 6, 1536), 5)
    assert name == "vit_base_patch16_siglip_224" and arguments["embed_dim"] == 384 and arguments["mlp_ratio"] == 4.0


@pytest.mark.parametrize(
    ("vision", "what"), [({"stem": (16,), "patch_size": 4}, "convolutions between"), ({"patch_padding": 1}, "padded by 1")]
)
def test_towers_that_are_no_timm_vits_are_refused(vision, what, tmp_path):
    model = build(native=False, **vision)
    with pytest.raises(CheckpointError, match=rf"{what}.*export to onnx or torch-export instead"):
        export_timm(model, tmp_path / "out", image_input(model, wavelengths_um=(0.49,)))
    assert list(tmp_path.iterdir()) == []


def test_refusals_leave_nothing_behind(model, tmp_path, monkeypatch):
    image = image_input(model, **CASES["reflectance"])
    with pytest.raises(UnitError, match="never taught reflectance_surface"):
        export_timm(dataclasses.replace(model, statistics=Statistics({"display": STATISTICS.kinds["display"]})), tmp_path / "out", image)
    tensors = timm_tensors(model, image)
    tensors["norm.bias"] = tensors["norm.bias"] + 0.1
    monkeypatch.setattr(to_timm, "timm_tensors", lambda *_: tensors)
    with pytest.raises(CheckpointError, match=r"timm's vit_base_patch16_siglip_224 differs from the live model"):
        export_timm(model, tmp_path / "out", image)
    assert list(tmp_path.iterdir()) == []
    model.save(tmp_path / "model")
    with pytest.raises(CheckpointError, match="exists and is no earlier export"):
        export_timm(model, tmp_path / "model", image)
    assert (tmp_path / "model" / "config.json").is_file()
