"""The arithmetic: widen stored numbers to float64, walk the chain, round once to the stored dtype. Pure functions.

Stored arrays have a safetensors dtype name beside them, because numpy has no bfloat16: its bits travel as uint16.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from merge_weights.chain import check_coefficient, reduce_chain
from merge_weights.errors import MergeError
from merge_weights.scratch import buffer

Stored = NDArray[Any]

STORAGE: dict[str, str] = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
"""numpy dtype in which a mergeable safetensors dtype is held; every other dtype is copied, never averaged."""


def widen(stored: Stored, dtype: str) -> NDArray[np.floating[Any]]:
    """Return stored numbers as floats that hold them exactly; `dtype` is a key of `STORAGE`."""
    if dtype != "BF16":
        return stored
    bits: NDArray[np.uint32] = stored.astype(np.uint32) << np.uint32(16)
    return bits.view(np.float32)


def narrow(values: NDArray[np.float64], dtype: str) -> Stored:
    """Round float64 to the stored dtype, once, to nearest with ties to even."""
    if dtype != "BF16":
        return values.astype(STORAGE[dtype])
    # By way of float32 rounded to odd: rounding to nearest twice would move values just beside a tie to the wrong side.
    single = values.astype(np.float32)
    back = single.astype(np.float64)
    bits: NDArray[np.uint32] = single.view(np.uint32)
    bits -= np.abs(back) > np.abs(values)
    bits |= back != values
    bits += np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    return (bits >> np.uint32(16)).astype(np.uint16)


def widest(dtypes: Sequence[str]) -> str:
    """Return the narrowest dtype that holds numbers of all these dtypes exactly."""
    if len(set(dtypes)) == 1:
        return dtypes[0]
    return "F64" if "F64" in dtypes else "F32"


def is_finite(stored: Stored, dtype: str) -> bool:
    """Tell whether no stored number is NaN or infinite."""
    if dtype == "BF16":
        return not bool(((stored & np.uint16(0x7F80)) == 0x7F80).any())
    return bool(np.isfinite(stored).all())


def merge_stored(inputs: Sequence[Stored], coefficients: Sequence[float], dtypes: Sequence[str], out_dtype: str) -> Stored:
    """Walk the chain over one tensor or a piece of it.

    Args:
        inputs: base first, then one array per step; equal sizes.
        coefficients: one per step, in [0, 1].
        dtypes: of the inputs, keys of `STORAGE`.
        out_dtype: of the result.

    Returns:
        The merged numbers. Endpoints (0, 1) return the input itself where its dtype is that of the result. Otherwise an array that the
        next call in this thread overwrites.
    """
    start, rest = reduce_chain(coefficients)
    if not rest and dtypes[start] == out_dtype:
        return inputs[start]
    count = inputs[start].size
    state, delta = (buffer(name, count, "f8") for name in ("state", "delta"))
    np.copyto(state, widen(inputs[start].reshape(-1), dtypes[start]))
    for index, coefficient in rest:
        # copied before subtracting: numpy's mixed-dtype loops go through small buffers
        np.copyto(delta, widen(inputs[index].reshape(-1), dtypes[index]))
        delta -= state
        delta *= coefficient
        state += delta
    if out_dtype == "BF16":
        return narrow(state, out_dtype).reshape(inputs[start].shape)
    merged = buffer("merged", count, STORAGE[out_dtype])
    np.copyto(merged, state, casting="same_kind")
    return merged.reshape(inputs[start].shape)


def merge_tensor(base: Stored, others: Sequence[Stored], coefficients: Sequence[float], *, bf16_bits: bool = False) -> Stored:
    """Merge one tensor in memory, as the tool does on disk; for sweeps over coefficients.

    Args:
        base: any shape; float64, float32 or float16, or uint16 with `bf16_bits`. Integers and booleans must be equal everywhere.
        others: one array per step, shape and dtype of `base`.
        coefficients: one per step, in [0, 1].
        bf16_bits: the uint16 arrays hold bfloat16 bits.

    Returns:
        A new array with the shape and dtype of `base`: theta_i = theta_(i-1) + m_i (others_i - theta_(i-1)), computed in float64.

    Raises:
        MergeError: shapes, dtypes or counts differ, a coefficient lies outside [0, 1], integers differ, NaN or Inf.
    """
    if len(others) != len(coefficients):
        raise MergeError(f"{len(others)} tensors but {len(coefficients)} coefficients")
    for coefficient in coefficients:
        check_coefficient(coefficient, "a coefficient")
    inputs = [base, *others]
    for other in others:
        if other.shape != base.shape or other.dtype != base.dtype:
            raise MergeError(f"tensors differ: {base.dtype} {list(base.shape)} and {other.dtype} {list(other.shape)}")
    equal = all(np.array_equal(other, base) for other in others)
    names = {np.dtype(storage): name for name, storage in STORAGE.items() if (name == "BF16") == bf16_bits}
    dtype = names.get(base.dtype)
    if dtype is None:
        if not equal:
            raise MergeError(f"tensors of dtype {base.dtype} cannot be averaged and differ")
        return base.copy()
    if not all(is_finite(values, dtype) for values in inputs):
        raise MergeError("a tensor has NaN or Inf")
    return base.copy() if equal else merge_stored(inputs, coefficients, [dtype] * len(inputs), dtype).copy()
