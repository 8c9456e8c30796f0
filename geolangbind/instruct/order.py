"""Which rows a step takes: a function of (seed, step), as in `geolangbind.data.order`. Importable without torch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geolangbind.data.order import MixtureOrder
from geolangbind.errors import SettingsError


@dataclass(frozen=True, eq=False)
class Taken:
    """A block's rows, or the part of them that one process takes.

    Attributes:
        block: number of the block in its step.
        source: number of the source that the whole block is of.
        rows: (n,) int64 row numbers in that source.
    """

    block: int
    source: int
    rows: NDArray[np.int64]


class BlockOrder:
    """Every step is made of blocks, and every block of rows of one source: a task is hardest among its own kind.

    Args:
        sizes: rows per source.
        weights: share of blocks per source, any positive scale; 0 leaves a source out.
        batch_size: draws per step, over all processes.
        block: draws per block; divides `batch_size`.
        seed: any non-negative integer.
        together: per source, how many rows that follow one another make a draw, for example the questions about one image: the model then
            sees the image once. One row everywhere if left out.

    Raises:
        SettingsError: as `MixtureOrder`; or the blocks do not fill the batch.
    """

    def __init__(
        self, sizes: Sequence[int], weights: Sequence[float], batch_size: int, block: int, seed: int, together: Sequence[int] = ()
    ) -> None:
        if block < 1 or batch_size % block:
            raise SettingsError(f"batch_size {batch_size} is not made of blocks of {block}; choose a block that divides it")
        self.batch_size, self.block, self.sizes = batch_size, block, tuple(sizes)
        self.together = tuple(together) or (1,) * len(self.sizes)
        if len(self.together) != len(self.sizes) or min(self.together) < 1:
            raise SettingsError(
                f"rows taken together are {list(self.together)}; give a number of at least 1 for each of {len(sizes)} sources"
            )
        self._blocks = MixtureOrder([-(-size // rows) for size, rows in zip(sizes, self.together, strict=True)], weights, block, seed)

    def batch(self, step: int, rank: int = 0, world_size: int = 1) -> tuple[Taken, ...]:
        """The rows of a step that one process takes. Laid end to end over the ranks, they are the same whatever the world size.

        Raises:
            SettingsError: the ranks' shares of rows differ, or `step` or `rank` is out of range.
        """
        if step < 0 or not 0 <= rank < world_size or self.batch_size % world_size:
            raise SettingsError(
                f"no batch of {self.batch_size} draws for step {step}, rank {rank} of {world_size}; ranks take equal shares"
            )
        if world_size > 1 and self.block < self.batch_size and len(set(self.together)) > 1:
            raise SettingsError("blocks of sources with different numbers of rows per draw (together) are of different sizes; use block=0")
        share, per_step = self.batch_size // world_size, self.batch_size // self.block
        first, taken = rank * share, []
        for block in range(first // self.block, (first + share - 1) // self.block + 1):
            source, draws = self._blocks.batch(step * per_step + block)
            begin, each = block * self.block, self.together[source]
            draws = draws[max(first - begin, 0) : first + share - begin]
            # the last rows of a source are filled up with its first
            taken.append(Taken(block, source, (draws[:, None] * each + np.arange(each)).ravel() % self.sizes[source]))
        return tuple(taken)


def in_fraction(name: str, fraction: float) -> bool:
    """Whether a row of this name is in the subset that holds this share of all rows; smaller subsets lie within larger ones."""
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < fraction * 2**64
