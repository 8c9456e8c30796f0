"""Merging in memory gives the bytes that merge-weights writes."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from geolangbind.checkpoint import file_sha256
from geolangbind.errors import CheckpointError
from geolangbind.sweep.grid import Pair, part_coefficients
from geolangbind.sweep.merge import merged_tensors, put, read_parents
from geolangbind.weights.load import load
from merge_weights import merge


@pytest.fixture
def parents(models):
    return read_parents(models)


def weights(folder) -> Path:
    return Path(folder) / "model" / "model.safetensors"


def bits(tensor) -> bytes:
    return tensor.contiguous().view(torch.uint8).numpy().tobytes() if tensor.ndim else tensor.reshape(1).view(torch.uint8).numpy().tobytes()


@pytest.mark.parametrize("pair", [Pair(0.9, 0.5), Pair(0.3, 0.7), Pair(0.0, 0.5), Pair(1.0, 0.0), Pair(0.4, 1.0)])
@pytest.mark.parametrize("generator", ["average", "last"])
def test_equal_to_the_tool_bit_for_bit(models, parents, pair, generator, tmp_path):
    parts = {"generator": [pair.m1, 1.0]} if generator == "last" else {}
    merge(models["base"], [(models["rgb"], pair.m1), (models["others"], pair.m2)], tmp_path / "merged", parts=parts)
    written = load_file(tmp_path / "merged" / "model.safetensors")
    found = dict(merged_tensors(parents, part_coefficients(pair, generator)))
    assert found.keys() == parents.differing.keys() and len(found) > 20
    for name, tensor in found.items():
        assert tensor.dtype == written[name].dtype and bits(tensor) == bits(written[name]), name
    put(parents, iter(found.items()))
    state = parents.model.towers.state_dict()
    assert state.keys() == written.keys() and all(torch.equal(state[name], written[name]) for name in state)


def test_one_model_is_reused_and_encodes_as_the_written_one(models, parents, tmp_path):
    image = torch.rand(2, 3, 64, 64) * 255
    told = {"sensor": "sentinel-2-tci", "bands": ["R", "G", "B"], "unit": "display_u8"}
    for m2 in (0.2, 0.8):
        merge(models["base"], [(models["rgb"], 0.9), (models["others"], m2)], tmp_path / "merged", overwrite=True)
        put(parents, merged_tensors(parents, part_coefficients(Pair(0.9, m2), "average")))
        assert torch.equal(parents.model.encode_image(image, **told), load(tmp_path / "merged").encode_image(image, **told))


def test_what_parents_know(models, parents):
    assert parents.paths == models and parents.same_text
    assert parents.sha256 == {role: file_sha256(weights(folder)) for role, folder in models.items()}
    assert set(parents.model.statistics.kinds) == {"display", "elevation"} and parents.model.gsd_m == (10.0, 30.0)
    assert not [name for name in parents.differing if name.startswith(("text.", "maka.", "vision.norm.", "logit"))]
    assert {"blocks", "generator", "pooling", "rest"} <= set(parents.parts)


def test_a_part_of_the_parents_in_any_order(parents):
    half = dict.fromkeys(part_coefficients(Pair(0, 0), "average"), (0.5,))
    name = "vision.blocks.0.attn.qkv.weight"
    found = dict(merged_tensors(parents, half, [2, 0]))[name]
    others, base = (parents.differing[name][number].numpy().astype(np.float64) for number in (2, 0))
    assert np.array_equal(found.numpy(), (others + 0.5 * (base - others)).astype(np.float32))


def test_bfloat16_is_rounded_as_the_tool_rounds(models, tmp_path):
    name, given = "vision.blocks.0.mlp.fc1.weight", {}
    for role, folder in models.items():
        target = tmp_path / role
        target.mkdir()
        for file in ("config.json", "tokenizer.json"):
            (target / file).write_bytes((Path(folder) / "model" / file).read_bytes())
        save_file({key: value.bfloat16() for key, value in load_file(weights(folder)).items()}, target / "model.safetensors")
        given[role] = str(target)
    merge(given["base"], [(given["rgb"], 0.9), (given["others"], 0.5)], tmp_path / "merged")
    found = dict(merged_tensors(read_parents(given), part_coefficients(Pair(0.9, 0.5), "average")))[name]
    assert found.dtype == torch.bfloat16 and torch.equal(found, load_file(tmp_path / "merged" / "model.safetensors")[name])


def test_parents_may_be_sharded(models, parents, tmp_path):
    merge(models["rgb"], [(models["rgb"], 1.0)], tmp_path / "rgb", shard_bytes=50_000)
    assert len(list((tmp_path / "rgb").glob("*.safetensors"))) > 1
    found = read_parents({**models, "rgb": tmp_path / "rgb"})
    assert found.differing.keys() == parents.differing.keys()
    assert all(torch.equal(found.differing[name][1], tensors[1]) for name, tensors in parents.differing.items())
    whole = b"".join(file.read_bytes() for file in sorted((tmp_path / "rgb").glob("*.safetensors")))
    assert found.sha256["rgb"] == hashlib.sha256(whole).hexdigest() and found.sha256["base"] == parents.sha256["base"]


def changed(models, tmp_path, change):
    """A copy of rgb with other tensors or another configuration."""
    source, target = Path(models["rgb"]) / "model", tmp_path / "changed"
    target.mkdir()
    tensors, config = load_file(source / "model.safetensors"), json.loads((source / "config.json").read_text())
    change(tensors, config)
    save_file(tensors, target / "model.safetensors")
    (target / "config.json").write_text(json.dumps(config))
    (target / "tokenizer.json").write_bytes((source / "tokenizer.json").read_bytes())
    return {**models, "rgb": str(target)}


def test_another_text_tower_is_noticed(models, tmp_path):
    def change(tensors, _):
        tensors["text.ln_final.bias"] += 1

    assert not read_parents(changed(models, tmp_path, change)).same_text


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda tensors, _: tensors.pop("vision.pos_embed"), r"rgb \(.*vision\.pos_embed +missing"),
        (lambda tensors, _: tensors.update(extra=torch.zeros(2)), r"extra +\(2,\) +unexpected"),
        (lambda _, config: config["architecture"]["vision"].update(num_heads=4), r"num_heads"),
        (lambda _, config: config["statistics"]["kinds"]["display"].update(mean=[0.1]), "normalised differently"),
    ],
)
def test_what_does_not_fit_is_refused(models, tmp_path, change, told):
    with pytest.raises(CheckpointError, match=f"(?s){told}"):
        read_parents(changed(models, tmp_path, change))


def test_too_few_and_absent_models_are_refused(models, tmp_path):
    with pytest.raises(CheckpointError, match="at least two models"):
        read_parents({"base": models["base"]})
    with pytest.raises(CheckpointError, match="no model at"):
        read_parents({**models, "rgb": tmp_path / "absent"})


def test_nan_names_the_tensor(models, tmp_path):
    def change(tensors, _):
        tensors["vision.pos_embed"][0, 0, 0] = float("nan")

    parents = read_parents(changed(models, tmp_path, change))
    with pytest.raises(CheckpointError, match=r"vision\.pos_embed: .*NaN"):
        list(merged_tensors(parents, part_coefficients(Pair(0.5, 0.5), "average")))
