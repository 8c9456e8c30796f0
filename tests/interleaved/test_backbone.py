"""The language backbone: descriptions, weights, positions, padding."""

import json

import pytest
import torch
from torch import nn

from geolangbind.checkpoint import file_sha256
from geolangbind.errors import CheckpointError, SettingsError
from geolangbind.interleaved.backbone import Backbone, LanguageBackbone, base_sha256, build_backbone, describe_backbone

TINY = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
LLAMA = {
    "model_type": "llama",
    "vocab_size": 60,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}
QWEN2_VL = {
    "text_config": {
        "vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
        "intermediate_size": 64, "bos_token_id": 0, "eos_token_id": 1,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3]},
    },
    "vision_config": {"depth": 1, "embed_dim": 16, "num_heads": 2, "hidden_size": 32, "mlp_ratio": 2},
}  # fmt: skip
CONFIGS = {"tiny": TINY, "text": LLAMA, "qwen2-vl": QWEN2_VL}


def built(kind: str, **options) -> LanguageBackbone:
    torch.manual_seed(0)
    return build_backbone(describe_backbone(kind, config=CONFIGS[kind], **options))


@pytest.fixture(scope="module")
def qwen() -> LanguageBackbone:
    return built("qwen2-vl")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Base models as their authors save them, and an impostor of the same shape."""
    place = tmp_path_factory.mktemp("bases")
    built("text").model.save_pretrained(place / "llama")
    torch.manual_seed(1)
    build_backbone(describe_backbone("text", config=LLAMA)).model.save_pretrained(place / "other")
    return place


@torch.no_grad()
def last_state(backbone, ids, slots=None, grids=(), *, left=0, right=0):
    """State at the last token of one sequence, padded with noise."""
    ids = torch.tensor([[7] * left + ids + [9] * right])
    mask = torch.zeros_like(ids, dtype=torch.bool)
    mask[:, left : ids.shape[1] - right] = True
    slots = torch.zeros_like(ids) if slots is None else torch.tensor([[0] * left + slots + [0] * right])
    return backbone(backbone.embed_tokens(ids), mask, slots, grids)[0, ids.shape[1] - right - 1]


@pytest.mark.parametrize("kind", CONFIGS)
def test_padding_on_either_side_changes_nothing(kind):
    backbone = built(kind)
    ids, slots = [1, 2, 3, 3, 3, 3, 4, 5], [0, 0, 1, 1, 1, 1, 0, 0]
    alone = last_state(backbone, ids, slots, [(2, 2)])
    assert alone.shape == (32,) and alone.norm() > 1
    for padding in ({"left": 3}, {"right": 3}, {"left": 1, "right": 2}):
        assert torch.allclose(last_state(backbone, ids, slots, [(2, 2)], **padding), alone, atol=1e-5), padding


def test_mrope_positions_count_rows_and_columns(qwen):
    """Worked by hand from arXiv 2409.12191, 2.1: an image starts where text ended and takes max(rows, columns) numbers."""
    slots = torch.tensor([[0, 1, 1, 1, 1, 1, 1, 0, 2], [0, 0, 0, 1, 0, 1, 0, 0, 0]])
    mask = torch.tensor([[True] * 9, [True] * 7 + [False] * 2])
    positions = qwen._rows_and_columns(mask, slots, [(2, 3), (1, 1), (1, 1)])
    assert positions[:, 0].tolist() == [[0, 1, 1, 1, 1, 1, 1, 4, 5], [0, 1, 1, 1, 2, 2, 2, 4, 5], [0, 1, 2, 3, 1, 2, 3, 4, 5]]
    assert positions[:, 1, :7].tolist() == [[0, 1, 2, 3, 4, 5, 6]] * 3


def test_mrope_is_not_the_same_as_counting_and_keeps_nothing_of_earlier_calls(qwen):
    ids, slots = [1, 3, 3, 3, 3, 4], [0, 1, 1, 1, 1, 0]
    counted = built("qwen2-vl", positions="1d")
    square = last_state(qwen, ids, slots, [(2, 2)])
    last_state(qwen, ids + ids, slots + slots, [(2, 2), (4, 1)])
    assert torch.equal(last_state(qwen, ids, slots, [(2, 2)]), square)
    assert not torch.allclose(last_state(counted, ids, slots, [(2, 2)]), square, atol=1e-3)
    assert torch.allclose(last_state(counted, ids), last_state(qwen, ids), atol=1e-6)  # text alone: the two agree
    assert qwen.model.visual is None and not any("visual" in name for name in qwen.state_dict())


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_description_survives_json_and_rebuilds_the_model(kind):
    spec = describe_backbone(kind, config=CONFIGS[kind])
    again = Backbone.from_json(json.loads(json.dumps(spec.to_json())))
    assert again == spec and (spec.hidden, spec.vocab_size) == (32, 60)
    backbone, empty = built(kind), build_backbone(again, empty=True)
    empty.load_state_dict(backbone.state_dict())
    assert torch.equal(last_state(empty, [1, 2, 3]), last_state(backbone, [1, 2, 3]))


def test_tiny_defaults():
    spec = describe_backbone("tiny", config={"vocab_size": 60})
    assert spec.hidden == 192 and (spec.config["num_hidden_layers"], spec.config["head_dim"], spec.config["intermediate_size"]) == (
        4,
        48,
        512,
    )


def test_weights_come_from_a_folder_and_no_other(folders):
    spec = describe_backbone("text", folders / "llama")
    assert spec.sha256 == file_sha256(folders / "llama" / "model.safetensors") and spec.source == str(folders / "llama")
    backbone = build_backbone(spec)
    assert torch.equal(last_state(backbone, [1, 2, 3]), last_state(built("text"), [1, 2, 3]))
    assert not backbone.training
    with pytest.raises(CheckpointError, match=r"other are not those that this model was built on .* it was .*llama"):
        build_backbone(spec, folders / "other")


def test_weights_without_the_vocabulary_head_or_in_shards(folders, tmp_path):
    from transformers import LlamaForCausalLM

    inner = built("text").model
    whole = LlamaForCausalLM(inner.config)
    whole.model = inner
    whole.save_pretrained(tmp_path / "shards", max_shard_size="10KB")
    spec = describe_backbone("text", tmp_path / "shards")
    assert spec.sha256 != base_sha256(folders / "llama") and len(spec.sha256) == 64
    assert torch.equal(last_state(build_backbone(spec), [1, 2, 3]), last_state(built("text"), [1, 2, 3]))


def test_a_published_qwen2_vl_brings_its_language_part(qwen, tmp_path):
    """Published folders hold vision tower, language part and vocabulary head."""
    from transformers import AutoConfig, Qwen2VLForConditionalGeneration

    whole = Qwen2VLForConditionalGeneration(AutoConfig.for_model("qwen2_vl", **QWEN2_VL))
    whole.model.language_model.load_state_dict(qwen.model.language_model.state_dict())
    whole.save_pretrained(tmp_path)
    backbone = build_backbone(describe_backbone("qwen2-vl", tmp_path))
    ids, slots = [1, 3, 3, 3, 3, 4], [0, 1, 1, 1, 1, 0]
    assert torch.equal(last_state(backbone, ids, slots, [(2, 2)]), last_state(qwen, ids, slots, [(2, 2)]))
    assert not any("visual" in name for name in backbone.state_dict())


def test_bfloat16():
    backbone = built("tiny", dtype="bfloat16")
    assert {tensor.dtype for tensor in backbone.parameters()} == {torch.bfloat16}
    assert last_state(backbone, [1, 2]).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"kind": "gpt"}, "unknown backbone 'gpt'; known are tiny, text, qwen2-vl"),
        ({"kind": "tiny"}, "needs config with vocab_size at least"),
        ({"kind": "text", "config": {"vocab_size": 9}}, "model_type"),
        ({"kind": "tiny", "config": {**TINY, "hiden_size": 3}}, "unknown entry 'hiden_size'"),
        ({"kind": "qwen2-vl", "config": {**QWEN2_VL, "vision_config": {"depht": 1}}}, "unknown entry 'depht'"),
        ({"kind": "text", "config": {**LLAMA, "hidden_size": "x"}}, "cannot be used: .*hidden_size"),
        ({"kind": "text", "config": QWEN2_VL | {"model_type": "qwen2_vl"}}, "is a qwen2_vl, not a backbone of kind 'text'"),
        ({"kind": "tiny", "source": "somewhere"}, "a source or a config"),
        ({"kind": "tiny", "config": TINY, "positions": "mrope"}, "takes positions 1d, not 'mrope'"),
        ({"kind": "tiny", "config": TINY, "dtype": "float16"}, "dtype is float32 or bfloat16"),
    ],
)
def test_impossible_descriptions_are_refused(options, told):
    with pytest.raises(SettingsError, match=told):
        describe_backbone(**options)


def test_folders_without_usable_weights_are_refused(folders, tmp_path):
    with pytest.raises(CheckpointError, match=r"no backbone at .*config.json does not exist"):
        describe_backbone("text", tmp_path)
    (tmp_path / "config.json").write_bytes((folders / "llama" / "config.json").read_bytes())
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"holds no model\.safetensors"):
        describe_backbone("text", tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"nonsense")
    with pytest.raises(CheckpointError, match=f"cannot load {tmp_path}"):
        build_backbone(describe_backbone("text", tmp_path))
    with pytest.raises(SettingsError, match="is a llama, not a backbone of kind 'qwen2-vl'"):
        describe_backbone("qwen2-vl", folders / "llama")


def test_missing_tensors_are_refused_not_drawn(folders, tmp_path):
    from safetensors.torch import load_file, save_file

    state = load_file(folders / "llama" / "model.safetensors")
    del state["norm.weight"]
    save_file(state, tmp_path / "model.safetensors", {"format": "pt"})
    (tmp_path / "config.json").write_bytes((folders / "llama" / "config.json").read_bytes())
    with pytest.raises(CheckpointError, match=r"lacks 1 tensors of a llama: norm.weight"):
        build_backbone(describe_backbone("text", tmp_path))


def test_a_model_that_would_drop_positions_is_refused():
    config = {"model_type": "bloom", "vocab_size": 60, "hidden_size": 32, "n_layer": 1, "n_head": 2}
    with pytest.raises(SettingsError, match="bloom takes no position_ids"):
        build_backbone(describe_backbone("text", config=config))


def test_without_transformers_the_way_out_is_told(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(SettingsError, match=r"pip install 'geolangbind\[interleaved\]'"):
        describe_backbone("tiny", config=TINY)


def test_it_is_a_plain_module():
    backbone = built("tiny")
    assert isinstance(backbone, nn.Module) and backbone.embed_tokens(torch.tensor([[1, 2]])).shape == (1, 2, 32)
