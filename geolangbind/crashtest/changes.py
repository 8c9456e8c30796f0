"""What may happen to an image without its place becoming another one: each change is a pure function of a batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from geolangbind.data.batch import Batch, collate
from geolangbind.data.sample import Sample, SampleMeta
from geolangbind.sensors import Unit, get_sensor

Made = tuple[Batch, Batch] | None
"""The image to compare with and the changed one; None where the change cannot be made to this view."""

_STORED: dict[Unit, tuple[float, float]] = {
    Unit.REFLECTANCE: (1e-4, -0.1),  # Sentinel-2 since processing baseline 04.00
    Unit.DISPLAY_U8: (1.0, 0.0),
    Unit.SIGMA0_DB: (0.01, 0.0),
    Unit.GAMMA0_DB: (0.01, 0.0),
    Unit.BRIGHTNESS_TEMPERATURE_K: (0.01, 0.0),
    Unit.SURFACE_TEMPERATURE_K: (0.01, 0.0),
    Unit.ELEVATION_M: (0.1, 0.0),
    Unit.HEIGHT_M: (0.1, 0.0),
}
"""Scale and offset that integer files of a unit usually have: physical = stored * scale + offset."""
_NO_DATA = -99999
_HAZE_AT_055_UM, _ANGSTROM = 0.05, 1.3
_HOLE_SHARE = 0.25


@dataclass(frozen=True)
class Change:
    """One change.

    Attributes:
        name: of its scores.
        title: for people.
        means: what its score says, in a line.
        make: from a batch to what is compared.
        may_refuse: a model that refuses the changed image is right.
    """

    name: str
    title: str
    means: str
    make: Callable[[Batch], Made]
    may_refuse: bool = False


def permuted(batch: Batch) -> Made:
    """The bands in the opposite order, each with its own description."""
    return None if len(batch.bands) < 2 else (batch, batch.with_bands(range(len(batch.bands))[::-1]))


def renamed(batch: Batch) -> Made:
    """Sensor and bands by another name that the sensor's record knows them by; an alias, else other letters (B02 is "b2")."""
    record = get_sensor(batch.sensor)
    names = [(record.band(name).aliases or (_respelled(name),))[0] for name in batch.bands]
    return batch, replace(batch, sensor=(record.aliases or (record.name,))[0], bands=tuple(names))


def fewer_bands(batch: Batch) -> Made:
    """Every second band only; of radar, the first polarisation."""
    return None if len(batch.bands) < 2 else (batch, batch.with_bands(range(0, len(batch.bands), 2)))


def stored_declared(batch: Batch) -> Made:
    """Stored whole numbers whose scale and offset are told, against the same values in their unit."""
    stored, scale, offset = _as_stored(batch)
    low = np.asarray(stored.numpy(), np.int32)
    if batch.valid is not None:
        low = np.where(batch.valid.numpy()[:, None], low, _NO_DATA)
    meta = SampleMeta(batch.sensor, batch.bands, batch.unit, batch.gsd_m[0], (), scale=scale, offset=offset, nodata=_NO_DATA)
    told = collate([Sample(f"place-{number}", image, meta) for number, image in enumerate(low)])
    return _rounded(batch), replace(told, keys=batch.keys)


def stored_bare(batch: Batch) -> Made:
    """Stored numbers with unit `dn` and nothing else told. A model either refuses them or should not mind."""
    stored, _, _ = _as_stored(batch)
    return _rounded(batch), replace(batch, image=_kept(stored, batch), unit=Unit.DN)


def swapped_with_names(batch: Batch) -> Made:
    """VH before VV, and called so."""
    return permuted(batch) if _two_polarizations(batch) else None


def swapped_pixels(batch: Batch) -> Made:
    """VH's pixels under VV's name and the other way round: another image, and a model that reads names must notice."""
    return (batch, replace(batch, image=batch.image.flip(1))) if _two_polarizations(batch) else None


def coarser(batch: Batch) -> Made:
    """Half the resolution of the same ground: means of 2 x 2 pixels; backscatter is averaged as power."""
    if batch.valid is not None or min(batch.image.shape[2:]) < 4:
        return None
    decibel = batch.unit in (Unit.SIGMA0_DB, Unit.GAMMA0_DB)
    values = 10 ** (batch.image / 10) if decibel else batch.image
    values = F.avg_pool2d(values, 2)
    return batch, replace(batch, image=10 * values.log10() if decibel else values, gsd_m=_scaled(batch, 2))


def finer(batch: Batch) -> Made:
    """Twice as many pixels on the same ground, bilinear: nothing new to see."""
    if batch.valid is not None:
        return None
    image = F.interpolate(batch.image, scale_factor=2, mode="bilinear", align_corners=False)
    return batch, replace(batch, image=image, gsd_m=_scaled(batch, 0.5))


def hole_masked(batch: Batch) -> Made:
    """A quarter of the image has no data, and the mask says so."""
    valid = ~_holes(batch)
    valid = valid if batch.valid is None else valid & batch.valid
    if not bool(valid.flatten(1).any(1).all()):
        return None
    return batch, replace(batch, image=torch.where(valid[:, None], batch.image, 0.0), valid=valid)


def hole_filled(batch: Batch) -> Made:
    """A quarter of the image is filled with the image's mean, and no mask tells."""
    hole = _holes(batch)[:, None]
    mean = batch.image.mean((2, 3), keepdim=True)
    return batch, replace(batch, image=_kept(torch.where(hole, mean, batch.image), batch))


def hazy(batch: Batch) -> Made:
    """Reflectance under haze: path reflectance 0.05 at 0.55 µm, falling with wavelength to the power -1.3 (Ångström 1929)."""
    if batch.unit is not Unit.REFLECTANCE:
        return None
    path = torch.tensor([_HAZE_AT_055_UM * (wavelength / 0.55) ** -_ANGSTROM for wavelength in batch.channels.wavelengths_um])
    return batch, replace(batch, image=_kept(batch.image + path.view(1, -1, 1, 1), batch))


CHANGES: tuple[Change, ...] = (
    Change("permuted", "Bands in another order", "the order of the bands says nothing, each is named", permuted),
    Change("renamed", "Bands by other names", "an alias of a band is the same band", renamed),
    Change("stored_declared", "Stored numbers, scale told", "integers with their scale and offset are the same values", stored_declared),
    Change("stored_bare", "Stored numbers, nothing told", "bare digital numbers are refused, or do not matter", stored_bare, True),
    Change("swapped_with_names", "VV and VH swapped, names too", "the same image in another order", swapped_with_names),
    Change("fewer_bands", "Half of the bands", "every second band is missing", fewer_bands),
    Change("coarser", "Half the resolution", "the same ground in pixels twice as large", coarser),
    Change("finer", "Double the resolution", "the same ground in pixels half as large, with nothing new to see", finer),
    Change("hole_masked", "No-data block, masked", "a quarter is missing and the mask says so", hole_masked),
    Change("hole_filled", "No-data block, filled", "a quarter is filled with the mean and nothing says so", hole_filled),
    Change("hazy", "Haze", "light scattered by the air is added, most in blue", hazy),
)
"""Changes under which a place stays itself: 0 drift is ideal."""


def _respelled(name: str) -> str:
    return name.lower() if name.lower() != name else name.upper()


def _two_polarizations(batch: Batch) -> bool:
    return batch.modality == "sar" and len(batch.bands) == 2


def _as_stored(batch: Batch) -> tuple[Tensor, float, float]:
    scale, offset = _STORED[batch.unit]
    values = batch.image * 255 if batch.unit is Unit.DISPLAY_U8 else batch.image
    return ((values - offset) / scale).round(), scale, offset


def _rounded(batch: Batch) -> Batch:
    """The values that are left after storing, so that rounding is no change."""
    stored, scale, offset = _as_stored(batch)
    values = stored * scale + offset
    return replace(batch, image=_kept(values / 255 if batch.unit is Unit.DISPLAY_U8 else values, batch))


def _kept(image: Tensor, batch: Batch) -> Tensor:
    """Zero where there is no data, as a `Batch` has it."""
    return image if batch.valid is None else torch.where(batch.valid[:, None], image, 0.0)


def _scaled(batch: Batch, factor: float) -> tuple[float | None, ...]:
    return tuple(None if gsd_m is None else gsd_m * factor for gsd_m in batch.gsd_m)


def _holes(batch: Batch) -> Tensor:
    """(B, H, W) bool: a square of a quarter of each image, at a place drawn from its number."""
    height, width = batch.image.shape[2:]
    high, wide = (round(side * _HOLE_SHARE**0.5) for side in (height, width))
    holes = torch.zeros((len(batch), height, width), dtype=torch.bool)
    for hole, (top, left) in zip(holes, np.random.default_rng(0).random((len(batch), 2)), strict=True):
        row, column = int(top * (height - high + 1)), int(left * (width - wide + 1))
        hole[row : row + high, column : column + wide] = True
    return holes
