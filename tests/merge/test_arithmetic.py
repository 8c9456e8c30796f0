from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from merge_weights import MergeError, merge_tensor
from merge_weights.arithmetic import is_finite, narrow, widen

FLOATS = st.floats(-(2.0**100), 2.0**100, width=32)
VECTORS = arrays(np.float32, 7, elements=FLOATS)


def test_hand_computed() -> None:
    # theta* = 2 + 0.5 (6 - 2) = 4; theta = 4 + 0.25 (-4 - 4) = 2. The second: 0 + 0.5 = 0.5; 0.5 + 0.25 (0.5) = 0.625.
    merged = merge_tensor(np.array([2, 0], np.float32), [np.array([6, 1], np.float32), np.array([-4, 1], np.float32)], [0.5, 0.25])
    assert merged.dtype == np.float32
    assert merged.tolist() == [2, 0.625]


@settings(max_examples=50, deadline=None)
@given(VECTORS, VECTORS, VECTORS)
def test_paper_values_are_5_45_50_percent(base: np.ndarray, rgb: np.ndarray, others: np.ndarray) -> None:
    merged = merge_tensor(base, [rgb, others], [0.9, 0.5])
    a, b, c = (values.astype(np.longdouble) for values in (base, rgb, others))
    exact = np.longdouble("0.05") * a + np.longdouble("0.45") * b + np.longdouble("0.5") * c
    scale = np.maximum(np.maximum(abs(base), abs(rgb)), abs(others))
    assert (abs(merged - exact) <= np.spacing(scale)).all()


@settings(max_examples=50, deadline=None)
@given(VECTORS, VECTORS, st.floats(0, 1))
def test_one_step_is_torch_lerp_in_float64(base: np.ndarray, other: np.ndarray, coefficient: float) -> None:
    merged = merge_tensor(base, [other], [coefficient])
    reference = torch.lerp(torch.from_numpy(base).double(), torch.from_numpy(other).double(), coefficient).float().numpy()
    scale = np.maximum(np.maximum(abs(base), abs(other)), np.float32(1e-38))
    assert (abs(merged - reference) <= np.spacing(scale)).all()


def test_within_one_ulp_of_float64() -> None:
    random = np.random.default_rng(0)
    base, rgb, others = (random.normal(size=100_000).astype(np.float32) for _ in range(3))
    first = base + np.float64(0.9) * (rgb.astype(np.float64) - base)
    exact = first + np.float64(0.5) * (others - first)
    assert (abs(merge_tensor(base, [rgb, others], [0.9, 0.5]) - exact) <= np.spacing(abs(exact).astype(np.float32)) / 2).all()


@pytest.mark.parametrize(("m1", "m2", "expected"), [(0, 0, 0), (1, 0, 1), (0, 1, 2), (0.3, 1, 2), (1, 1, 2)])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_endpoints_are_bit_identical(m1: float, m2: float, expected: int, dtype: type) -> None:
    inputs = [np.array([0.1, -0.0, 65504, 6e-8], dtype), np.array([0.7, 0.0, -65504, 3e-5], dtype), np.array([0.3, -0.0, 1, 0], dtype)]
    merged = merge_tensor(inputs[0], inputs[1:], [m1, m2])
    assert merged.tobytes() == inputs[expected].tobytes()
    assert merged is not inputs[expected]


@pytest.mark.parametrize("m", [0.1, 1 / 3, 0.9])
def test_equal_tensors_stay_as_they_are(m: float) -> None:
    values = np.array([0.1, -0.0, 3.4e38, 1e-45], np.float32)
    assert merge_tensor(values, [values.copy(), values.copy()], [m, m]).tobytes() == values.tobytes()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_dtype_and_shape_stay(dtype: type) -> None:
    merged = merge_tensor(np.zeros((2, 0, 3), dtype), [np.zeros((2, 0, 3), dtype)], [0.5])
    assert (merged.dtype, merged.shape) == (dtype, (2, 0, 3))
    scalar = merge_tensor(np.asarray(1, dtype), [np.asarray(2, dtype)], [0.5])
    assert (scalar.dtype, scalar.shape, float(scalar)) == (dtype, (), 1.5)


def test_bf16_widening_agrees_with_torch_on_every_number() -> None:
    bits = np.arange(1 << 16, dtype=np.uint16)
    finite = np.array([is_finite(bits[i : i + 1], "BF16") for i in range(0, 1 << 16, 61)])
    reference = torch.from_numpy(bits.view(np.int16)).view(torch.bfloat16).float().numpy()
    assert np.array_equal(widen(bits, "BF16"), reference, equal_nan=True)
    assert np.array_equal(finite, np.isfinite(reference[::61]))


def test_bf16_rounding_agrees_with_torch() -> None:
    random = np.random.default_rng(1)
    singles = random.integers(0, 0x7F000000, 200_000, dtype=np.uint32).view(np.float32)  # positive, normal and subnormal
    values = np.concatenate([singles, -singles, np.array([0, -0.0, 1 + 2**-8, 1 + 3 * 2**-8], np.float32)])
    reference = torch.from_numpy(values).to(torch.bfloat16).view(torch.int16).numpy().view(np.uint16)
    assert np.array_equal(narrow(values.astype(np.float64), "BF16"), reference)


def test_bf16_rounds_once() -> None:
    # 1 + 2^-8 lies midway between 1 and 1 + 2^-7. float32 cannot hold the tiny rest, rounding twice would land on the tie.
    tie = 1 + 2.0**-8
    assert widen(narrow(np.array([tie, tie + 2.0**-40, tie - 2.0**-40]), "BF16"), "BF16").tolist() == [1, 1 + 2.0**-7, 1]
    odd = 1 + 3 * 2.0**-8  # midway between 1 + 2^-7 and 1 + 2^-6, the even one is above
    assert widen(narrow(np.array([odd, odd - 2.0**-40]), "BF16"), "BF16").tolist() == [1 + 2.0**-6, 1 + 2.0**-7]


def test_bf16_merge() -> None:
    a, b = (torch.tensor(values, dtype=torch.bfloat16) for values in ([1.0, 2.0], [3.0, -2.0]))
    bits = [tensor.view(torch.int16).numpy().view(np.uint16) for tensor in (a, b)]
    merged = merge_tensor(bits[0], [bits[1]], [0.25], bf16_bits=True)
    assert widen(merged, "BF16").tolist() == [1.5, 1.0]


def test_integers_are_copied_or_refused() -> None:
    steps = np.array([1, 2], np.int64)
    assert merge_tensor(steps, [steps.copy()], [0.5]).tolist() == [1, 2]
    with pytest.raises(MergeError, match="int64 cannot be averaged"):
        merge_tensor(steps, [steps + 1], [0.5])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_inf_are_refused_even_at_an_endpoint(bad: float) -> None:
    with pytest.raises(MergeError, match="NaN or Inf"):
        merge_tensor(np.array([1.0, bad]), [np.array([1.0, 2.0])], [1.0])


@pytest.mark.parametrize(
    ("others", "coefficients", "message"),
    [
        ([np.zeros(3)], [0.5], r"float64 \[2\] and float64 \[3\]"),
        ([np.zeros(2, np.float32)], [0.5], "float32"),
        ([np.zeros(2)], [0.5, 0.5], "1 tensors but 2 coefficients"),
        ([np.zeros(2)], [1.5], "between 0"),
        ([np.zeros(2)], [float("nan")], "between 0"),
    ],
)
def test_refusals(others: list[np.ndarray], coefficients: list[float], message: str) -> None:
    with pytest.raises(MergeError, match=message):
        merge_tensor(np.zeros(2), others, coefficients)
