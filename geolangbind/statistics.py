"""How pixel values are normalised: statistics per physical kind, saved with the weights and read back from them.

Values in canonical units are first brought to a scale on which differences mean the same everywhere (reflectance: its logarithm;
elevation and temperature: difference from the image's own mean, compressed), then shifted and divided. For reflectance and temperature,
mean and deviation are curves over wavelength, linear between their centres and held at the ends, so that a sensor never seen in training
is normalised too; sensors seen in training have exact values per band.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from geolangbind.errors import CheckpointError, UnitError
from geolangbind.sensors.channels import ChannelSet

_LOG_FLOOR = 0.02  # reflectance below 2 % differs mostly by noise and haze
_UNITS = {"relief": 5.0, "warmth": 2.0}
"""Metres and kelvin above which differences are compressed: a house still counts beside a mountain, a street beside a furnace."""
_TRANSFORMS = {
    "reflectance_toa": "log",
    "reflectance_surface": "log",
    "brightness_temperature": "warmth",
    "surface_temperature": "warmth",
    "elevation": "relief",
    "height": "relief",
}


@dataclass(frozen=True)
class KindStatistics:
    """Statistics of one physical kind, after its transform.

    Attributes:
        transform: "identity", "log" (log of value + 0.02), "relief" (asinh of height above the image's mean over 5 m) or "warmth"
            (the same of temperature, over 2 K).
        wavelengths_um: ascending centres of the curve in µm; (0,) for kinds without wavelength.
        mean: one per centre.
        std: one per centre.
    """

    transform: str
    wavelengths_um: tuple[float, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.transform not in ("identity", "log", *_UNITS):
            raise CheckpointError(f"unknown transform '{self.transform}' in the statistics; known are identity, log, {', '.join(_UNITS)}")
        if not len(self.wavelengths_um) == len(self.mean) == len(self.std) > 0 or not all(std > 0 for std in self.std):
            raise CheckpointError("statistics need as many means and positive deviations as wavelengths")
        if any(low >= high for low, high in pairwise(self.wavelengths_um)):
            raise CheckpointError(f"the wavelengths of a statistics curve must ascend, got {self.wavelengths_um}")


@dataclass(frozen=True)
class Statistics:
    """Statistics of a model.

    Attributes:
        kinds: per physical kind.
        bands: (mean, std) per sensor and band seen in training, for exact normalisation. Keys are "sensor/kind", so that one sensor
            may come in several units.
    """

    kinds: Mapping[str, KindStatistics] = field(default_factory=dict)
    bands: Mapping[str, Mapping[str, tuple[float, float]]] = field(default_factory=dict)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Statistics:
        """Rebuild from `to_json`.

        Raises:
            CheckpointError: fields are missing or unknown.
        """
        try:
            kinds = {
                name: KindStatistics(kind["transform"], tuple(kind["wavelengths_um"]), tuple(kind["mean"]), tuple(kind["std"]))
                for name, kind in data["kinds"].items()
            }
            bands = {key: {band: (float(mean), float(std)) for band, (mean, std) in rows.items()} for key, rows in data["bands"].items()}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(f"the statistics in config.json are damaged: {error!r}") from None
        return cls(kinds, bands)

    def to_json(self) -> dict[str, Any]:
        """Plain lists and dictionaries, for `config.json`."""
        bands = {key: {band: list(pair) for band, pair in rows.items()} for key, rows in self.bands.items()}
        return {"kinds": {name: asdict(kind) for name, kind in self.kinds.items()}, "bands": bands}

    def joined(self, other: Statistics) -> Statistics:
        """These statistics plus what only `other` knows; what both know stays as here, so that a child keeps its parent's scale."""
        return Statistics({**other.kinds, **self.kinds}, {**other.bands, **self.bands})

    def mean_std(self, sensor: str, band: str, kind: str, wavelength_um: float) -> tuple[float, float]:
        """Mean and deviation of a band: its own if seen in training, else those of its kind's curve at its wavelength."""
        if pair := self.bands.get(f"{sensor}/{kind}", {}).get(band):
            return pair
        curve = self.kinds[kind]
        mean, std = (float(np.interp(wavelength_um, curve.wavelengths_um, values)) for values in (curve.mean, curve.std))
        return mean, std

    def normalize(
        self, image: Tensor, channels: ChannelSet, sensor: str, bands: Sequence[str], valid: Tensor | None = None
    ) -> tuple[Tensor, str]:
        """Normalise one sensor's images.

        Args:
            image: (B, C, H, W) float32 in canonical units; invalid pixels set to anything finite.
            channels: C channels with kinds.
            sensor: name of the sensor.
            bands: C band names.
            valid: (B, H, W) bool, False where there is no data, so that holes do not shift the mean height; None when all is valid.

        Returns:
            Normalised float32 images of the same shape, and how: "exact" for a sensor seen in training, else "curve".

        Raises:
            UnitError: a channel has a kind the model was never taught.
        """
        kinds = channels.kinds or ()
        if missing := sorted(set(kinds) - set(self.kinds)):
            raise UnitError(
                f"the model was never taught {', '.join(missing)} (band {bands[kinds.index(missing[0])]} of {sensor}); "
                f"it knows {', '.join(sorted(self.kinds))}. Convert the values to one of these or train on this kind"
            )
        pairs, how = [], "exact"
        for band, kind, wavelength_um in zip(bands, kinds, channels.wavelengths_um, strict=True):
            how = how if band in self.bands.get(f"{sensor}/{kind}", {}) else "curve"
            pairs.append(self.mean_std(sensor, band, kind, wavelength_um))
        means, stds = torch.tensor(pairs, device=image.device).T.reshape(2, 1, -1, 1, 1)
        values = transform(image, [self.kinds[kind].transform for kind in kinds], valid)
        # a fresh copy of 200 bands costs as much as the arithmetic: make one, then work in place
        values = values - means if values is image else values.sub_(means)
        return values.div_(stds), how


def transform(image: Tensor, names: Sequence[str], valid: Tensor | None = None) -> Tensor:
    """Apply one transform per channel to (B, C, H, W) float32; channels of one image nearly always share theirs."""
    if len(set(names)) > 1:
        return torch.cat([transform(image[:, i : i + 1], [name], valid) for i, name in enumerate(names)], dim=1)
    match names[0]:
        case "log":
            return image.clamp_min(0).add_(_LOG_FLOOR).log_()
        case "relief" | "warmth" as name:
            return (image - _image_mean(image, valid)).div_(_UNITS[name]).asinh_()
        case _:
            return image


def _image_mean(image: Tensor, valid: Tensor | None) -> Tensor:
    if valid is None:
        return image.mean((2, 3), keepdim=True)
    counted = valid.unsqueeze(1)
    return (image * counted).sum((2, 3), keepdim=True) / counted.sum((2, 3), keepdim=True).clamp_min(1)


@dataclass(frozen=True)
class Measured:
    """Sample images of one stream.

    Attributes:
        sensor: its name.
        bands: C band names.
        image: (B, C, H, W) float32 in canonical units.
        channels: what they are.
        valid: (B, H, W) bool, or None where all is valid.
    """

    sensor: str
    bands: tuple[str, ...]
    image: Tensor
    channels: ChannelSet
    valid: Tensor | None = None


def measure(streams: Iterable[Measured]) -> Statistics:
    """Measure statistics on sample images.

    All channels of one kind share one deviation (the median over them): a band that is nearly constant, such as cirrus, would
    otherwise have its noise blown up to the size of a signal.

    Args:
        streams: sample images of each sensor and unit, with the kinds of their channels.
    """
    rows: dict[str, list[tuple[float, float, float]]] = {}
    exact: dict[str, dict[str, float]] = {}
    for stream in streams:
        kinds = stream.channels.kinds or ()
        values = transform(stream.image, [transform_of(kind) for kind in kinds], stream.valid).transpose(0, 1).flatten(1)
        std, mean = torch.std_mean(values if stream.valid is None else values[:, stream.valid.flatten()], dim=1)
        for i, (band, kind, wavelength_um) in enumerate(zip(stream.bands, kinds, stream.channels.wavelengths_um, strict=True)):
            rows.setdefault(kind, []).append((wavelength_um, float(mean[i]), float(std[i])))
            exact.setdefault(f"{stream.sensor}/{kind}", {})[band] = float(mean[i])
    statistics, deviations = {}, {}
    for kind, points in rows.items():
        deviations[kind] = max(float(np.median([std for _, _, std in points])), 1e-3)
        centers = sorted({wavelength_um for wavelength_um, _, _ in points})
        means = [float(np.mean([mean for w, mean, _ in points if w == center])) for center in centers]
        statistics[kind] = KindStatistics(transform_of(kind), tuple(centers), tuple(means), (deviations[kind],) * len(centers))
    bands_json = {key: {band: (mean, deviations[key.split("/")[1]]) for band, mean in rows.items()} for key, rows in exact.items()}
    return Statistics(statistics, bands_json)


def transform_of(kind: str) -> str:
    """The transform of a physical kind."""
    return _TRANSFORMS.get(kind, "identity")
