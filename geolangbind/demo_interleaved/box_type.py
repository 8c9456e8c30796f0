"""Box and type, no scene: where the box lies and what kind of thing it holds, told by the truth; not a single pixel is seen.

What this control reaches, position and kind alone give away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from geolangbind.demo_interleaved.mlp import WAVES, Bag, Described, boxes_of
from geolangbind.demo_interleaved.parts import Images, PartsModel, View
from geolangbind.demo_interleaved.split import Split, box_of, image_of
from geolangbind.instruct.segments_json import key_of
from geolangbind.models.boxes import box_code
from geolangbind.planet.staged import KINDS


def box_and_type(kinds: Mapping[str, str], hidden: int = 512, dim: int = 256) -> PartsModel:
    """The control; of images it asks nothing but their sizes. Seed torch before: weights are random.

    Args:
        kinds: kind of the thing by `key_of((image, box))`, see `kinds_of`.
        hidden: width of its layers.
        dim: of its vectors.
    """
    names = list(KINDS)

    def describe(views: Sequence[View], images: Images) -> Tensor:
        kind = torch.zeros(len(views), len(names))
        for row, (image, box) in enumerate(views):
            if box is not None:
                kind[row, names.index(kinds[key_of((image, box))])] = 1
        return torch.cat([box_code(boxes_of(views, images), WAVES), kind], dim=1)

    return PartsModel(Described(describe, 8 * WAVES + len(names), hidden, dim), Bag(hidden, dim))


def kinds_of(split: Split, modality: str = "rgb") -> dict[str, str]:
    """Return the kinds of all things of a split's staged scenes, as `box_and_type` wants them."""
    scenes = (split.scene(index) for index in range(split.staged))
    return {key_of((image_of(scene, modality), box_of(thing, modality))): thing.kind for scene in scenes for thing in scene.objects}
