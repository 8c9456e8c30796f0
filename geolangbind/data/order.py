"""Which samples a training step sees: a pure function of (seed, step). Nothing to save, nothing to restore. Importable without torch.

Shuffling sorts raw words of the Philox counter generator (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): no numpy
release can change that, while the methods of `numpy.random.Generator` may change between releases.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import ceil

import numpy as np
from numpy.typing import NDArray

from geolangbind.errors import SettingsError

_PASS, _BLOCK = 0, 1
FINEST_SHARE = 4096
"""The smallest weight of a mixture is one in so many of their sum."""
_FIXED_POINT = 40


class MixtureOrder:
    """Order of batches over several streams; every batch comes from one stream, on all ranks.

    Streams take turns in blocks: within each block every stream gets its share of steps, rounded so that after any number of blocks its
    count differs from the exact share by less than one step; inside the block the turns are shuffled. A stream's samples are shuffled
    anew for each pass over it. A batch that reaches the end of a pass continues in the next one, so no sample is left out and none comes
    twice within a pass; a stream smaller than a batch is passed over more than once per batch.
    """

    def __init__(self, sizes: Sequence[int], weights: Sequence[float], batch_size: int, seed: int) -> None:
        """Fix the order.

        Args:
            sizes: samples per stream.
            weights: share of steps per stream, any positive scale; 0 leaves a stream out.
            batch_size: global batch, over all ranks together.
            seed: any non-negative integer.

        Raises:
            SettingsError: lengths differ, an empty stream, or a weight that is negative, not finite or below 1/4096 of the sum.
        """
        if len(sizes) != len(weights) or not sizes:
            raise SettingsError(f"{len(sizes)} streams but {len(weights)} mixture weights; give one weight per stream, at least one")
        share = np.asarray(weights, dtype=np.float64)
        if not np.isfinite(share).all() or share.min() < 0 or share.sum() <= 0:
            raise SettingsError(f"mixture weights must be finite, at least 0 and not all 0; got {list(weights)}")
        share = share / share.sum()
        smallest = share[share > 0].min()
        if smallest * FINEST_SHARE < 1:
            raise SettingsError(f"the smallest mixture weight is {smallest:.2g} of the sum; the finest share is 1/{FINEST_SHARE}")
        if any(size < 1 for size, weight in zip(sizes, share, strict=True) if weight > 0):
            raise SettingsError(f"a stream without samples cannot be drawn from; sizes are {list(sizes)}")
        if batch_size < 1 or seed < 0:
            raise SettingsError(f"batch_size must be at least 1 and seed at least 0; got {batch_size} and {seed}")
        self.sizes, self.batch_size, self.seed = tuple(sizes), batch_size, seed
        # cumulative shares as integers, so that counts of steps are exact however many there are
        self._bounds: list[int] = [0, *(round(float(edge) * 2**_FIXED_POINT) for edge in np.cumsum(share)[:-1]), 2**_FIXED_POINT]
        self._block = max(ceil(1 / smallest), len(sizes))

    def batch(self, step: int, rank: int = 0, world_size: int = 1) -> tuple[int, NDArray[np.int64]]:
        """Return the stream of `step` and the samples of it that `rank` takes, int64 (batch_size / world_size,).

        Concatenated over the ranks, the samples are the same whatever the world size.

        Raises:
            SettingsError: the global batch does not divide by `world_size`, or `step` or `rank` is out of range.
        """
        if step < 0 or not 0 <= rank < world_size:
            raise SettingsError(f"no batch for step {step}, rank {rank} of {world_size}")
        if self.batch_size % world_size:
            raise SettingsError(f"global batch_size {self.batch_size} does not divide by {world_size} ranks; choose a multiple")
        block, place = divmod(step, self._block)
        turns = self._turns(block)
        stream = int(turns[place])
        turn = self._count(stream, block * self._block) + int(np.count_nonzero(turns[:place] == stream))
        share = self.batch_size // world_size
        first = turn * self.batch_size + rank * share
        return stream, self._samples(stream, first, share)

    def turns_before(self, step: int) -> tuple[int, ...]:
        """Return how many batches each stream has given before `step`; times batch_size / size, that is its number of passes."""
        block, place = divmod(step, self._block)
        turns = self._turns(block)[:place]
        return tuple(self._count(s, block * self._block) + int(np.count_nonzero(turns == s)) for s in range(len(self.sizes)))

    def _count(self, stream: int, steps: int) -> int:
        """Turns of `stream` in the first `steps` steps, `steps` being a multiple of the block."""
        low, high = self._bounds[stream], self._bounds[stream + 1]
        return ((steps * high) >> _FIXED_POINT) - ((steps * low) >> _FIXED_POINT)

    def _turns(self, block: int) -> NDArray[np.int64]:
        begin, end = block * self._block, (block + 1) * self._block
        quotas = [self._count(stream, end) - self._count(stream, begin) for stream in range(len(self.sizes))]
        turns = np.repeat(np.arange(len(quotas), dtype=np.int64), quotas)
        return turns[_permutation(self._block, self.seed, _BLOCK, 0, block)]

    def _samples(self, stream: int, first: int, count: int) -> NDArray[np.int64]:
        """Samples `first` to `first + count` of the endless row of shuffled passes over `stream`."""
        size = self.sizes[stream]
        passes, places = np.divmod(np.arange(first, first + count, dtype=np.int64), size)
        parts = [_permutation(size, self.seed, _PASS, stream, int(p))[places[passes == p]] for p in np.unique(passes)]
        return np.concatenate(parts)


@lru_cache(maxsize=64)
def _permutation(size: int, seed: int, purpose: int, stream: int, number: int) -> NDArray[np.int64]:
    """Return a read-only pseudo-random permutation of `size`, keyed by all other arguments."""
    words = np.random.Philox(np.random.SeedSequence([seed, purpose, stream, number])).random_raw(size)
    order = np.argsort(words, kind="stable").astype(np.int64)
    order.setflags(write=False)
    return order
