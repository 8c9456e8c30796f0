"""Features of images as they lie on disk. See `cache.py` for how they come there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Features:
    """Features of a folder of shards.

    Attributes:
        maps: (samples, rows, columns, F) float16 per stream.
        facts: ground sampling distance in metres and day (ISO) of each sample, per stream; None where unknown.
    """

    maps: tuple[NDArray[np.float16], ...]
    facts: tuple[tuple[tuple[float | None, str | None], ...], ...]
