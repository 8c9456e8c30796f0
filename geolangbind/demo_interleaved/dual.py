"""The dual encoder: planet-tiny's two towers, both trained on the same rows, `Recipe(flops=...)` being what the interleaved one took."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geolangbind.demo_interleaved.parts import Form, Images, PartsModel, View
from geolangbind.errors import CheckpointError
from geolangbind.instruct.images import key_of_image
from geolangbind.interleaved.collate import ImageRef
from geolangbind.interleaved.segments import ImageFacts, PixelBox
from geolangbind.model import GeoLangBind
from geolangbind.models.encoder import VisionEncoder
from geolangbind.models.text import build_text_tower
from geolangbind.tokenizer import TextTokenizer

FORMS: tuple[Form, ...] = ("cut", "told")
"""In which it is trained, in turns, and ranked, each for itself."""
MARGIN = 0.25
"""Of a cut-out box on each side, as a share of its longer side: something of the ground around belongs to the view."""
CONTEXT = 40
"""Ids of a text: corners and coordinates take more than captions do."""


class Views(nn.Module):
    """Images and square cut-outs, all at the image's own size, through the vision tower."""

    def __init__(self, tower: VisionEncoder) -> None:
        super().__init__()
        self.tower = tower

    def forward(self, views: Sequence[View], images: Images) -> Tensor:
        """Vectors (n, D), not normalised."""
        refs = images.refs([image for image, _ in views])
        groups: dict[Hashable, list[int]] = {}
        for number, (image, _) in enumerate(views):
            groups.setdefault(refs[key_of_image(image)].group, []).append(number)
        found = []
        for numbers in groups.values():
            shown = [_cut(refs[key_of_image(views[number][0])], views[number], images) for number in numbers]
            pixels, valid = (torch.stack(part) for part in zip(*shown, strict=True))
            channels = refs[key_of_image(views[numbers[0]][0])].channels
            found.append(self.tower(pixels, channels=channels, valid=None if bool(valid.all()) else valid).embedding)
        order = torch.tensor([number for numbers in groups.values() for number in numbers])
        return torch.cat(found)[order.argsort()]


class Words(nn.Module):
    """Texts through the text tower. Unlike planet-tiny's own tokenizer this one keeps punctuation: signs and points tell places apart."""

    def __init__(self, tower: nn.Module, tokenizer: TextTokenizer) -> None:
        super().__init__()
        self.tower, self.tokenizer = tower, tokenizer

    def forward(self, texts: Sequence[str]) -> Tensor:
        """Vectors (n, D), not normalised."""
        found: Tensor = self.tower(self.tokenizer(texts))
        return found


def dual_encoder(model: GeoLangBind) -> PartsModel:
    """A dual encoder that starts from a model's two towers, which are copied.

    Args:
        model: for example planet-tiny.

    Raises:
        CheckpointError: the model has no tokenizer.
    """
    if model.tokenizer is None:
        raise CheckpointError("a dual encoder needs a model with a tokenizer; use planet-tiny")
    vision = VisionEncoder(model.vision.config)
    vision.load_state_dict(model.vision.state_dict())
    text = build_text_tower(replace(model.towers.text_config, context_length=CONTEXT))
    weights = dict(model.towers.text.state_dict())
    places = weights["positional_embedding"]
    # the last place is the one that is read, those before it are mostly padding
    weights["positional_embedding"] = torch.cat([places[:-1], places[-2:-1].expand(CONTEXT - len(places), -1), places[-1:]])
    text.load_state_dict(weights)
    core = type(model.tokenizer.core).from_str(model.tokenizer.core.to_str())
    return PartsModel(Views(vision), Words(text, TextTokenizer("dual", core, CONTEXT, pad_id=model.tokenizer.pad_id)))


def _cut(ref: ImageRef, view: View, images: Images) -> tuple[Tensor, Tensor]:
    """Pixels (C, H, W) of a view and which of them are valid, (H, W) bool."""
    if ref.pixels is None:
        raise TypeError("the dual encoder sees pixels; open the images without cached features")
    height, width = ref.pixels.shape[1:]
    valid = torch.ones(height, width, dtype=torch.bool) if ref.valid is None else ref.valid
    image, box = view
    if box is None:
        return ref.pixels, valid
    rows, columns = square(box, images.facts(image), height, width)
    pixels = F.interpolate(ref.pixels[None, :, rows, columns], (height, width), mode="bilinear", align_corners=False)[0]
    return pixels, F.interpolate(valid[None, None, rows, columns].float(), (height, width), mode="nearest")[0, 0] > 0


def square(box: PixelBox, facts: ImageFacts, height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of the square around a box and its margin, in an image seen at `height` x `width`; moved in where it reaches out."""
    down, across = height / facts.height, width / facts.width
    sides = (box.x1 - box.x0) * across, (box.y1 - box.y0) * down
    side = max(2, math.ceil(max(sides) * (1 + 2 * MARGIN)))
    middles = (box.y0 + box.y1) / 2 * down, (box.x0 + box.x1) / 2 * across
    spans = []
    for middle, whole in zip(middles, (height, width), strict=True):
        long = min(side, whole)
        first = min(max(0, round(middle - long / 2)), whole - long)
        spans.append(slice(first, first + long))
    return spans[0], spans[1]
