"""Checkpoints of other projects load and give the vectors that their own code gives."""

import json
import sys
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

import geolangbind
from geolangbind.errors import CheckpointError
from geolangbind.models.encoder import VisionConfig, VisionEncoder
from geolangbind.weights import load as loading
from geolangbind.weights.load import load, load_vision

sys.path.insert(0, str(Path(__file__).parent))
import made as make

sys.path.pop(0)

RGB_UM = (0.665, 0.560, 0.490)
DOFA_NAME = f"dofa_{make.NAME}"


@pytest.fixture(autouse=True)
def no_hub(monkeypatch):
    def absent(repo):
        raise CheckpointError(f"{repo} is not cached")

    monkeypatch.setattr("geolangbind.weights.tokenizers.tokenizer_json", absent)


@pytest.fixture(scope="module")
def pictures():
    return torch.randint(0, 256, (3, 3, make.SIDE, make.SIDE), generator=torch.Generator().manual_seed(3)).float()


@pytest.fixture(scope="module")
def siglip():
    return make.siglip()


@pytest.fixture
def siglip_folder(siglip, tmp_path):
    return make.write_folder(tmp_path / "siglip", siglip.state_dict(), make.open_clip_config())


@pytest.fixture
def official_folder(tmp_path):
    return make.write_folder(tmp_path / "official", make.official_state(), make.open_clip_config(DOFA_NAME))


def unit(x):
    return torch.nn.functional.normalize(x, dim=-1)


@torch.no_grad()
def test_a_fresh_geolangbind_is_siglip_on_rgb(siglip, siglip_folder, pictures):
    model = geolangbind.load(siglip_folder)
    normalized = (pictures / 255 - 0.5) / 0.5
    expected = unit(siglip.encode_image(normalized))
    assert (model.encode_image(normalized, wavelengths_um=RGB_UM) - expected).abs().max() < 1e-5
    assert (unit(model.vision(normalized, RGB_UM).embedding) - expected).abs().max() < 1e-5
    # pictures in 0-255 through the ordinary door, by cameras of other wavelengths too
    for sensor, tolerance in (("aerial-rgb", 1e-5), ("sentinel-2-tci", 0.1), ("naip", 0.1)):
        found = model.encode_image(pictures, sensor=sensor, bands=["R", "G", "B"], unit="display_u8")
        assert (found * expected).sum(1).min() > 1 - tolerance, sensor
    ids = torch.randint(0, 590, (4, 16))
    assert torch.equal(model.towers.text_vectors(ids), unit(siglip.encode_text(ids)))
    assert float(model.towers.logit_bias) == pytest.approx(float(siglip.logit_bias))
    assert model.vision.config.kinds and model.vision.config.mean_over_channels
    assert model.vision(torch.rand(1, 12, 32, 32), tuple(0.45 + 0.1 * i for i in range(12))).embedding.isfinite().all()


@torch.no_grad()
def test_siglip_2_has_an_approximate_gelu(tmp_path):
    reference = make.siglip(act_kwargs={"approximate": "tanh"})
    config = make.open_clip_config(act_kwargs={"approximate": "tanh"})
    model = load(make.write_folder(tmp_path / "s2", reference.state_dict(), config))
    ids = torch.randint(0, 590, (4, 16))
    assert torch.equal(model.towers.text_vectors(ids), unit(reference.encode_text(ids)))
    assert model.towers.text_config.gelu_tanh


def test_the_same_file_gives_the_same_model(siglip_folder):
    torch.manual_seed(1)
    first = load(siglip_folder).towers.state_dict()
    torch.manual_seed(2)
    drawn = torch.rand(1)
    torch.manual_seed(2)
    second = load(siglip_folder).towers.state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert torch.equal(torch.rand(1), drawn), "loading leaves the random numbers of the program alone"


@torch.no_grad()
def test_a_timm_tower_alone(siglip, siglip_folder, tmp_path, pictures):
    tower = siglip.visual.trunk
    folder = tmp_path / "timm"
    folder.mkdir()
    save_file(tower.state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"architecture": make.NAME, "pretrained_cfg": {"input_size": [3, 32, 32]}}))
    normalized = pictures / 127.5 - 1
    expected = timm.create_model(make.NAME, num_classes=0, checkpoint_path=str(folder / "model.safetensors")).eval()(normalized)
    assert torch.allclose(load_vision(folder)(normalized, RGB_UM).embedding, expected, atol=1e-5)
    with pytest.raises(CheckpointError, match=r"image tower without a text tower.*--text.*load_vision"):
        load(folder)
    model = load(folder, text=siglip_folder)
    assert torch.allclose(model.encode_image(normalized, wavelengths_um=RGB_UM), unit(expected), atol=1e-5)
    assert torch.equal(model.encode_text(["a pond"]), load(siglip_folder).encode_text(["a pond"]))


@torch.no_grad()
@pytest.mark.parametrize("form", ["safetensors", "bin", "ddp", "file", "sharded"])
def test_released_checkpoints_in_every_wrapping(form, official_folder, pictures):
    state = make.official_state()
    path = official_folder / "open_clip_model.safetensors"
    source = official_folder
    if form in ("bin", "ddp"):
        path.unlink()
        training = {"epoch": 3, "name": "x", "state_dict": {f"module.{key}": value for key, value in state.items()}, "optimizer": {}}
        torch.save(state if form == "bin" else training, official_folder / "open_clip_pytorch_model.bin")
    elif form == "file":
        source = path
    elif form == "sharded":
        path.unlink()
        names = sorted(state)
        parts = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
        for part, keys in parts.items():
            save_file({key: state[key].contiguous() for key in keys}, official_folder / part)
        index = {"weight_map": {key: part for part, keys in parts.items() for key in keys}}
        (official_folder / "open_clip_model.safetensors.index.json").write_text(json.dumps(index))
    model = load(source)
    told = VisionConfig(make.SIDE, make.PATCH, make.WIDTH, make.DEPTH, make.HEADS, make.HIDDEN, (), 96, False, False, radar_um=5.405)
    assert model.vision.config == told
    reference = VisionEncoder(told).eval()
    reference.load_state_dict({key.removeprefix("visual.trunk."): value for key, value in state.items() if "trunk" in key})
    expected = unit(reference(pictures / 127.5 - 1, RGB_UM).embedding)
    assert torch.allclose(model.encode_image(pictures / 127.5 - 1, wavelengths_um=RGB_UM), expected, atol=1e-6)
    assert set(model.heads) == {key.replace("translators.", "maka.") for key in state if key.startswith("translators.")}
    assert model.parents[0]["role"] == "imported" and len(model.parents[0]["sha256"]) == 64
    assert model.encode_text(["a pond", "two ponds"]).shape == (2, make.WIDTH)


@torch.no_grad()
def test_radar_and_reflectance_for_released_checkpoints_are_assumptions_and_said(official_folder):
    model = load(official_folder)
    assert any("do not say" in line for line in model.provenance["assumed"])
    chip = torch.full((2, 32, 32), -12.5)
    chip[1] = -19.5
    found = model.encode_image(chip, sensor="sentinel-1-grd", bands=["VV", "VH"], unit="sigma0_db")
    assert torch.allclose(found, model.encode_image(torch.zeros(1, 2, 32, 32), wavelengths_um=(5.405, 5.405)), atol=1e-6)
    reflectance = model.encode_image(torch.full((1, 32, 32), 0.3), sensor="sentinel-2-l2a", bands=["B08"], unit="reflectance")
    assert torch.allclose(reflectance, model.encode_image(torch.ones(1, 1, 32, 32), wavelengths_um=(0.8328,)), atol=1e-2)
    with pytest.raises(geolangbind.errors.UnitError, match="never taught elevation"):
        model.encode_image(torch.rand(1, 32, 32), sensor="srtm", unit="elevation_m")


def test_half_precision_is_read_as_float32_and_remembered(tmp_path):
    state = make.official_state(dtype=torch.float16)
    model = load(make.write_folder(tmp_path / "half", state, make.open_clip_config(DOFA_NAME)))
    assert {value.dtype for value in model.towers.state_dict().values()} == {torch.float32}
    assert model.provenance["stored_dtype"] == "float16"
    key = "visual.trunk.pos_embed"
    assert torch.equal(model.vision.pos_embed, state[key].float())


def test_what_does_not_fit_is_listed_once_and_can_be_forced(official_folder):
    path = official_folder / "open_clip_model.safetensors"
    state = load_file(path)
    state["visual.trunk.norm.bias"] = torch.zeros(7)
    state["visual.trunk.extra"] = torch.zeros(2)
    del state["text.ln_final.weight"], state["logit_bias"]
    save_file(state, path)
    with pytest.raises(CheckpointError, match="4 differences") as failure:
        load(official_folder)
    rows = [line.split() for line in str(failure.value).splitlines()[1:]]
    assert rows == [
        ["tensor", "checkpoint", "model"],
        ["logit_bias", "missing", "()"],
        ["text.ln_final.weight", "missing", "(64,)"],
        ["vision.extra", "(2,)", "unexpected"],
        ["vision.norm.bias", "(7,)", "(64,)"],
    ]
    with pytest.warns(UserWarning, match="4 differences"):
        model = load(official_folder, strict=False)
    assert float(model.towers.logit_bias.detach()) == -10 and torch.equal(model.towers.text.ln_final.weight.detach(), torch.ones(64))
    assert torch.equal(model.vision.norm.bias.detach(), torch.zeros(64))


def test_without_tokenizer_images_work_and_text_says_where_it_looked(tmp_path, pictures):
    folder = make.write_folder(tmp_path / "bare", make.official_state(), make.open_clip_config(DOFA_NAME), tokenizer=False)
    model = load(folder)
    assert model.encode_image(pictures / 255, wavelengths_um=RGB_UM).shape == (3, 64)
    with pytest.raises(CheckpointError, match=rf"{folder}/tokenizer.json does not exist.*nobody/absent is not cached"):
        model.encode_text(["a pond"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"timm_model_name": "resnet_of_nobody"}, "'resnet_of_nobody' is no SigLIP image tower"),
        ({"timm_model_name": "test_vit"}, "attention pooling|no SigLIP image tower"),
    ],
)
def test_an_unknown_architecture_is_named(official_folder, change, message):
    config = make.open_clip_config()
    config["model_cfg"]["vision_cfg"] |= change
    (official_folder / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=message):
        load(official_folder)


@pytest.mark.parametrize(
    ("change", "message"), [({"pool_type": "argmax"}, r"not SigLIP's.*argmax"), ({"width": None}, "incomplete or damaged")]
)
def test_another_text_tower_is_refused(official_folder, change, message):
    (official_folder / "open_clip_config.json").write_text(json.dumps(make.open_clip_config(DOFA_NAME, **change)))
    with pytest.raises(CheckpointError, match=message):
        load(official_folder)


def test_a_file_without_configuration_is_looked_up_by_its_shapes(official_folder, tmp_path):
    bare = tmp_path / "bare.safetensors"
    save_file(load_file(official_folder / "open_clip_model.safetensors"), bare)
    with pytest.raises(CheckpointError, match=r"text tower's shape is unknown; put its open_clip_config\.json"):
        load(bare)
    size = loading.zoo.SIZES["b-224"].vision
    with torch.device("meta"):
        trunk = VisionEncoder(size).state_dict()
    config = loading._vision_config(loading.find_source(bare), {}, trunk, "official-trunk")
    assert (config.image_size, config.num_heads, config.kinds, config.radar_um) == (224, 12, False, 5.405)


def test_teachers_are_not_taken_for_models(tmp_path):
    path = tmp_path / "vit.safetensors"
    save_file(timm.create_model("test_vit", num_classes=0).state_dict(), path)
    with pytest.raises(CheckpointError, match=r"use it as a teacher, NAME=timm:ARCHITECTURE@FILE"):
        load(path)
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match=r"of no known layout.*first tensors are a"):
        load(path)
