"""Settings refuse what cannot be, in one line with the way out."""

import pytest

from geolangbind.errors import SettingsError
from geolangbind.instruct.settings import from_config

GOOD = {"pairs": "pairs", "run_dir": "runs/x"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pairs": ""}, "pairs is empty; give a pairs folder"),
        ({"run_dir": ""}, "run_dir is empty"),
        ({"task": "alignment"}, "task is 'alignment'; these settings are of task=interleaved"),
        ({"block": 7}, r"block is 7; it is a number of rows above 1 that divides batch_size \(256\)"),
        ({"block": 1}, "block is 1"),
        ({"fraction": 0}, "fraction is 0"),
        ({"negatives": "all"}, "negatives is 'all'; use one of batch, block"),
        ({"hard_negatives": -1}, "must not be negative"),
        ({"feature_cache": "c", "train_tower": 0.1}, "set train_tower=0, or feature_cache=''"),
        ({"machine": {"strategy": "fsdp", "precision": "32-true"}}, "use ddp here"),
        ({"sources": {"a": {"weight": 0}}}, "every weight is 0"),
        ({"sources": {"a": {"weight": -1}}}, "a weight is -1"),
        ({"temperature": {"start": 2.0}}, "ascend from above 0"),
        ({"matryoshka": {"dims": [8, 4]}}, "sizes above 0 that ascend"),
        ({"matryoshka": {"dims": [4], "weights": [1, 2]}}, "one weight per size"),
        ({"backbone": {"kind": "bert"}}, "backbone.kind is 'bert'; use one of tiny, text, qwen2-vl"),
        ({"lora": {"r": -1}}, r"lora.r \(-1\)"),
        ({"backbone": {"dtype": "bfloat16"}}, r"lora.r=0 trains the whole .* rounded away; set lora.r=16, or backbone.dtype=float32"),
        ({"validation": {"samples": 1}}, "validation.samples must be above 1"),
        ({"best_metric": "validation/recall_1"}, "of the validation, use one of validation/precision_1"),
        ({"best_metric": "validation/precision_1"}, "needs validation.pairs and validation.every"),
        ({"projector_step": 3}, "unknown setting 'projector_step'; did you mean 'projector_steps'"),
    ],
)
def test_what_cannot_be_is_one_line(changes, message):
    with pytest.raises(SettingsError, match=message) as caught:
        from_config({**GOOD, **changes})
    assert "\n" not in str(caught.value)


def test_a_block_of_zero_is_the_whole_batch():
    assert from_config(GOOD).title == "interleaved" and from_config(GOOD).neutral() == from_config(GOOD)


def test_a_bfloat16_backbone_goes_with_adapters():
    assert from_config({**GOOD, "backbone": {"dtype": "bfloat16"}, "lora": {"r": 16}}).backbone.dtype == "bfloat16"
