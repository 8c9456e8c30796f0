"""Arrays of a user as images in canonical units: which channels they are, what their values mean, where there is no data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geolangbind.errors import DataError, SensorError
from geolangbind.sensors import ChannelSet, Unit, channel_set, get_sensor
from geolangbind.sensors.units import to_canonical


class PhysicalImage(NamedTuple):
    """Images of one sensor in canonical units, as `Batch` holds them.

    Attributes:
        image: (B, C, H, W) float32.
        channels: what the channels are.
        sensor: name of the sensor's record.
        bands: C band names.
        valid: (B, H, W) bool, or None where all is valid.
    """

    image: Tensor
    channels: ChannelSet
    sensor: str
    bands: tuple[str, ...]
    valid: Tensor | None


def physical_image(
    image: Tensor | NDArray[Any],
    *,
    sensor: str,
    bands: Sequence[str] | None = None,
    unit: str | None = None,
    valid: Tensor | NDArray[np.bool_] | None = None,
) -> PhysicalImage:
    """Decide what an array's channels are and bring its values to canonical units; see `GeoLangBind.encode_image`."""
    pixels, mask = image_batch(image, valid)
    record = get_sensor(sensor)
    if unit is None:
        raise SensorError(f"say in which unit the image is (unit=...); {record.name} products hold {record.unit}")
    if bands is None and len(record.bands) > 1:
        raise SensorError(f"say which bands of {record.name} these are, in order (bands=[...]); a count is never taken as an order")
    chosen = record.select(bands=bands)
    if mask is not None:
        pixels = torch.where(mask.unsqueeze(1), pixels, 0.0)
    values, canonical = to_canonical(pixels.cpu().numpy(), Unit.parse(unit))
    names = tuple(band.name for band in chosen)
    return PhysicalImage(torch.from_numpy(values), channel_set(record, chosen, canonical), record.name, names, mask)


def image_batch(image: Tensor | NDArray[Any], valid: Tensor | NDArray[np.bool_] | None) -> tuple[Tensor, Tensor | None]:
    """(B, C, H, W) float32 and (B, H, W) bool or None, of one image or a batch."""
    pixels = image.detach().float() if isinstance(image, Tensor) else torch.from_numpy(np.array(image, np.float32))
    pixels = pixels.unsqueeze(0) if pixels.ndim == 3 else pixels
    if pixels.ndim != 4:
        raise DataError(f"an image must be (C, H, W) or (B, C, H, W), got shape {tuple(pixels.shape)}")
    return pixels, None if valid is None else _mask(valid, pixels)


def _mask(valid: Tensor | NDArray[np.bool_], pixels: Tensor) -> Tensor:
    mask = torch.as_tensor(valid, device=pixels.device).bool()
    wanted = (len(pixels), *pixels.shape[2:])
    if tuple(mask.shape) not in (wanted, wanted[1:]):
        raise DataError(f"valid must be (H, W) or (B, H, W) of the image, {wanted[1:]} or {wanted}; got {tuple(mask.shape)}")
    return mask.expand(wanted)
