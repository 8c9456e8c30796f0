"""What instruction rows are made from: the facts of all samples in folders of shards, without pixels. Importable without torch."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from geolangbind.captions.grammar import noun
from geolangbind.data.places import place_of
from geolangbind.data.remote import RemoteFolder, Span
from geolangbind.data.sample import Box, SampleMeta
from geolangbind.data.shards import ShardSet, Stream, read_member
from geolangbind.errors import DataError
from geolangbind.instruct.segments_json import StoredImage
from geolangbind.interleaved.segments import GeoPoint, Image, PixelBox

_LABELS = ("scene_class", "classes")
"""Labels that say what an image shows: one class, or a list of them."""
_KIND_WORDS = 3
_A_PIXEL = 1.01  # written coordinates are rounded
SAME_PLACE = (
    "dates and sensors are made of images of one place: samples whose keys end alike behind the first '-' (rgb-0001, sar-0001), "
    "in one folder, or in several if bbox_wgs84 agrees to a pixel on every side"
)
"""The rule, for those who wonder why there is nothing."""


@dataclass(frozen=True, eq=False)
class Seen:
    """One sample.

    Attributes:
        stored: where it lies.
        modality: rgb, sar, msi, hsi, ir or dem.
        height: in pixels.
        width: in pixels.
        meta: what the sample says of itself.
        place: what samples of one place share: a folder, and their key behind the first `-`.
    """

    stored: StoredImage
    modality: str
    height: int
    width: int
    meta: SampleMeta
    place: tuple[str, str]

    @property
    def id(self) -> str:
        """Unique among all folders."""
        return f"{self.stored.shards}/{self.stored.key}"

    @property
    def image(self) -> Image:
        """The sample in a sequence."""
        return Image(self.stored)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes that the labels say, in their order."""
        found = [self.meta.labels.get(name) for name in _LABELS]
        listed = [value if isinstance(value, list) else [value] for value in found]
        return tuple(dict.fromkeys(name for names in listed for name in names if isinstance(name, str)))

    @property
    def lists_classes(self) -> bool:
        """Whether the labels list all classes that the image shows."""
        return isinstance(self.meta.labels.get("classes"), list)

    @property
    def season(self) -> str | None:
        """The season that the labels say."""
        season = self.meta.labels.get("season")
        return season if isinstance(season, str) else None

    @cached_property
    def boxes(self) -> tuple[tuple[PixelBox, str], ...]:
        """Regions cut to the image, with their words; those outside and those without words are left out."""
        cut = []
        for box in self.meta.boxes:
            x0, y0, x1, y1 = box.xyxy
            x0, y0, x1, y1 = max(x0, 0.0), max(y0, 0.0), min(x1, float(self.width)), min(y1, float(self.height))
            if x0 < x1 and y0 < y1 and (words := _words(box)):
                cut.append((PixelBox(x0, y0, x1, y1), words))
        return tuple(cut)

    @property
    def point(self) -> GeoPoint | None:
        """The middle of the image on the ground."""
        if self.meta.bbox_wgs84 is None:
            return None
        west, south, east, north = self.meta.bbox_wgs84
        middle = (west + east) / 2 + (180 if west > east else 0)
        return GeoPoint((south + north) / 2, middle - 360 if middle > 180 else middle)


@dataclass(frozen=True, eq=False)
class Corpus:
    """All samples, in the order of the folders and their streams.

    Attributes:
        samples: see above.
        phrases: what people call a class, the plainest first, by its name.
    """

    samples: tuple[Seen, ...]
    phrases: Mapping[str, tuple[str, ...]]

    def words(self, name: str) -> tuple[str, ...]:
        """Return what people call a class."""
        return self.phrases.get(name) or (noun(name) or name,)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Names of all classes that are seen."""
        return tuple(sorted({name for sample in self.samples for name in sample.classes}))

    @cached_property
    def listed_classes(self) -> frozenset[str]:
        """Names of the classes in labels that list all that an image shows."""
        return frozenset(name for sample in self.samples if sample.lists_classes for name in sample.classes)

    @cached_property
    def seasons(self) -> tuple[str, ...]:
        """Seasons that are seen."""
        return tuple(sorted({sample.season for sample in self.samples if sample.season}))

    @cached_property
    def things(self) -> frozenset[str]:
        """Words of boxes that name a kind of thing and no single one: short, and used in more than one image."""
        seen = Counter(text for sample in self.samples for text in {text for _, text in sample.boxes})
        return frozenset(text for text, images in seen.items() if images > 1 and len(text.split()) <= _KIND_WORDS)

    @cached_property
    def by_place(self) -> Mapping[tuple[str, str], tuple[Seen, ...]]:
        """Samples of one place."""
        found: dict[tuple[str, str], list[Seen]] = defaultdict(list)
        for sample in self.samples:
            found[sample.place].append(sample)
        return {place: tuple(samples) for place, samples in found.items()}

    @cached_property
    def by_class(self) -> Mapping[tuple[str, str], tuple[Seen, ...]]:
        """Samples of one modality and class."""
        found: dict[tuple[str, str], list[Seen]] = defaultdict(list)
        for sample in self.samples:
            for name in sample.classes:
                found[sample.modality, name].append(sample)
        return {both: tuple(samples) for both, samples in found.items()}


def read_corpus(folders: Mapping[str, Path | str], split: str | None = None) -> tuple[Corpus, dict[str, str]]:
    """Read the facts of every sample.

    Args:
        folders: folders of indexed shards, by the name that rows give them.
        split: only samples of this split, and those that say none.

    Returns:
        The corpus, and the fingerprint of each folder.

    Raises:
        DataError: a folder cannot be read, or no sample is of the split.
    """
    held = {name: ShardSet.open(folder) for name, folder in folders.items()}
    samples: list[Seen] = []
    phrases: dict[str, tuple[str, ...]] = {}
    for name, shards in held.items():
        for label in shards.index.provenance.get("classes", {}).values():
            phrases.update((str(class_name), tuple(map(str, words))) for class_name, words in label.items())
        for stream in shards.streams:
            samples += (seen for seen in _read_stream(name, stream) if split is None or seen.meta.split in (None, split))
    if not samples:
        raise DataError(f"no sample of split '{split}' in {', '.join(map(str, folders.values()))}")
    placed = samples if len(held) == 1 else join_places(samples)
    return Corpus(tuple(placed), phrases), {name: shards.fingerprint for name, shards in held.items()}


def join_places(samples: Sequence[Seen]) -> list[Seen]:
    """Make one place of those in different folders whose keys end alike, if all that say where they lie agree on it.

    A common layout is a folder for each sensor, or for each date. Equal keys alone would not do: many folders count from 0001.
    """
    folders: dict[str, dict[str, list[Seen]]] = defaultdict(lambda: defaultdict(list))
    for sample in samples:
        folders[place_of(sample.stored.key)][sample.stored.shards].append(sample)
    joined: dict[tuple[str, str], tuple[str, str]] = {}
    for tail, groups in folders.items():
        found: list[tuple[tuple[str, str], list[Seen]]] = []
        for shards, group in groups.items():
            known = next((place for place in found if _same_ground(place[1], group)), None)
            if known is None:
                found.append(((shards, tail), list(group)))
            else:
                joined[shards, tail] = known[0]
                known[1].extend(group)
    return [replace(sample, place=joined.get(sample.place, sample.place)) for sample in samples]


def _same_ground(some: Sequence[Seen], others: Sequence[Seen]) -> bool:
    both = [[sample for sample in group if sample.meta.bbox_wgs84 is not None] for group in (some, others)]
    return all(both) and all(_agree(one, other) for one in both[0] for other in both[1])


def _agree(one: Seen, other: Seen) -> bool:
    """Whether two extents differ by at most a pixel on every side, of the image with the larger ones."""
    if one.meta.bbox_wgs84 is None or other.meta.bbox_wgs84 is None:
        return False
    wide, high = (max(sizes) * _A_PIXEL for sizes in zip(_pixel_degrees(one), _pixel_degrees(other), strict=True))
    differences = [abs(a - b) for a, b in zip(one.meta.bbox_wgs84, other.meta.bbox_wgs84, strict=True)]
    west, south, east, north = differences
    return max(min(west, 360 - west), min(east, 360 - east)) <= wide and max(south, north) <= high


def _pixel_degrees(sample: Seen) -> tuple[float, float]:
    west, south, east, north = sample.meta.bbox_wgs84 or (0.0, 0.0, 0.0, 0.0)
    return (east - west) % 360 / sample.width, (north - south) / sample.height


def _read_stream(name: str, stream: Stream) -> Iterator[Seen]:
    _, height, width = stream.shape
    for shard in stream.shards:
        table = shard.members["json"].tolist()
        for key, data in zip(
            shard.keys, _read_json(stream.folder, shard.file, shard.sha256, shard.n_bytes, shard.keys, table), strict=True
        ):
            yield Seen(StoredImage(name, key), stream.modality, height, width, SampleMeta.from_json(data), (name, place_of(key)))


def _read_json(
    folder: Path | RemoteFolder, name: str, sha256: str, n_bytes: int, keys: Iterable[str], table: list[list[int]]
) -> Iterator[bytes]:
    if isinstance(folder, RemoteFolder):
        yield from folder.read([Span(name, sha256, n_bytes, key, *member) for key, member in zip(keys, table, strict=True)])
        return
    with (folder / name).open("rb", buffering=0) as file:
        for offset, size, _ in table:
            yield bytes(read_member(file, offset, size))


def _words(box: Box) -> str:
    return " ".join(box.text.replace("_", " ").split())
