"""The images that rows name: facts for the renderer, and pixels or cached features for the model."""

from __future__ import annotations

import datetime as dt
from collections.abc import Hashable, Iterable, Mapping, Sequence

import torch
from torch import Tensor

from geolangbind.data.batch import Batch, collate
from geolangbind.data.resize import average_to
from geolangbind.data.sample import Sample, SampleMeta
from geolangbind.data.shards import Stream
from geolangbind.errors import DataError
from geolangbind.instruct.features import Features
from geolangbind.instruct.rows import Pairs, StoredImage
from geolangbind.interleaved.collate import ImageRef
from geolangbind.interleaved.encoder import InterleavedEncoder
from geolangbind.interleaved.images import fitted_size, image_key, open_image
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
        key = key_of_image(image)
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
                pixels, batch, valid = as_seen(stream.read_many(list(numbers.values())), self.encoder)
                group = (batch.channels, tuple(pixels.shape[1:]))
                masks = [None] * len(pixels) if valid is None else list(valid)
                refs = (ImageRef(key, group, pixels[row], batch.channels, masks[row]) for row, key in enumerate(numbers))
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
        when = None if day is None else dt.date.fromisoformat(day)
        return ImageFacts(stream.sensor, stream.bands, stream.shape[1], stream.shape[2], gsd_m, when)

    def _place(self, shards: str, stream: Stream) -> int:
        return self.pairs.shard_sets[shards].streams.index(stream)


def key_of_image(image: Image) -> Hashable:
    """Equal for what is read alike."""
    return image.source if isinstance(image.source, StoredImage) else image_key(image)


def gsd_and_day(meta: SampleMeta) -> tuple[float | None, str | None]:
    """Ground sampling distance in metres and day (ISO) of a sample."""
    return meta.gsd_m, None if meta.datetime is None else meta.datetime[:10]


def as_seen(samples: Sequence[Sample], encoder: InterleavedEncoder) -> tuple[Tensor, Batch, Tensor | None]:
    """Samples of one stream as the tower takes them.

    Returns:
        Pixels (n, C, H, W) as `open_image` would make them, the batch they come from, and which pixels are valid, (n, H, W) or None.

    Raises:
        DataError: a sample holds no data or nothing but zeros.
        UnitError: the tower was never taught what the samples measure.
    """
    _refuse_zeros(samples)
    batch = collate(samples)
    everywhere = torch.ones(batch.image[:, 0].shape, dtype=torch.bool) if batch.valid is None else batch.valid
    pixels, seen = average_to(batch.image, everywhere, *fitted_size(encoder.model, *batch.image.shape[2:]))
    valid = None if bool(seen.all()) else seen
    return encoder.tower.normalize_physical(pixels, batch.channels, batch.sensor, batch.bands, valid), batch, valid


def _refuse_zeros(samples: Sequence[Sample]) -> None:
    for sample in samples:
        if not sample.image.any():
            raise DataError(f"every pixel of sample {sample.key} is zero: a chip without data; leave it out of the shards")
