"""What the controls share: a sequence falls into views and words, each gets a vector of its own, and their mean is the sequence's.

This is late fusion, all that a dual encoder can do with a mix of inputs. Instructions are left out: a dual encoder has no use for them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Literal, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geolangbind.instruct.images import key_of_image
from geolangbind.instruct.ranking import SequenceModel
from geolangbind.instruct.segments_json import Sequence as Segments
from geolangbind.interleaved.collate import ImageRef
from geolangbind.interleaved.segments import Date, GeoBox, GeoPoint, Image, ImageFacts, PixelBox, Segment, Text
from geolangbind.interleaved.serialize import write_corners, write_date, write_geobox, write_point

Form = Literal["cut", "told"]
"""A box is cut out and stands for its image and for the words beside it, or it is told: the whole image, and words with its corners."""

View = tuple[Image, PixelBox | None]
_AT_ONCE = 256


class Images(Protocol):
    """What `geolangbind.instruct.images.Images` is to the controls."""

    def facts(self, image: Image) -> ImageFacts:
        """Size of an image."""

    def refs(self, images: Iterable[Image]) -> Mapping[Hashable, ImageRef]:
        """Pixels or features by `key_of_image`."""


def parts_of(sequence: Segments, form: Form, images: Images) -> tuple[list[View], str]:
    """Views and words of a sequence; no words where there are none."""
    shown = [segment for segment in sequence if isinstance(segment, Image)]
    boxes = [segment for segment in sequence if isinstance(segment, PixelBox)]
    if form == "cut" and boxes:
        return [(shown[box.image], box) for box in boxes], ""
    words = [_word(segment, shown, images) for segment in sequence if not isinstance(segment, Image)]
    return [(image, None) for image in shown], " ".join(words)


def _word(segment: Segment, shown: Sequence[Image], images: Images) -> str:
    match segment:
        case PixelBox():
            facts = images.facts(shown[segment.image])
            return write_corners(segment, facts.height, facts.width)
        case GeoPoint():
            return write_point(segment)
        case GeoBox():
            return write_geobox(segment)
        case Date():
            return write_date(segment)
        case Text():
            return segment.text
        case Image():
            raise TypeError("an image is a view, no word")


def shares_of(box: PixelBox, facts: ImageFacts) -> tuple[float, float, float, float]:
    """Corners as shares of the image's width and height."""
    return box.x0 / facts.width, box.y0 / facts.height, box.x1 / facts.width, box.y1 / facts.height


class PartsModel(nn.Module):
    """A model of views and words.

    Args:
        views: of n views and the images they are of, their vectors (n, D).
        words: of n texts, their vectors (n, D).
    """

    def __init__(self, views: nn.Module, words: nn.Module) -> None:
        super().__init__()
        self.views, self.words = views, words

    def forward(self, sequences: Sequence[Segments], images: Images, form: Form = "cut") -> Tensor:
        """Unit vectors (n, D) of sequences; each distinct view and text is encoded once."""
        views: dict[Hashable, View] = {}
        texts: dict[Hashable, str] = {}
        owners: list[tuple[int, Hashable]] = []
        for row, sequence in enumerate(sequences):
            seen, text = parts_of(sequence, form, images)
            for image, box in seen:
                key = (key_of_image(image), box)
                views.setdefault(key, (image, box))
                owners.append((row, key))
            if text:
                texts.setdefault(text, text)
                owners.append((row, text))
        found = [self.views(list(views.values()), images)] if views else []
        found += [self.words(list(texts.values()))] if texts else []
        place = {key: number for number, key in enumerate([*views, *texts])}
        rows, numbers = torch.tensor([(row, place[key]) for row, key in owners]).unbind(1)
        vectors = F.normalize(torch.cat(found), dim=1)
        return F.normalize(vectors.new_zeros(len(sequences), vectors.shape[1]).index_add(0, rows, vectors[numbers]), dim=1)


def as_ranked(model: PartsModel, images: Images, name: str, form: Form = "cut") -> SequenceModel:
    """The model as `ranking.rank` takes it, for rows of these images."""

    def embed(sequences: Sequence[Segments], instruction: str) -> Tensor:
        model.eval()
        with torch.no_grad():
            parts = [model(sequences[first : first + _AT_ONCE], images, form) for first in range(0, len(sequences), _AT_ONCE)]
        return torch.cat(parts).float()

    return SequenceModel(name, weights_sha256(model), f"parts-1/{form}", embed)


def weights_sha256(model: nn.Module) -> str:
    """Hash of all weights by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
