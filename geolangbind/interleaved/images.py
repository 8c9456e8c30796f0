"""Images of a sequence, opened: canonical units, a size that the model takes, normalised as its tower was trained."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geolangbind.data.batch import Batch
from geolangbind.data.rasters import Raster, read_raster
from geolangbind.data.resize import average_to, shrunk_size
from geolangbind.errors import DataError, SensorError
from geolangbind.interleaved.collate import ImageRef
from geolangbind.interleaved.segments import Image, ImageFacts
from geolangbind.model import GeoLangBind
from geolangbind.models.eye import PICTURE, QwenTower
from geolangbind.models.interleaved import InterleavedModel
from geolangbind.physical import PhysicalImage, physical_image
from geolangbind.sensors.channels import ChannelSet

_ZEROS = "every pixel of the image is zero: a chip without data; leave it out"


@dataclass(frozen=True, eq=False)
class OpenImage:
    """An image ready to be rendered and encoded.

    Attributes:
        facts: of the image as it was given: boxes count its pixels, not those that the tower sees.
        ref: its pixels as the tower takes them.
    """

    facts: ImageFacts
    ref: ImageRef


def image_key(image: Image) -> Hashable:
    """What images share that show the same; arrays are told apart by identity, so only while they live."""
    source = str(image.source) if isinstance(image.source, str | Path) else id(image.source)
    return source, id(image.valid), image.sensor, tuple(image.bands or ()), image.unit


class Seen(NamedTuple):
    """Images of one sensor as the model takes them.

    Attributes:
        pixels: (n, C, height, width) float32, normalised.
        channels: C channels.
        valid: (n, height, width) bool, or None where all is valid.
    """

    pixels: Tensor
    channels: ChannelSet
    valid: Tensor | None


def as_seen(values: PhysicalImage | Batch, tower: GeoLangBind | QwenTower, model: InterleavedModel) -> Seen:
    """Size and normalise images. Those much larger than our tower's are averaged down; see `fitted_size`.

    Args:
        values: in canonical units.
        tower: whose statistics normalise them.
        model: that will see them.

    Raises:
        DataError: they are too small or too narrow.
        SensorError: Qwen2-VL's own tower cannot see this sensor.
        UnitError: the tower was never taught what the images measure.
    """
    if isinstance(tower, QwenTower):
        return Seen(tower.pictures(values.image, values.channels, values.sensor, values.valid), PICTURE, None)
    count, _, height, width = values.image.shape
    everywhere = torch.ones(count, height, width, dtype=torch.bool) if values.valid is None else values.valid
    pixels, covered = average_to(values.image, everywhere, *fitted_size(model, height, width))
    valid = None if bool(covered.all()) else covered
    # without gsd_m, which would be compared with what the tower alone was trained on
    return Seen(tower.normalize_physical(pixels, values.channels, values.sensor, values.bands, valid), values.channels, valid)


def open_image(image: Image, tower: GeoLangBind | QwenTower, model: InterleavedModel) -> OpenImage:
    """Read one image, see `as_seen`.

    Args:
        image: a file, a `Raster` or pixels.
        tower: whose statistics normalise it.
        model: that will see it.

    Raises:
        DataError: it cannot be read, or holds no data or nothing but zeros.
        SensorError: sensor or bands are not known, or Qwen2-VL's own tower cannot see them.
        UnitError: the unit is not known, or one that the tower was never taught.
    """
    values, gsd_m = _physical(image)
    pixels, valid = values.image, values.valid
    if not torch.isfinite(pixels).all():
        raise DataError("the image holds NaN or infinite values; mark those pixels with valid=")
    if valid is not None and not valid.any():
        raise DataError("the image has no valid pixel; leave it out")
    height, width = pixels.shape[-2:]
    seen = as_seen(values, tower, model)
    group = seen.channels, seen.pixels.shape[1:]
    return OpenImage(
        ImageFacts(values.sensor, values.bands, height, width, gsd_m, image.date),
        ImageRef(image_key(image), group, seen.pixels[0], seen.channels, None if seen.valid is None else seen.valid[0]),
    )


def fitted_size(model: InterleavedModel, height: int, width: int) -> tuple[int, int]:
    """Height and width in pixels at which a model sees an image.

    As `data.resize.shrunk_size`, and then down to the next sides whose tokens the projector can join; Qwen2-VL's own tower has its own way.

    Raises:
        DataError: a side is too short for one token.
    """
    if isinstance(model.tower, QwenTower):
        return model.tower.fitted_size(height, width)
    config = model.tower.config
    joined = model.config.factor if model.config.projector == "shuffle" else 1

    def fits(pixels: int) -> bool:
        seen = pixels * model.config.enlarge
        return seen >= config.stride and config.tokens_along(seen) % joined == 0

    sides = shrunk_size(height, width, config.image_size)
    fitted = [next((pixels for pixels in range(side, 0, -1) if fits(pixels)), 0) for side in sides]
    if 0 in fitted:
        least = next(pixels for pixels in range(1, 10**6) if fits(pixels))
        seen = "" if sides == (height, width) else f", which the model sees averaged down to {sides[0]} x {sides[1]} px,"
        way_out = "; cut it into tiles" if seen else ""
        raise DataError(
            f"an image of {height} x {width} px{seen} is too small or too narrow; this model needs {least} px on each side{way_out}"
        )
    return fitted[0], fitted[1]


def _physical(image: Image) -> tuple[PhysicalImage, float | None]:
    """An image in canonical units, B = 1, and its ground sampling distance."""
    source = image.source
    if isinstance(source, Raster) and (image.sensor or image.bands or image.unit):
        raise DataError("a Raster has its sensor, bands and unit already; say them to read_raster")
    if isinstance(source, str | Path):
        source = read_raster(source, sensor=image.sensor, bands=image.bands, unit=image.unit)
    if isinstance(source, Raster):
        if image.valid is not None:
            raise DataError("valid= goes with pixels; a raster says itself where it has no data")
        if source.blank:
            raise DataError(_ZEROS)
        _refuse_zeros(source.image)
        names = tuple(band.name for band in source.bands)
        pixels, valid = torch.from_numpy(source.image)[None], torch.from_numpy(source.valid)[None]
        return PhysicalImage(pixels, source.channels, source.sensor.name, names, valid), image.gsd_m or source.gsd_m
    if image.sensor is None:
        raise SensorError("pixels need their sensor: Image(pixels, sensor=..., bands=[...], unit=...)")
    if getattr(source, "ndim", None) != 3:
        raise DataError(f"an Image is a path, a Raster or pixels (C, H, W); got {type(source).__name__} {getattr(source, 'shape', '')}")
    # before units: 0 is then -60 dB; and arrays by numpy, for torch knows this machine's order of bytes only
    _refuse_zeros(source if isinstance(source, Tensor) else np.asarray(source))
    unit = None if image.unit is None else str(image.unit)
    return physical_image(source, sensor=image.sensor, bands=image.bands, unit=unit, valid=image.valid), image.gsd_m


def _refuse_zeros(pixels: Tensor | NDArray[Any]) -> None:
    if not pixels.any():
        raise DataError(_ZEROS)
