"""The images that rows name: facts for the renderer, and pixels or cached features for the model."""

from __future__ import annotations

import datetime as dt
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import torch

from geolangbind.data.batch import Batch, collate
from geolangbind.data.raster_reader import Raster
from geolangbind.data.rasters import read_raster
from geolangbind.data.shards import Stream
from geolangbind.instruct.cache import Features, day_of
from geolangbind.instruct.rows import Pairs, StoredImage
from geolangbind.interleaved.collate import ImageRef
from geolangbind.interleaved.segments import Image, ImageFacts
from geolangbind.statistics import Statistics


class Images:
    """The images of a pairs folder.

    Args:
        pairs: whose rows name them.
        statistics: how pixels are normalised.
        features: cached features by name of the shards, or None to read pixels.
    """

    def __init__(self, pairs: Pairs, statistics: Statistics, features: Mapping[str, Features] | None = None) -> None:
        self.pairs, self.statistics, self.features = pairs, statistics, features
        self._facts: dict[Hashable, ImageFacts] = {}

    def facts(self, image: Image) -> ImageFacts:
        """What the renderer needs to know.

        Raises:
            DataError: the image cannot be read.
            SensorError: a file does not say of which sensor it is, nor does the row.
        """
        key = key_of_image(image)
        if key not in self._facts:
            self._facts[key] = self._look_up(image)
        return self._facts[key]

    def refs(self, images: Iterable[Image]) -> dict[Hashable, ImageRef]:
        """What the model needs, by `key_of_image`; each is read once, those of one stream together.

        Raises:
            DataError: an image cannot be read or has no valid pixel.
            UnitError: the tower was never taught what an image measures.
        """
        wanted: dict[Stream, dict[StoredImage, int]] = {}
        found: dict[Hashable, ImageRef] = {}
        for key, image in {key_of_image(image): image for image in images}.items():
            if isinstance(image.source, StoredImage):
                stream, number = self.pairs.locate(image.source)
                wanted.setdefault(stream, {})[image.source] = number
            else:
                found[key] = self._file(key, _open(image))
        for stream, numbers in wanted.items():
            found |= self._read(stream, numbers) if self.features is None else self._cached(self.features, stream, numbers)
        return found

    def _look_up(self, image: Image) -> ImageFacts:
        if isinstance(image.source, StoredImage):
            stream, number = self.pairs.locate(image.source)
            gsd_m, day = self._gsd_and_day(image.source, stream, number)
            return ImageFacts(stream.sensor, stream.bands, stream.shape[1], stream.shape[2], gsd_m, day)
        raster = _open(image)
        names, gsd_m = tuple(band.name for band in raster.bands), image.gsd_m or raster.gsd_m
        return ImageFacts(raster.sensor.name, names, *raster.image.shape[1:], gsd_m, image.date)

    def _file(self, key: Hashable, raster: Raster) -> ImageRef:
        valid, bands = torch.from_numpy(raster.valid), [band.name for band in raster.bands]
        image = torch.from_numpy(raster.image)[None]
        pixels, _ = self.statistics.normalize(image, raster.channels, raster.sensor.name, bands, valid[None])
        group = (raster.channels, tuple(image.shape[1:]))
        return ImageRef(key, group, pixels[0], raster.channels, None if bool(valid.all()) else valid)

    def _gsd_and_day(self, stored: StoredImage, stream: Stream, number: int) -> tuple[float | None, dt.date | None]:
        if self.features is not None:
            gsd_m, day = self.features[stored.shards].facts[self._place(stored, stream)][number]
            return gsd_m, None if day is None else dt.date.fromisoformat(day)
        meta = stream.read(number).meta
        return meta.gsd_m, day_of(meta)

    def _place(self, stored: StoredImage, stream: Stream) -> int:
        return self.pairs.shard_sets[stored.shards].streams.index(stream)

    def _cached(self, features: Mapping[str, Features], stream: Stream, numbers: Mapping[StoredImage, int]) -> dict[Hashable, ImageRef]:
        first = next(iter(numbers))
        held = features[first.shards].maps[self._place(first, stream)]
        rows = torch.from_numpy(held[list(numbers.values())])
        return {stored: ImageRef(stored, held.shape[1:], features=row) for stored, row in zip(numbers, rows, strict=True)}

    def _read(self, stream: Stream, numbers: Mapping[StoredImage, int]) -> dict[Hashable, ImageRef]:
        batch: Batch = collate(stream.read_many(list(numbers.values())))
        pixels, _ = self.statistics.normalize(batch.image, batch.channels, batch.sensor, batch.bands, batch.valid)
        group: Any = (batch.channels, tuple(pixels.shape[1:]))
        valid = [None] * len(pixels) if batch.valid is None else list(batch.valid)
        return {stored: ImageRef(stored, group, pixels[row], batch.channels, valid[row]) for row, stored in enumerate(numbers)}


def key_of_image(image: Image) -> Hashable:
    """Equal for what is read alike."""
    return image.source if isinstance(image.source, StoredImage) else (str(image.source), image.sensor, image.bands, image.unit)


def _open(image: Image) -> Raster:
    return read_raster(image.source, sensor=image.sensor, bands=image.bands, unit=image.unit)
