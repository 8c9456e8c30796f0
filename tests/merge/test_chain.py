from __future__ import annotations

import pytest

from merge_weights import MergeError, Step
from merge_weights.chain import make_steps, part_of, reduce_chain


@pytest.mark.parametrize(
    ("key", "part"),
    [
        ("vision.patch_embed.mlp.0.weight", "generator"),
        ("vision.blocks.11.attn.qkv.weight", "blocks"),
        ("vision.attn_pool.probe", "pooling"),
        ("vision.stem.pos_embed", "stem"),
        ("vision.norm.weight", "rest"),
        ("text.blocks.0.weight", "rest"),
        ("logit_scale", "rest"),
    ],
)
def test_parts(key: str, part: str) -> None:
    assert part_of(key) == part


@pytest.mark.parametrize(
    ("coefficients", "expected"),
    [
        ([0.9, 0.5], (0, ((1, 0.9), (2, 0.5)))),
        ([1, 0.5], (1, ((2, 0.5),))),
        ([0, 0.5], (0, ((2, 0.5),))),
        ([0.9, 1], (2, ())),
        ([0, 0], (0, ())),
        ([1, 0], (1, ())),
        ([0.2, 1, 0.3, 0, 0.4], (2, ((3, 0.3), (5, 0.4)))),
    ],
)
def test_reduce_chain(coefficients: list[float], expected: tuple[int, tuple[tuple[int, float], ...]]) -> None:
    assert reduce_chain(coefficients) == expected


def test_pairs_become_steps_named_after_their_runs() -> None:
    steps = make_steps([("runs/rgb", 0.9), ("runs/sar/model", 0.5), ("x/sar.safetensors", 0.5)], {"generator": [0.1, 0.2, 0.3]})
    assert [step.name for step in steps] == ["rgb", "sar", "sar-2"]
    assert [step.coefficient_for("generator") for step in steps] == [0.1, 0.2, 0.3]
    assert [step.coefficient_for("blocks") for step in steps] == [0.9, 0.5, 0.5]


def test_refusals() -> None:
    with pytest.raises(MergeError, match="nothing to merge"):
        make_steps([])
    with pytest.raises(MergeError, match="2 coefficients, but there are 1 steps"):
        make_steps([("a", 0.5)], {"blocks": [0.5, 0.5]})
    with pytest.raises(MergeError, match="not in both"):
        make_steps([Step("rgb", "a", 0.5)], {"blocks": [0.5]})
    with pytest.raises(MergeError, match="unknown part 'head'; parts are generator, blocks, pooling, stem, rest"):
        Step("rgb", "a", 0.5, {"head": 1.0})
    for bad in (-0.1, 1.1, 7.0):
        with pytest.raises(MergeError, match="coefficient of rgb is"):
            Step("rgb", "a", bad).check_range()
        with pytest.raises(MergeError, match="coefficient of rgb for blocks is"):
            Step("rgb", "a", 0.5, {"blocks": bad}).check_range()
    for bad in (float("nan"), float("inf")):
        with pytest.raises(MergeError, match=r"coefficient of rgb is .*finite number"):
            Step("rgb", "a", bad)
