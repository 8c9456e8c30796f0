"""DARE: what is kept is scaled, the random choice depends on seed, tensor and branch only, and on average nothing changes."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merge_weights.errors import MergeError
from merge_weights.methods.dare import dare, keep_mask
from merge_weights.methods.options import Options
from merge_weights.methods.task_arithmetic import task_arithmetic

HALF = Options(density=0.5, seed=3, key="vision.blocks.0.weight")


def test_every_element_is_dropped_or_scaled_up() -> None:
    base = np.array([10.0] * 64)
    merged = dare(base, [base + 3], [0.5], Options(density=0.25, seed=1, key="a"))
    assert set(merged.tolist()) == {10.0, 16.0}  # 10 + 0.5 * 3 / 0.25
    kept = keep_mask(Options(density=0.25, seed=1, key="a"), 0, 64)
    assert (merged == 16).tolist() == kept.tolist()


def test_density_1_is_task_arithmetic_and_mergekit(golden) -> None:
    branches, scales = list(golden["branches"]), [0.3, 0.7, 0.5]
    merged = dare(golden["base"], branches, scales, Options())
    np.testing.assert_allclose(merged, golden["dare_density_1"], rtol=0, atol=1e-6)
    np.testing.assert_array_equal(merged, task_arithmetic(golden["base"], branches, scales, Options()))


def test_the_stream_is_the_documented_one() -> None:
    """A float in [0, 1) drawn from numpy's Philox, under a key hashed from seed, name and branch, is below the density."""
    name = hashlib.sha256(b"vision.blocks.0.weight").hexdigest()
    key = int.from_bytes(hashlib.sha256(f"3 {name} 1".encode()).digest()[:16], "little")
    drawn = np.random.Generator(np.random.Philox(key=key)).random(1000)
    assert (keep_mask(HALF, 1, 1000) == (drawn < 0.5)).all()
    assert (
        np.packbits(keep_mask(HALF, 1, 64)).tobytes().hex() == "bff372dcf4809310"
    )  # must never change: merges are recomputed from their records


def test_seed_name_and_branch_each_change_the_choice_and_nothing_else_does() -> None:
    mask = keep_mask(HALF, 0, 256)
    np.testing.assert_array_equal(keep_mask(Options(0.5, 3, "vision.blocks.0.weight"), 0, 256), mask)
    np.testing.assert_array_equal(keep_mask(HALF, 0, 100), mask[:100])  # an element's fate does not depend on the size
    for other in (keep_mask(HALF, 1, 256), keep_mask(Options(0.5, 4, HALF.key), 0, 256), keep_mask(Options(0.5, 3, "b"), 0, 256)):
        assert 80 < (other != mask).sum() < 176  # independent fair choices: 128 +- 8


def test_branches_are_thinned_independently_of_each_other() -> None:
    base = np.zeros(256)
    both = dare(base, [base + 1, base + 16], [1, 1], HALF)
    alone = dare(base, [base + 1], [1], HALF)
    np.testing.assert_array_equal(both % 32, alone)  # 1 / 0.5 of the first branch, 16 / 0.5 of the second
    assert set(both.tolist()) == {0, 2, 32, 34}


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**63), st.floats(0.05, 0.95))
def test_the_share_kept_is_the_density(seed: int, density: float) -> None:
    n = 20_000
    kept = keep_mask(Options(density, seed, "w"), 0, n).mean()
    assert abs(kept - density) < 6 * np.sqrt(density * (1 - density) / n)


def test_the_mean_over_seeds_is_task_arithmetic() -> None:
    base, a, b = np.random.default_rng(0).normal(size=(3, 40))
    runs = np.array([dare(base, [a, b], [0.6, 0.4], Options(0.5, seed, "w")) for seed in range(2000)])
    # variance of keep / density at density p is (1 - p) / p = 1
    deviation = np.sqrt((0.6 * (a - base)) ** 2 + (0.4 * (b - base)) ** 2)
    expected = task_arithmetic(base, [a, b], [0.6, 0.4], Options())
    assert (np.abs(runs.mean(axis=0) - expected) < 4.5 * deviation / np.sqrt(2000)).all()
    np.testing.assert_allclose(runs.std(axis=0), deviation, rtol=0.1)


@pytest.mark.parametrize("shape", [(), (0, 3), (2, 1, 3)])
def test_shape_and_inputs_stay_and_runs_repeat_bit_for_bit(shape: tuple[int, ...]) -> None:
    base, branch = np.zeros(shape), np.full(shape, 0.1)
    first, second = (dare(base, [branch, branch], [1, 0.3], HALF) for _ in range(2))
    assert isinstance(first, np.ndarray) and first.shape == shape and first.tobytes() == second.tobytes()
    assert not base.any() and (branch == 0.1).all()


@pytest.mark.parametrize("density", [0, -0.1, 1.01, float("nan")])
def test_refusals(density: float) -> None:
    with pytest.raises(MergeError, match="share of each task vector that is kept"):
        dare(np.zeros(2), [np.zeros(2)], [1], Options(density=density))
