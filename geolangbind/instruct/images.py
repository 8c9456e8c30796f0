"""The images that rows name: facts for the renderer, and pixels or cached features for the model."""

from __future__ import annotations

import datetime as dt
from collections.abc import Hashable, Iterable, Mapping, Sequence

import torch

from geolangbind.data.batch import collate
from geolangbind.data.sample import Sample, SampleMeta
from geolangbind.data.shards import Stream
from geolangbind.errors import DataError
from geolangbind.instruct.features import Features
from geolangbind.instruct.rows import Pairs, StoredImage
from geolangbind.interleaved.collate import ImageRef
from geolangbind.interleaved.encoder import InterleavedEncoder
from geolangbind.interleaved.images import Seen, as_seen, image_key, open_image
from geolangbind.interleaved.segments import Image, ImageFacts


class Images:
    """The images of a pairs folder.

    Args:
        pairs: whose rows name them.
        encoder: that will see them.
        features: cached features by name of the shards, or None to read pixels.
    """

    def __init__(self, pairs: Pairs, encoder: InterleavedEncoder, features: Mapping[str, Features] | None = None) -> None:
        self.pairs, self.encoder, self.features = pairs, encoder, features
        self._facts: dict[Hashable, ImageFacts] = {}

    def facts(self, image: Image) -> ImageFacts:
        """What the renderer needs to know.

        Raises:
            GeoLangBindError: the image cannot be read, see `open_image`.
        """
        key = key_of_image(image), image.gsd_m, image.date  # a file's may be said by each row
        if key not in self._facts:
            self._facts[key] = self._look_up(image)
        return self._facts[key]

    def refs(self, images: Iterable[Image]) -> dict[Hashable, ImageRef]:
        """What the model needs, by `key_of_image`; each is read once, those of one stream together.

        Raises:
            GeoLangBindError: an image cannot be read, see `open_image`.
        """
        wanted: dict[tuple[str, Stream], dict[StoredImage, int]] = {}
        found: dict[Hashable, ImageRef] = {}
        for key, image in {key_of_image(image): image for image in images}.items():
            if isinstance(image.source, StoredImage):
                stream, number = self.pairs.locate(image.source)
                wanted.setdefault((image.source.shards, stream), {})[image.source] = number
            else:
                found[key] = open_image(image, self.encoder.tower, self.encoder.model).ref
        for (shards, stream), numbers in wanted.items():
            if self.features is None:
                seen = samples_seen(stream.read_many(list(numbers.values())), self.encoder)
                group = seen.channels, seen.pixels.shape[1:]
                masks = [None] * len(seen.pixels) if seen.valid is None else list(seen.valid)
                refs = (ImageRef(key, group, seen.pixels[row], seen.channels, masks[row]) for row, key in enumerate(numbers))
            else:
                held = self.features[shards].maps[self._place(shards, stream)]
                rows = torch.from_numpy(held[list(numbers.values())])
                refs = (ImageRef(key, held.shape[1:], features=row) for key, row in zip(numbers, rows, strict=True))
            found.update(zip(numbers, refs, strict=True))
        return found

    def _look_up(self, image: Image) -> ImageFacts:
        stored = image.source
        if not isinstance(stored, StoredImage):
            return open_image(image, self.encoder.tower, self.encoder.model).facts
        stream, number = self.pairs.locate(stored)
        if self.features is None:
            gsd_m, day = gsd_and_day(stream.read(number).meta)
        else:
            gsd_m, day = self.features[stored.shards].facts[self._place(stored.shards, stream)][number]
        when = None if day is None else _day_of(day, stored)
        return ImageFacts(stream.sensor, stream.bands, stream.shape[1], stream.shape[2], gsd_m, when)

    def _place(self, shards: str, stream: Stream) -> int:
        return self.pairs.shard_sets[shards].streams.index(stream)


def key_of_image(image: Image) -> Hashable:
    """Equal for what is read alike."""
    return image.source if isinstance(image.source, StoredImage) else image_key(image)


def gsd_and_day(meta: SampleMeta) -> tuple[float | None, str | None]:
    """Ground sampling distance in metres and day (ISO) of a sample."""
    return meta.gsd_m, None if meta.datetime is None else meta.datetime[:10]


def _day_of(day: str, stored: StoredImage) -> dt.date:
    try:
        return dt.date.fromisoformat(day)
    except ValueError:
        told = f"sample {stored.key} of shards '{stored.shards}': its datetime begins with '{day}', not with a day like 2020-05-01"
        raise DataError(f"{told}; correct it and write the shards again") from None


def samples_seen(samples: Sequence[Sample], encoder: InterleavedEncoder) -> Seen:
    """Samples of one stream as the tower takes them, and as `open_image` would make them.

    Raises:
        DataError: a sample holds no data or nothing but zeros.
        SensorError: see `as_seen`.
        UnitError: see `as_seen`.
    """
    _refuse_zeros(samples)
    return as_seen(collate(samples), encoder.tower, encoder.model)


def _refuse_zeros(samples: Sequence[Sample]) -> None:
    for sample in samples:
        if not sample.image.any():
            raise DataError(f"every pixel of sample {sample.key} is zero: a chip without data; leave it out of the shards")
