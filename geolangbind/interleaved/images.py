"""Images of a sequence, opened: canonical units, a size that the model takes, normalised as its tower was trained."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from geolangbind.data.rasters import Raster, read_raster
from geolangbind.data.resize import average_to, shrunk_size
from geolangbind.errors import DataError, SensorError
from geolangbind.interleaved.collate import ImageRef
from geolangbind.interleaved.segments import Image, ImageFacts
from geolangbind.model import GeoLangBind
from geolangbind.models.interleaved import InterleavedModel
from geolangbind.physical import PhysicalImage, physical_image


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


def open_image(image: Image, tower: GeoLangBind, model: InterleavedModel) -> OpenImage:
    """Read and normalise one image. One that is much larger than the tower's is averaged down; see `fitted_size`.

    Args:
        image: a file, a `Raster` or pixels.
        tower: whose statistics normalise it.
        model: that will see it.

    Raises:
        DataError: it cannot be read, or holds no data or nothing but zeros.
        SensorError: sensor or bands are not known.
        UnitError: the unit is not known, or one that the tower was never taught.
    """
    values, gsd_m = _physical(image)
    pixels, valid = values.image, values.valid
    if not torch.isfinite(pixels).all():
        raise DataError("the image holds NaN or infinite values; mark those pixels with valid=")
    if valid is not None and not valid.any():
        raise DataError("the image has no valid pixel; leave it out")
    height, width = pixels.shape[-2:]
    everywhere = torch.ones(1, height, width, dtype=torch.bool) if valid is None else valid
    pixels, covered = average_to(pixels, everywhere, *fitted_size(model, height, width))
    seen = None if covered.all() else covered
    # without gsd_m, which would be compared with what the tower alone was trained on
    normalized = tower.normalize_physical(pixels, values.channels, values.sensor, values.bands, seen)[0]
    group = values.channels, normalized.shape
    return OpenImage(
        ImageFacts(values.sensor, values.bands, height, width, gsd_m, image.date),
        ImageRef(image_key(image), group, normalized, values.channels, None if seen is None else seen[0]),
    )


def fitted_size(model: InterleavedModel, height: int, width: int) -> tuple[int, int]:
    """Height and width in pixels at which a model sees an image.

    As `data.resize.shrunk_size`, and then down to the next sides whose tokens the projector can join.

    Raises:
        DataError: a side is too short for one token.
    """
    sides = shrunk_size(height, width, model.tower.config.image_size)
    fitted = [next((pixels for pixels in range(side, 0, -1) if _fits(model, pixels)), 0) for side in sides]
    if 0 in fitted:
        least = next(pixels for pixels in range(1, 10**6) if _fits(model, pixels))
        raise DataError(f"an image of {height} x {width} px is too small or too narrow; this model needs {least} px on each side")
    return fitted[0], fitted[1]


def _fits(model: InterleavedModel, pixels: int) -> bool:
    config, seen = model.tower.config, pixels * model.config.enlarge
    joined = model.config.factor if model.config.projector == "shuffle" else 1
    return seen >= config.stride and config.tokens_along(seen) % joined == 0


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
        _refuse_zeros(torch.from_numpy(source.image))
        names = tuple(band.name for band in source.bands)
        pixels, valid = torch.from_numpy(source.image)[None], torch.from_numpy(source.valid)[None]
        return PhysicalImage(pixels, source.channels, source.sensor.name, names, valid), image.gsd_m or source.gsd_m
    if image.sensor is None:
        raise SensorError("pixels need their sensor: Image(pixels, sensor=..., bands=[...], unit=...)")
    if getattr(source, "ndim", None) != 3:
        raise DataError(f"an Image is a path, a Raster or pixels (C, H, W); got {type(source).__name__} {getattr(source, 'shape', '')}")
    _refuse_zeros(torch.as_tensor(source))  # before units: 0 is then -60 dB
    unit = None if image.unit is None else str(image.unit)
    return physical_image(source, sensor=image.sensor, bands=image.bands, unit=unit, valid=image.valid), image.gsd_m


def _refuse_zeros(pixels: Tensor) -> None:
    if not pixels.any():
        raise DataError("every pixel of the image is zero: a chip without data; leave it out")
