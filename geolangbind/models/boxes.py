"""Boxes and places as vectors: sin-cos codes, features pooled under boxes, and attention to what lies around them.

Shapes: n images of rows x columns features of F numbers, m boxes in each (x0, y0, x1, y1 as shares of the image), H hidden size.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn


class Around(nn.Module):
    """What lies around a box: attention from the box to every cell of its image, by what a cell holds and where it lies seen from the box.

    "A tank north of a grove" asks for exactly that. An empty cell of its own lets a head say that nothing fits. Where a cell lies seen from
    the box is a sin-cos code of their distance; as in rotary embeddings (arXiv 2104.09864), it is had by turning the question by the box's
    own angles, so that all boxes of an image share its keys.
    """

    def __init__(self, width: int, hidden: int, heads: int, waves: int) -> None:
        super().__init__()
        self.heads, self.waves, self.size = heads, waves, 16
        code, inner = 4 * waves, self.size * heads
        self.asked = mlp(width + 2 * code, inner)
        self.content = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * inner))
        self.offset = nn.Linear(self.size, code, bias=False)
        self.nothing = nn.Parameter(torch.zeros(heads))
        self.told = mlp(heads * (self.size + code), hidden)

    def forward(self, features: Tensor, boxes: Tensor, pooled: Tensor) -> Tensor:
        """(n, rows, columns, F) features, m boxes (n, m, 4) in each of their images and what is under them (n, m, F) to (n, m, H)."""
        _, rows, columns, _ = features.shape
        cells = _waves(_centres(grid_boxes(rows, columns, features.device)), self.waves)
        own = _waves(_centres(boxes).flatten(0, 1), self.waves).unflatten(0, boxes.shape[:2])[:, :, None]
        keys, values = (part.unflatten(2, (self.heads, -1)) for part in self.content(features.flatten(1, 2)).chunk(2, dim=2))
        code = box_code(boxes.flatten(0, 1), self.waves).unflatten(0, boxes.shape[:2])
        asked = self.asked(torch.cat([pooled, code], dim=2)).unflatten(2, (self.heads, -1))
        logits = torch.einsum("nmhd,nchd->nhmc", asked, keys)
        logits = logits + torch.einsum("nmhw,cw->nhmc", _turned(self.offset(asked), own), cells)
        nothing = self.nothing[:, None, None].expand(*logits.shape[:3], 1)
        weights = torch.cat([logits / self.size**0.5, nothing], dim=3).softmax(dim=3)[..., :-1]
        held = torch.einsum("nhmc,nchd->nmhd", weights, values)
        lies = _turned(torch.einsum("nhmc,cw->nmhw", weights, cells), own, back=True)
        return cast(Tensor, self.told(torch.cat([held, lies], dim=3).flatten(2)))


def grid_boxes(rows: int, columns: int, device: torch.device) -> Tensor:
    """(rows * columns, 4): x0, y0, x1, y1 of each cell of a grid as shares of the image, row by row."""
    y, x = torch.meshgrid(torch.arange(rows, device=device), torch.arange(columns, device=device), indexing="ij")
    return torch.stack([x / columns, y / rows, (x + 1) / columns, (y + 1) / rows], dim=2).flatten(0, 1)


def box_code(boxes: Tensor, waves: int) -> Tensor:
    """Sin-cos code of boxes (R, 4) in shares of the image: centre and size at `waves` octaves, (R, 8 * waves) float32."""
    x0, y0, x1, y1 = boxes.float().unbind(1)
    values = torch.stack([(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0], dim=1)
    return _waves(values, waves)


def sphere_code(places: Tensor, waves: int) -> Tensor:
    """Sin-cos code of places (P, 2), latitude and longitude in degrees: the unit vector at `waves` octaves, (P, 6 * waves) float32.

    Through x, y, z on the sphere, so that neither poles nor the antimeridian tear the code.
    """
    lat, lon = torch.deg2rad(places.float()).unbind(1)
    return _waves(torch.stack([lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin()], dim=1) / 2, waves)


def _centres(boxes: Tensor) -> Tensor:
    return (boxes[..., :2] + boxes[..., 2:]) / 2


def _turned(code: Tensor, by: Tensor, *, back: bool = False) -> Tensor:
    """Turn sin-cos pairs (..., 4 * waves) by the angles of a code: dotted with a place's code it then asks for a distance from `by`.

    Backwards: the code of places becomes that of their distances from `by`.
    """
    (sin, cos), (by_sin, by_cos) = (part.unflatten(-1, (2, 2, -1)).unbind(-2) for part in (code, by))
    by_sin = -by_sin if back else by_sin
    return torch.stack([sin * by_cos + cos * by_sin, cos * by_cos - sin * by_sin], dim=-2).flatten(-3)


def _waves(values: Tensor, waves: int) -> Tensor:
    angles = values[:, :, None] * (math.pi * 2.0 ** torch.arange(waves, device=values.device))
    return torch.cat([angles.sin(), angles.cos()], dim=2).flatten(1)


def pool_boxes(features: Tensor, boxes: Tensor) -> Tensor:
    """Mean of features (n, rows, columns, F) over m boxes (n, m, 4) of each image, each cell by its area under the box: (n, m, F).

    Boxes are shares of the image; an empty one gives zeros.
    """
    x0, y0, x1, y1 = boxes.unbind(2)
    down, across = _covered(y0, y1, features.shape[1]), _covered(x0, x1, features.shape[2])
    return torch.bmm((down[..., :, None] * across[..., None, :]).flatten(2), features.flatten(1, 2))


def _covered(low: Tensor, high: Tensor, cells: int) -> Tensor:
    """(..., cells): how much of [low, high] lies in each of so many equal cells of [0, 1], as shares."""
    edges = torch.arange(cells + 1, device=low.device) / cells
    share = (torch.minimum(edges[1:], high[..., None]) - torch.maximum(edges[:-1], low[..., None])).clamp(min=0)
    return share / share.sum(-1, keepdim=True).clamp(min=1e-12)


def places_in_images(images: Tensor, count: int) -> tuple[Tensor, int]:
    """The number of each box among those of its image, of `count` images, and how many boxes the fullest image has."""
    order, sizes = images.argsort(stable=True), images.bincount(minlength=count)
    begins = sizes.cumsum(0) - sizes
    numbers = torch.arange(len(images), device=images.device) - begins[images[order]]
    return torch.empty_like(images).scatter(0, order, numbers), int(sizes.max())


def mlp(width: int, hidden: int) -> nn.Sequential:
    """From (..., width), whatever its scale, to (..., hidden)."""
    return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, hidden))
