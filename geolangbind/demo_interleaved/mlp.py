"""The plain MLP: features pooled under the box, their mean over the image, and where the box lies. No sequence, no attention.

In a prototype it tied the interleaved encoder, so beating a crop proves nothing: this is the control to beat on what needs the scene.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache

import torch
from torch import Tensor, nn

from geolangbind.demo_interleaved.parts import Images, PartsModel, View, shares_of
from geolangbind.instruct.images import key_of_image
from geolangbind.models.boxes import box_code, pool_boxes
from geolangbind.tokenizer import words_of

WAVES = 6
"""Octaves of the box's code, as in the interleaved encoder."""
_WHOLE = (0.0, 0.0, 1.0, 1.0)
_BUCKETS, _LONGEST = 1 << 12, 3

Describe = Callable[[Sequence[View], Images], Tensor]
"""Of n views and their images, numbers (n, F) float32 that a control may use."""


class Described(nn.Module):
    """An MLP over what is told of a view; each is described once and then kept, for as long as the images stay the same."""

    def __init__(self, describe: Describe, width: int, hidden: int, dim: int) -> None:
        super().__init__()
        self.describe = describe
        self.mlp = _mlp(width, hidden, dim)
        self._kept: dict[Hashable, Tensor] = {}
        self._kept_of: Images | None = None

    def forward(self, views: Sequence[View], images: Images) -> Tensor:
        """Vectors (n, dim), not normalised."""
        if images is not self._kept_of:
            self._kept, self._kept_of = {}, images
        keys = [(key_of_image(image), box) for image, box in views]
        new = [number for number, key in enumerate(keys) if key not in self._kept]
        if new:
            told = self.describe([views[number] for number in new], images)
            self._kept.update(zip((keys[number] for number in new), told, strict=True))
        found: Tensor = self.mlp(torch.stack([self._kept[key] for key in keys]))
        return found


class Bag(nn.Module):
    """Words and their neighbours: up to three words in a row have a vector together, so that "a tank north of a pit" keeps its order."""

    def __init__(self, hidden: int, dim: int) -> None:
        super().__init__()
        self.bag = nn.EmbeddingBag(_BUCKETS, dim, mode="sum")
        self.mlp = _mlp(dim, hidden, dim)
        nn.init.normal_(self.bag.weight, std=dim**-0.5)

    def forward(self, texts: Sequence[str]) -> Tensor:
        """Vectors (n, dim), not normalised."""
        ids = [_grams(text) for text in texts]
        offsets = torch.tensor([0, *map(len, ids[:-1])]).cumsum(0)
        found: Tensor = self.mlp(self.bag(torch.tensor([gram for own in ids for gram in own]), offsets))
        return found


def region_mlp(width: int, hidden: int = 512, dim: int = 256) -> PartsModel:
    """The control for images whose `refs` are cached vision features of `width` numbers a cell. Seed torch before: weights are random."""
    return PartsModel(Described(pooled, 2 * width + 8 * WAVES, hidden, dim), Bag(hidden, dim))


def pooled(views: Sequence[View], images: Images) -> Tensor:
    """Features pooled under the box, their mean over the image, and the box's code; a view without a box is the whole image."""
    refs = images.refs([image for image, _ in views])
    boxes = boxes_of(views, images)
    found = []
    for (image, _), box in zip(views, boxes, strict=True):
        features = refs[key_of_image(image)].features
        if features is None:
            raise TypeError("the MLP reads cached vision features; open the images with them")
        seen = features.float()
        found.append(torch.cat([pool_boxes(seen[None], box[None, None])[0, 0], seen.mean((0, 1))]))
    return torch.cat([torch.stack(found), box_code(boxes, WAVES)], dim=1)


def boxes_of(views: Sequence[View], images: Images) -> Tensor:
    """(n, 4) boxes in shares of their images; a view without one is the whole image."""
    return torch.tensor([_WHOLE if box is None else shares_of(box, images.facts(image)) for image, box in views])


@lru_cache(maxsize=1 << 16)
def _grams(text: str) -> tuple[int, ...]:
    words = words_of(text)
    runs = (words[first : first + long] for long in range(1, _LONGEST + 1) for first in range(len(words) - long + 1))
    return tuple(zlib.crc32(" ".join(run).encode()) % _BUCKETS for run in runs)


def _mlp(width: int, hidden: int, dim: int) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, dim)
    )
