"""The map of a scene while it is drawn: cells with two mixtures of materials each, blended by noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geolangbind.planet.materials import MATERIALS, NAMES
from geolangbind.planet.noise import GRID, Map

Mask = NDArray[np.bool_]
_COUNT = len(NAMES)
_EXTRA = 6
_WATER, _SNOW = MATERIALS["water"].cover, MATERIALS["snow"].cover
COVER, ROUGH, WARM, TEXTURE, STRIPE_U, STRIPE_V = range(2 * _COUNT, 2 * _COUNT + _EXTRA)
"""Columns of a cell's row after its two mixtures: mask class, backscatter offset in dB, warmth offset in K, shading, rows along u and v."""


def mix(
    a: Mapping[str, float],
    b: Mapping[str, float] | None = None,
    *,
    rough_db: float = 0.0,
    warm_k: float = 0.0,
    texture: float = 0.0,
) -> Map:
    """Return the row of a kind of cell.

    Args:
        a: materials and their shares where the scene's noise is low.
        b: the same where it is high; like `a` by default.
        rough_db: added to the backscatter of the mixture.
        warm_k: added to its temperature.
        texture: amplitude of the light and shade of what stands there.
    """
    row = np.zeros(2 * _COUNT + _EXTRA, np.float32)
    for start, shares in ((0, a), (_COUNT, b if b is not None else a)):
        total = sum(shares.values())
        for name, share in shares.items():
            row[start + NAMES.index(name)] = share / total
    row[COVER] = MATERIALS[max(a, key=a.__getitem__)].cover
    row[ROUGH], row[WARM], row[TEXTURE] = rough_db, warm_k, texture
    return row


@dataclass(frozen=True)
class Ground:
    """What lies where in a scene, on the 5 m grid.

    Attributes:
        names: the K materials present.
        fractions: (K, GRID, GRID) shares of each cell; they sum to the cell's brightness, about 1.
        cover: (GRID, GRID) mask class.
        rough_db: (GRID, GRID) backscatter offset.
        warm_k: (GRID, GRID) temperature offset.
        light: (GRID, GRID) factor of small-scale light and shade (crowns, clods, sand ripples).
    """

    names: tuple[str, ...]
    fractions: Map
    cover: NDArray[np.uint8]
    rough_db: Map
    warm_k: Map
    light: Map


class Canvas:
    """Collects cells: each call paints over what lies below. Built by one layout, then frozen by `ground`."""

    def __init__(self, background: Map) -> None:
        """Start with one cell of the row `background` everywhere."""
        self._rows: list[Map] = [background[None]]
        self._count = 1
        self.cells: NDArray[np.int32] = np.zeros((GRID, GRID), np.int32)

    def paint(self, mask: Mask, row: Map) -> None:
        """Lay one kind of ground where `mask` (GRID, GRID) is true."""
        self._rows.append(row[None])
        self.cells[mask] = self._count
        self._count += 1

    def paint_table(self, ids: NDArray[np.int32], rows: Map, mask: Mask | None = None) -> None:
        """Lay `rows[ids]`, (n, columns) by (GRID, GRID), where `mask` is true (everywhere by default)."""
        self._rows.append(rows)
        self.cells = ids + self._count if mask is None else np.where(mask, ids + self._count, self.cells)
        self._count += len(rows)

    def ground(self, blend: Map, speckle: Map, stripes: Sequence[Map], least_texture: float = 0.0) -> Ground:
        """Freeze the canvas.

        Args:
            blend: (GRID, GRID) noise of unit spread that goes from mixture a to b.
            speckle: (GRID, GRID) noise of unit spread for light and shade.
            stripes: two (GRID, GRID) waves of unit amplitude, rows along u and along v.
            least_texture: amplitude of light and shade of all ground but water and snow, whose own is less.
        """
        table = np.concatenate(self._rows)
        extra = table[:, 2 * _COUNT :][self.cells]
        share = 0.5 + 0.3 * blend + extra[..., STRIPE_U - COVER] * stripes[0] + extra[..., STRIPE_V - COVER] * stripes[1]
        share = np.clip(share, 0, 1, dtype=np.float32)
        cover = extra[..., 0].astype(np.uint8)
        rough = (cover != _WATER) & (cover != _SNOW)
        texture = np.maximum(extra[..., TEXTURE - COVER], np.float32(least_texture) * rough)
        seen = np.zeros(len(table), bool)
        seen[self.cells.ravel()] = True
        used = np.flatnonzero((table[seen, :_COUNT] + table[seen, _COUNT : 2 * _COUNT]).max(axis=0) > 0)
        low = np.ascontiguousarray(table[:, used].T)
        step = np.ascontiguousarray(table[:, used + _COUNT].T) - low
        fractions = np.take(step, self.cells, axis=1)
        fractions *= share
        fractions += np.take(low, self.cells, axis=1)
        return Ground(
            names=tuple(NAMES[i] for i in used),
            fractions=fractions,
            cover=cover,
            rough_db=extra[..., ROUGH - COVER],
            warm_k=extra[..., WARM - COVER],
            light=np.clip(1 + texture * speckle, 0.35, 1.8, dtype=np.float32),
        )
