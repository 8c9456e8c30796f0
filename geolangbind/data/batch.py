"""The one type that models, losses and metrics are fed from: images of one sensor in canonical units, checked where it is built."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geolangbind.data.buffers import Buffers
from geolangbind.data.faults import Problem
from geolangbind.data.sample import Sample
from geolangbind.errors import DataError
from geolangbind.sensors import get_sensor
from geolangbind.sensors.channels import ChannelSet, channel_set, modality_of
from geolangbind.sensors.units import Unit, to_canonical


@dataclass(frozen=True, eq=False)
class Batch:
    """Samples of one sensor.

    Attributes:
        image: float32 (B, C, H, W) in canonical `unit`; 0 where not valid.
        valid: bool (B, H, W), False where any channel has no data; None where all pixels are valid.
        channels: what the encoder is told about the C channels.
        sensor: name of the sensor record.
        bands: band names, length C.
        unit: canonical unit, see `units.to_canonical`.
        modality: rgb, sar, msi, hsi, ir or dem.
        gsd_m: ground sampling distance in metres per sample, None where unknown.
        keys: sample keys.
        captions: all captions of each sample.
        labels: by task, one JSON value per sample (None where it has none).
        masks: uint8 (B, H, W) class per pixel, or None.
        features: fp16 patch features (B, N, D) by teacher.
        partner: the places of `partner_rows` seen by another sensor, in that order, or None. Any images beyond count nowhere, see
            `places.split`.
        partner_rows: positions in this batch, ascending.
        skipped: bad samples that others stand in for, see `replace.read_batch`.
    """

    image: Tensor
    valid: Tensor | None
    channels: ChannelSet
    sensor: str
    bands: tuple[str, ...]
    unit: Unit
    modality: str
    gsd_m: tuple[float | None, ...]
    keys: tuple[str, ...]
    captions: tuple[tuple[str, ...], ...]
    labels: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    masks: Tensor | None = None
    features: Mapping[str, Tensor] = field(default_factory=dict)
    partner: Batch | None = None
    partner_rows: tuple[int, ...] = ()
    skipped: tuple[Problem, ...] = ()

    def __post_init__(self) -> None:
        if self.image.ndim != 4 or self.image.dtype != torch.float32 or self.image.numel() == 0:
            raise DataError(f"batch image must be float32 (B, C, H, W), got {self.image.dtype} {tuple(self.image.shape)}")
        count, channels, height, width = self.image.shape
        if len(self.channels) != channels or len(self.bands) != channels:
            raise DataError(f"{channels} channels in the batch, but {len(self.channels)} described and {len(self.bands)} band names")
        per_sample = {"gsd_m": self.gsd_m, "keys": self.keys, "captions": self.captions, **self.labels, **self.features}
        for name, values in per_sample.items():
            if len(values) != count:
                raise DataError(f"{count} images in the batch, but {len(values)} {name}")
        for name, plane, dtype in (("valid", self.valid, torch.bool), ("masks", self.masks, torch.uint8)):
            if plane is not None and (plane.dtype != dtype or tuple(plane.shape) != (count, height, width)):
                raise DataError(f"{name} must be {dtype} {(count, height, width)}, got {plane.dtype} {tuple(plane.shape)}")
        if self.partner is not None and (not 0 < len(self.partner_rows) <= len(self.partner) or self.partner_rows[-1] >= count):
            raise DataError(f"{len(self.partner)} images of another sensor for rows {self.partner_rows} of {count}")
        if self.valid is not None:
            empty = ~self.valid.flatten(1).any(dim=1)
            if empty.any():
                raise DataError(f"sample {self._first_key(empty)} has no valid pixel; leave it out of the shards")
        # one sum is far cheaper than looking at each value, and cannot be finite if one value is not
        if not math.isfinite(float(self.image.sum())):
            broken = ~torch.isfinite(self.image).flatten(1).all(dim=1)
            if broken.any():
                raise DataError(f"sample {self._first_key(broken)} has NaN or infinite pixels; set its nodata value or leave it out")

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def origin(self) -> dict[str, str]:
        """Sensor and modality, for logs."""
        return {"sensor": self.sensor, "modality": self.modality}

    @property
    def described(self) -> str:
        """Sensor and unit, for messages."""
        return f"{self.sensor} ({self.unit})"

    def to(self, device: torch.device | str) -> Batch:
        """Return the batch with its tensors on `device`; copies do not block where the memory is pinned."""
        moved = copy(self)  # not `replace`: checking again would make a GPU wait for the sum
        for name in ("image", "valid", "masks"):
            plane = getattr(self, name)
            object.__setattr__(moved, name, None if plane is None else plane.to(device, non_blocking=True))
        features = {teacher: tokens.to(device, non_blocking=True) for teacher, tokens in self.features.items()}
        object.__setattr__(moved, "features", features)
        object.__setattr__(moved, "partner", None if self.partner is None else self.partner.to(device))
        return moved

    def with_bands(self, indices: Sequence[int]) -> Batch:
        """Return the batch with only the bands at `indices`, in that order."""
        bands = tuple(self.bands[i] for i in indices)
        return replace(self, image=self.image[:, list(indices)], channels=self.channels.subset(indices), bands=bands)

    def _first_key(self, flags: Tensor) -> str:
        return self.keys[int(flags.nonzero()[0])]


def collate(samples: Sequence[Sample], buffers: Buffers | None = None) -> Batch:
    """Make a batch: apply scale and offset, bring values to canonical units, set no-data pixels to 0 and describe the channels.

    Args:
        samples: at least one, all of one sensor, band list, unit and image shape, with features of the same teachers.
        buffers: where the memory of the image comes from; None for new memory.

    Raises:
        DataError: samples do not belong together, or a pixel is NaN or infinite without being no-data.
        SensorError: the sensor or one of its bands is unknown.
    """
    if not samples:
        raise DataError("a batch needs at least one sample")
    first = samples[0]
    meta = first.meta
    for sample in samples[1:]:
        same = sample.meta.sensor == meta.sensor and sample.meta.bands == meta.bands and sample.meta.unit is meta.unit
        if not same or sample.image.shape != first.image.shape or set(sample.features) != set(first.features):
            raise DataError(f"samples {first.key} and {sample.key} differ in sensor, bands, unit, shape or teachers; batch them apart")
    shape = (len(samples), *first.image.shape)
    image = np.empty(shape, np.float32) if buffers is None else buffers.take(shape, np.float32)
    valid = [_fill(image[number], sample) for number, sample in enumerate(samples)]
    channels, unit, modality = describe(meta.sensor, meta.bands, meta.unit)
    whole = None if all(plane is None for plane in valid) else np.stack([np.ones(shape[2:], bool) if v is None else v for v in valid])
    masks = [sample.mask for sample in samples if sample.mask is not None]
    tasks = dict.fromkeys(task for sample in samples for task in sample.meta.labels)
    return Batch(
        image=torch.from_numpy(image),
        valid=None if whole is None else torch.from_numpy(whole),
        channels=channels,
        sensor=meta.sensor,
        bands=meta.bands,
        unit=unit,
        modality=modality,
        gsd_m=tuple(sample.meta.gsd_m for sample in samples),
        keys=tuple(sample.key for sample in samples),
        captions=tuple(sample.meta.captions for sample in samples),
        labels={task: tuple(sample.meta.labels.get(task) for sample in samples) for task in tasks},
        masks=torch.from_numpy(np.stack(masks)) if len(masks) == len(samples) else None,
        features={teacher: torch.from_numpy(np.stack([sample.features[teacher] for sample in samples])) for teacher in first.features},
    )


@lru_cache(maxsize=256)
def describe(sensor: str, bands: tuple[str, ...], unit: Unit) -> tuple[ChannelSet, Unit, str]:
    """Return the channel set, canonical unit and modality of `bands` of `sensor` whose values are in `unit`.

    Raises:
        SensorError: the sensor or a band is unknown.
    """
    record = get_sensor(sensor)
    canonical = to_canonical(np.zeros(1, dtype=np.float32), unit)[1]
    return channel_set(record, record.select(bands=list(bands)), canonical), canonical, modality_of(record, canonical)


def _fill(target: NDArray[np.float32], sample: Sample) -> NDArray[np.bool_] | None:
    """Write canonical values into `target` (C, H, W), 0 where a channel has no data. Returns the valid pixels (H, W), None for all."""
    meta = sample.meta
    with np.errstate(over="ignore", invalid="ignore"):  # no-data is often the largest float; a real overflow is caught by Batch
        np.multiply(sample.image, np.float32(meta.scale), out=target, casting="unsafe", dtype=np.float32)
        if meta.offset:
            target += np.float32(meta.offset)
        to_canonical(target, meta.unit, in_place=True)
    if meta.nodata is None:
        return None
    stored = sample.image
    hole: NDArray[np.bool_] = (np.isnan(stored) if math.isnan(meta.nodata) else stored == meta.nodata).any(axis=0)
    if not hole.any():
        return None
    target[:, hole] = 0
    return ~hole
