"""Model folders: bit-identical vectors after reloading, and no other base, tower or adapter."""

import json
import shutil

import numpy as np
import pytest
import torch

import geolangbind
from geolangbind import GeoPoint, Image, PixelBox
from geolangbind.errors import CheckpointError, SettingsError
from geolangbind.interleaved.backbone import build_backbone, describe_backbone
from geolangbind.interleaved.folder import load_interleaved, save_interleaved
from geolangbind.interleaved.lora import LoraSettings, add_lora, lora_state, merged_lora

SHAPE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
PIXELS = np.random.default_rng(0).uniform(0, 255, (3, 32, 32)).astype(np.float32)
IMAGE = Image(PIXELS, sensor="aerial-rgb", bands=("R", "G", "B"), unit="display_u8")
SEQUENCES = [[IMAGE, "What is in", PixelBox(3, 4, 20, 30)], ["a lake", GeoPoint(3, 4)], [IMAGE, IMAGE]]


@pytest.fixture(scope="module")
def bases(tmp_path_factory, vocabulary):
    """Two base models of the same shape and other weights."""
    place = tmp_path_factory.mktemp("bases")
    for seed, name in enumerate(("base", "other")):
        torch.manual_seed(seed)
        config = {"model_type": "qwen3", "vocab_size": vocabulary.size, "head_dim": 16, "num_key_value_heads": 1, **SHAPE}
        build_backbone(describe_backbone("text", config=config)).model.save_pretrained(place / name)
    return place


@pytest.fixture(scope="module")
def adapted(make_encoder, bases):
    """A base from elsewhere with adapters that training has moved."""
    encoder = make_encoder(backbone=build_backbone(describe_backbone("text", bases / "base")))
    add_lora(encoder.backbone, LoraSettings(r=2))
    for tensor in lora_state(encoder.backbone).values():
        tensor.add_(torch.randn(tensor.shape) * 0.1)
    encoder.provenance = {"seed": 3, "data": "drawn"}
    return encoder


@pytest.fixture
def folder(adapted, tmp_path):
    return save_interleaved(adapted, tmp_path / "model")


def edit(folder, change):
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))


def test_tiny_models_reload_bit_by_bit(encoder, tmp_path):
    state = torch.get_rng_state()
    again = geolangbind.load_interleaved(save_interleaved(encoder, tmp_path / "m"))
    assert torch.equal(again.embed(SEQUENCES, "Find."), encoder.embed(SEQUENCES, "Find."))
    assert not again.model.training and torch.equal(torch.get_rng_state(), state)
    assert sorted(path.name for path in (tmp_path / "m").iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tower",
    ]


def test_adapted_models_reload_bit_by_bit_and_store_no_base(adapted, folder, bases):
    again = load_interleaved(folder)
    assert torch.equal(again.embed(SEQUENCES), adapted.embed(SEQUENCES))
    assert (again.rendering, again.model.config, again.provenance) == (adapted.rendering, adapted.model.config, adapted.provenance)
    assert (again.backbone.spec, again.backbone.lora) == (adapted.backbone.spec, adapted.backbone.lora)
    base = (bases / "base" / "model.safetensors").stat().st_size
    assert (folder / "adapter.safetensors").stat().st_size < base / 20
    stored = geolangbind.weights.read.read_weights(folder / "model.safetensors")
    assert not any(name.startswith(("backbone.", "tower.")) for name in stored)


def test_random_backbones_with_adapters_carry_their_base(make_encoder, tmp_path):
    encoder = make_encoder()
    add_lora(encoder.backbone, LoraSettings(r=2, dora=True))
    for tensor in lora_state(encoder.backbone).values():
        tensor.add_(0.01)
    folder = save_interleaved(encoder, tmp_path / "m")
    assert torch.equal(load_interleaved(folder).embed(SEQUENCES), encoder.embed(SEQUENCES))
    with pytest.raises(CheckpointError, match="holds its backbone whole; leave base= out"):
        load_interleaved(folder, base=tmp_path)


@pytest.mark.parametrize("positions", ["mrope", "1d"])
def test_qwen2_vl_keeps_its_positions_and_precision(make_encoder, vocabulary, tmp_path, positions):
    text = {"vocab_size": vocabulary.size, "num_key_value_heads": 1, "bos_token_id": 0, "eos_token_id": 1, **SHAPE}
    rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3]}
    vision = {"depth": 1, "embed_dim": 16, "num_heads": 2, "hidden_size": 32}
    config = {"text_config": {**text, "rope_parameters": rope}, "vision_config": vision}
    spec = describe_backbone("qwen2-vl", config=config, positions=positions, dtype="bfloat16")
    encoder = make_encoder(backbone=build_backbone(spec))
    add_lora(encoder.backbone, LoraSettings(r=2))
    for tensor in lora_state(encoder.backbone).values():
        tensor.add_(torch.randn(tensor.shape) * 0.1)  # numbers that bfloat16 does not have
    vectors = encoder.embed(SEQUENCES)
    for vector, sequence in zip(vectors, SEQUENCES, strict=True):
        torch.testing.assert_close(encoder.embed([sequence])[0], vector, atol=0.02, rtol=0)
    again = load_interleaved(save_interleaved(encoder, tmp_path / "m"))
    assert (again.backbone.spec.positions, again.backbone.spec.dtype) == (positions, "bfloat16")
    assert torch.equal(again.embed(SEQUENCES), vectors)
    for name, tensor in lora_state(encoder.backbone).items():
        assert tensor.dtype == torch.float32 and torch.equal(tensor, lora_state(again.backbone)[name])
        assert not torch.equal(tensor, tensor.bfloat16().float())


def test_the_tower_is_a_model_folder_of_its_own(adapted, folder):
    tower = geolangbind.load(folder / "tower")
    said = {"sensor": "aerial-rgb", "bands": ["R", "G", "B"], "unit": "display_u8"}
    assert torch.equal(tower.encode_image(PIXELS, **said), adapted.tower.encode_image(PIXELS, **said))


def test_a_base_that_moved_is_found_and_another_is_refused(adapted, folder, bases, tmp_path):
    moved = shutil.copytree(bases / "base", tmp_path / "elsewhere")
    edit(folder, lambda config: config["backbone"].update(source="gone"))
    with pytest.raises(CheckpointError, match="no backbone at 'gone'"):
        load_interleaved(folder)
    assert torch.equal(load_interleaved(folder, base=moved).embed(SEQUENCES), adapted.embed(SEQUENCES))
    with pytest.raises(CheckpointError, match=r"other are not those that this model was built on .* give the right base, it was gone"):
        load_interleaved(folder, base=bases / "other")


@pytest.mark.parametrize("name", ["tower/model.safetensors", "tower/config.json", "model.safetensors", "adapter.safetensors"])
def test_parts_of_another_model_are_refused(folder, name):
    data = bytearray((folder / name).read_bytes())
    data[-2] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(CheckpointError, match=f"{name} is not the file that this model was saved with"):
        load_interleaved(folder)
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=f"incomplete: .*{name} does not exist"):
        load_interleaved(folder)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda config: config.pop("lora"), "incomplete or damaged: KeyError"),
        (lambda config: config["rendering"].update(serializer="geolangbind-2"), "geolangbind-2"),
        (lambda config: config["model"].update(factor=0), "factor"),
        (lambda config: config["model"].update(colour="red"), "colour"),
        (lambda config: config["backbone"].update(positions="2d"), "backbone in config.json is damaged"),
        (lambda config: config["lora"].update(r=4), r"do not fit, .*lora_A"),
        (lambda config: config.update(format_version=2), "format version 2; this release reads 1"),
        (lambda config: config["vocabulary"].update(sha256="0"), "tokenizer.json is not the one"),
        (lambda config: config["files"].update({"../x": ""}), "outside its folder"),
    ],
)
def test_damaged_folders_are_refused(folder, change, told):
    edit(folder, change)
    with pytest.raises(CheckpointError, match=f"(?s){told}"):
        load_interleaved(folder)


def test_other_models_are_refused_both_ways(tower, folder, tmp_path):
    with pytest.raises(CheckpointError, match="is not of format 'geolangbind-interleaved'"):
        load_interleaved(tower.save(tmp_path / "plain"))
    with pytest.raises(CheckpointError, match="is not of format 'geolangbind-model'"):
        geolangbind.load(folder)
    with pytest.raises(CheckpointError, match="no model at"):
        load_interleaved(tmp_path / "nowhere")


def test_a_failed_save_leaves_the_old_folder(adapted, folder, monkeypatch):
    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("geolangbind.interleaved.folder._card", fail)
    with pytest.raises(OSError, match="disk full"):
        save_interleaved(adapted, folder)
    monkeypatch.undo()
    assert torch.equal(load_interleaved(folder).embed(SEQUENCES), adapted.embed(SEQUENCES))
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_merged_adapters_are_not_saved_twice(adapted, tmp_path):
    with merged_lora(adapted.backbone), pytest.raises(SettingsError, match="outside of merged_lora"):
        save_interleaved(adapted, tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_the_card_says_what_is_needed(adapted, folder):
    card = (folder / "README.md").read_text()
    assert "library_name: geolangbind" in card and "LoRA of rank 2" in card and adapted.backbone.spec.sha256 in card
    assert "- seed: 3." in card and "- data: drawn." in card
