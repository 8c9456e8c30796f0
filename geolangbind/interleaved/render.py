"""Segments to one sequence of ids and slots: the same code for training, evaluation and serving."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

from geolangbind.errors import CheckpointError, DataError, SettingsError
from geolangbind.interleaved.prompts import Prompt, Region, Slot
from geolangbind.interleaved.segments import Date, GeoBox, GeoPoint, Image, ImageFacts, PixelBox, Segment, Text
from geolangbind.interleaved.serialize import (
    BOX_END,
    BOX_START,
    IMAGE_FACTS,
    SERIALIZER,
    write_corners,
    write_date,
    write_geobox,
    write_image_facts,
    write_point,
)
from geolangbind.interleaved.vocabulary import Vocabulary

Form = Literal["text", "token", "both"]


@dataclass(frozen=True)
class Rendering:
    """How segments are written; saved with the weights, which know no other way.

    Attributes:
        serializer: name and version of the text forms, see `serialize.py`.
        box: a box as text, as a REGION slot, or both.
        place: a place as text, as a PLACE slot, or both.
        image_facts: facts written before each image, in this order.
        max_length: most ids of a sequence, image slots included.

    Raises:
        SettingsError: an unknown value.
    """

    serializer: str = SERIALIZER
    box: Form = "both"
    place: Form = "both"
    image_facts: tuple[str, ...] = IMAGE_FACTS
    max_length: int = 512

    def __post_init__(self) -> None:
        known = {"serializer": (SERIALIZER,), "box": get_args(Form), "place": get_args(Form)}
        for name, values in known.items():
            if getattr(self, name) not in values:
                raise SettingsError(f"rendering.{name} is {getattr(self, name)!r}; this release knows {', '.join(values)}")
        unknown = [name for name in self.image_facts if name not in IMAGE_FACTS]
        if unknown:
            raise SettingsError(f"unknown facts {unknown} in rendering.image_facts; known are {', '.join(IMAGE_FACTS)}")
        if not isinstance(self.max_length, int) or self.max_length < 2:
            raise SettingsError(f"rendering.max_length is a whole number of at least 2; got {self.max_length!r}")

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Rendering:
        """Rebuild what `dataclasses.asdict` made, for example from `config.json`.

        Raises:
            CheckpointError: another serializer, an unknown value, or keys missing or too many.
        """
        names = {entry.name for entry in fields(cls)}
        if not isinstance(told, Mapping) or set(told) != names:
            raise CheckpointError(f"the rendering in config.json needs exactly {', '.join(sorted(names))}; got {told!r:.200}")
        try:
            return cls(**{**told, "image_facts": tuple(told["image_facts"])})
        except (SettingsError, TypeError) as error:
            raise CheckpointError(f"the checkpoint writes its sequences in another way: {error}") from None


def render(
    segments: Sequence[Segment],
    facts: Sequence[ImageFacts],
    grid_of: Callable[[ImageFacts], tuple[int, int]],
    vocabulary: Vocabulary,
    rendering: Rendering,
    instruction: str = "",
) -> Prompt:
    """Write an instruction and the segments behind it as one sequence.

    Args:
        segments: in reading order, see `segments.as_segments`.
        facts: of the images, in reading order.
        grid_of: (rows, columns) of tokens that an image takes after the projector.
        vocabulary: of the language backbone.
        rendering: of the checkpoint.
        instruction: comes first; may be empty.

    Raises:
        DataError: nothing but blank text, a box outside its image or of an image that is not there, or a sequence longer than
            `rendering.max_length`: sequences are never cut.
    """
    count = sum(isinstance(segment, Image) for segment in segments)
    if count != len(facts):
        raise DataError(f"{count} images in the sequence, but facts of {len(facts)}")
    if all(isinstance(segment, Text) and not segment.text.strip() for segment in segments):
        raise DataError("a sequence needs something beside blank text")
    draft = _Draft(vocabulary)
    draft.words(instruction)
    upcoming = iter(facts)
    for segment in segments:
        match segment:
            case Text(text):
                draft.words(text)
            case Image():
                _image(draft, next(upcoming), grid_of, rendering)
            case PixelBox():
                _box(draft, segment, facts, rendering)
            case GeoPoint(lat, lon):
                _place(draft, write_point(segment), (lat, lon), rendering)
            case GeoBox():
                _place(draft, write_geobox(segment), centre(segment), rendering)
            case Date():
                draft.words(write_date(segment))
    prompt = draft.finish()
    if len(prompt.ids) > rendering.max_length:
        of_images = sum(rows * columns for rows, columns in prompt.grids)
        raise DataError(
            f"the sequence takes {len(prompt.ids)} tokens ({of_images} of images), more than max_length {rendering.max_length}; "
            f"shorten it, use fewer images, or train with a larger max_length: {prompt.text:.60}"
        )
    return prompt


def centre(box: GeoBox) -> tuple[float, float]:
    """Latitude and longitude of the middle of an extent, also across the antimeridian."""
    lon = (box.west + box.east) / 2 + (180 if box.west > box.east else 0)
    return (box.south + box.north) / 2, lon - 360 if lon > 180 else lon


@dataclass(eq=False)
class _Draft:
    """A prompt while it is written."""

    vocabulary: Vocabulary
    ids: list[int] = field(default_factory=list)
    slots: list[int] = field(default_factory=list)
    grids: list[tuple[int, int]] = field(default_factory=list)
    regions: list[Region] = field(default_factory=list)
    places: list[tuple[float, float]] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)

    def put(self, ids: Sequence[int], slot: Slot = Slot.TEXT) -> None:
        self.ids += ids
        self.slots += [int(slot)] * len(ids)

    def words(self, words: str) -> None:
        words = words.strip()
        if words:
            # the blank belongs to the word behind it, as byte-level vocabularies have it
            self.put(self.vocabulary.encode(f" {words}" if self.ids else words))
            self.shown.append(words)

    def slot(self, slot: Slot) -> None:
        self.put((self.vocabulary.filler,), slot)
        self.shown.append(f"<{slot.name.lower()}>")

    def finish(self) -> Prompt:
        self.put((self.vocabulary.eos,))
        ids, slots, grids = tuple(self.ids), tuple(self.slots), tuple(self.grids)
        return Prompt(ids, slots, grids, tuple(self.regions), tuple(self.places), " ".join(self.shown))


def _image(draft: _Draft, facts: ImageFacts, grid_of: Callable[[ImageFacts], tuple[int, int]], rendering: Rendering) -> None:
    draft.words(write_image_facts(facts, rendering.image_facts))
    rows, columns = grid_of(facts)
    # with start and end tokens two images side by side stay two
    draft.put((draft.vocabulary.image_start,))
    draft.put((draft.vocabulary.filler,) * (rows * columns), Slot.IMAGE)
    draft.put((draft.vocabulary.image_end,))
    draft.grids.append((rows, columns))
    draft.shown.append(f"<image {rows}x{columns}>")


def _box(draft: _Draft, box: PixelBox, facts: Sequence[ImageFacts], rendering: Rendering) -> None:
    if box.image >= len(facts):
        raise DataError(f"a box lies in image {box.image}, but the sequence has {len(facts)} images (0 is the first)")
    height, width = facts[box.image].height, facts[box.image].width
    corners = write_corners(box, height, width)
    if rendering.box != "token":
        if len(facts) > 1:
            draft.words(f"image {box.image + 1}")
        if draft.vocabulary.box is None:
            draft.words(corners)
        else:
            start, end = draft.vocabulary.box
            draft.put((start, *draft.vocabulary.encode(corners), end))
            draft.shown.append(f"{BOX_START}{corners}{BOX_END}")
    if rendering.box != "text":
        draft.slot(Slot.REGION)
        draft.regions.append(Region(box.image, box.x0 / width, box.y0 / height, box.x1 / width, box.y1 / height))


def _place(draft: _Draft, words: str, place: tuple[float, float], rendering: Rendering) -> None:
    if rendering.place != "token":
        draft.words(words)
    if rendering.place != "text":
        draft.slot(Slot.PLACE)
        draft.places.append(place)
