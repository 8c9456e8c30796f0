"""The table of methods: what holds for every one of them."""

import numpy as np
import pytest

from merge_weights.errors import MergeError
from merge_weights.methods import METHODS, Options, check_method
from merge_weights.methods.options import check_density


def test_the_table() -> None:
    assert list(METHODS) == ["linear", "task_arithmetic", "ties", "dare", "slerp", "soup"]
    assert [name for name, method in METHODS.items() if not method.needs_base] == ["linear", "soup"]
    assert {name: method.takes for name, method in METHODS.items() if method.takes} == {"ties": ("density",), "dare": ("density", "seed")}


@pytest.mark.parametrize("name", list(METHODS))
def test_inputs_stay_and_results_are_new_float64(name: str) -> None:
    base, branch = np.random.default_rng(0).normal(size=(2, 4, 3))
    before = base.tobytes(), branch.tobytes()
    base.setflags(write=False)
    branch.setflags(write=False)
    merged = METHODS[name].apply(base, [branch], [1], Options(key="w"))
    assert (merged.dtype, merged.shape) == (np.float64, (4, 3))
    assert not np.shares_memory(merged, base) and not np.shares_memory(merged, branch)
    np.testing.assert_allclose(merged, branch, rtol=0, atol=1e-15)  # one branch with coefficient 1 is that branch, in all methods
    assert before == (base.tobytes(), branch.tobytes())


@pytest.mark.parametrize("name", ["linear", "soup"])
def test_without_need_of_the_base_its_values_do_not_matter(name: str) -> None:
    branches = list(np.random.default_rng(0).normal(size=(2, 5)))
    results = [METHODS[name].apply(base, branches, [1, 1], Options()) for base in (np.zeros(5), np.full(5, np.nan))]
    assert results[0].tobytes() == results[1].tobytes()


def test_a_method_is_checked_without_tensors() -> None:
    assert check_method("ties", [1, 1], Options(density=0.2)) is METHODS["ties"]
    with pytest.raises(MergeError, match="unknown method 'tie'; methods are progressive, linear, task_arithmetic, ties, dare, slerp, soup"):
        check_method("tie", [1], Options())
    with pytest.raises(MergeError, match="one branch, not 2"):
        check_method("slerp", [0.5, 0.5], Options())
    with pytest.raises(MergeError, match="at least one branch"):
        check_method("linear", [], Options())


def test_density() -> None:
    check_density("ties", 1e-9, taken=True)
    check_density("linear", 1, taken=False)
    with pytest.raises(MergeError, match="density is 0,"):
        check_density("ties", 0, taken=True)
