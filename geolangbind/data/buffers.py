"""Memory that is used again once nobody holds it: the first touch of new memory costs more than the arithmetic on 200 bands."""

from __future__ import annotations

import math
import sys
import threading
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


class Buffers:
    """Gives out arrays and takes their memory back by itself.

    Memory is given out again only when its reference count shows that no array, view, memoryview or tensor made from it is left. Who
    keeps a batch therefore keeps it unchanged; new memory is then taken, as without this class. Safe between threads; a copy in another
    process begins empty.
    """

    def __init__(self, most: int = 6) -> None:
        """Keep at most `most` pieces of memory: as many as are held at once, of the largest size asked for."""
        self._most = most
        self._kept: list[NDArray[np.uint8]] = []
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[Buffers], tuple[int]]:
        return Buffers, (self._most,)

    def take(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Return an array of any content that nobody else has."""
        wanted = np.dtype(dtype)
        size = math.prod(shape) * wanted.itemsize
        with self._lock:  # between seeing that a piece is free and holding it, no other thread may look
            free = [place for place in range(len(self._kept)) if _holders(self._kept, place) == _UNHELD]
            fitting = [place for place in free if len(self._kept[place]) >= size]
            if fitting:
                place = min(fitting, key=lambda place: len(self._kept[place]))
            else:  # free pieces are too small, and the new one will serve what they did
                held = [piece for place, piece in enumerate(self._kept) if place not in free]
                self._kept, place = [*held, np.empty(size, np.uint8)][-self._most :], -1
            return self._kept[place][:size].view(wanted).reshape(shape)


def _holders(kept: list[NDArray[np.uint8]], place: int) -> int:
    return sys.getrefcount(kept[place])


_UNHELD = _holders([np.empty(0, np.uint8)], 0)
"""Count of a piece that only the list holds; measured, since what the call itself adds differs between Python's versions."""
