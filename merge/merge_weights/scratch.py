"""Buffers that every thread keeps and uses again: fresh memory for every chunk costs more than the arithmetic on it."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

_kept = threading.local()


def buffer(name: object, count: int, dtype: str = "u1") -> NDArray[Any]:
    """Return this thread's array of `count` items under `name`; what it held before is lost."""
    store: dict[object, NDArray[np.uint8]] = _kept.__dict__.setdefault("buffers", {})
    nbytes = count * np.dtype(dtype).itemsize
    if name not in store or store[name].nbytes < nbytes:
        store[name] = np.empty(nbytes, np.uint8)
    return store[name][:nbytes].view(dtype)
