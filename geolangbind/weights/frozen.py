"""Towers frozen for one channel set: generated kernels become a plain convolution, normalisation a part of the graph."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geolangbind.errors import CheckpointError, SensorError, UnitError
from geolangbind.model import GeoLangBind
from geolangbind.models.encoder import VisionEncoder, known_channels
from geolangbind.sensors import Band, ChannelSet, ScaleRule, Sensor, Unit, channel_set, get_sensor
from geolangbind.sensors.units import to_canonical
from geolangbind.statistics import Statistics, transform

_UNITS = {
    "reflectance": Unit.REFLECTANCE,
    "display": Unit.DISPLAY_U8,
    "sigma0": Unit.SIGMA0_DB,
    "gamma0": Unit.GAMMA0_DB,
    "brightness": Unit.BRIGHTNESS_TEMPERATURE_K,
    "surface": Unit.SURFACE_TEMPERATURE_K,
    "elevation": Unit.ELEVATION_M,
    "height": Unit.HEIGHT_M,
}
"""Canonical unit by the first word of a physical kind."""
_DISPLAY_MAX = 255.0


@dataclass(frozen=True)
class ImageInput:
    """What the channels of a frozen tower are.

    Attributes:
        channels: C channels.
        sensor: name of the sensor; None when only wavelengths are known and the input is normalised already.
        bands: C band names; None without a sensor.
    """

    channels: ChannelSet
    sensor: str | None = None
    bands: tuple[str, ...] | None = None

    @property
    def unit(self) -> Unit | None:
        """The canonical unit of the input (0-255 for `display_u8`); None for input that is normalised already."""
        return None if self.sensor is None else unit_of(self.channels)


@dataclass(frozen=True)
class ChannelStatistics:
    """How one channel is normalised: `(transform(x) - mean) / std`, with x in canonical units (0-1 for display images).

    Attributes:
        transform: see `statistics.KindStatistics`.
        mean: after the transform.
        std: after the transform.
    """

    transform: str
    mean: float
    std: float


class FrozenImageTower(nn.Module):
    """Images of one channel set to unit vectors. Made by `freeze`; holds copies, so it neither changes the live model nor follows it.

    Every pixel counts: there is no mask of valid pixels, and values are not checked for NaN.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, vision: VisionEncoder, patch_embed: nn.Conv2d, rows: Sequence[ChannelStatistics], display: bool) -> None:
        super().__init__()
        self.vision, self.patch_embed, self.display = vision, patch_embed, display
        self.transforms = [row.transform for row in rows]
        self.register_buffer("mean", torch.tensor([row.mean for row in rows]).reshape(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor([row.std for row in rows]).reshape(1, -1, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        """Encode (B, C, H, W) float32 images, in the unit of the `ImageInput` or normalised, to (B, D) float32 unit vectors."""
        if self.display:
            image = image / _DISPLAY_MAX
        if self.transforms:
            image = (transform(image, self.transforms) - self.mean) / self.std
        patches = self.patch_embed(image).permute(0, 2, 3, 1)
        return F.normalize(self.vision.encode_patches(patches).embedding, dim=-1)


class FrozenTextTower(nn.Module):
    """Token ids to unit vectors; a copy of the model's text tower."""

    def __init__(self, model: GeoLangBind) -> None:
        super().__init__()
        self.text = copy.deepcopy(model.towers.text).cpu()
        self.eval().requires_grad_(False)

    def forward(self, ids: Tensor) -> Tensor:
        """Encode (B, L) int64 ids, L being the context length, to (B, D) float32 unit vectors."""
        return F.normalize(self.text(ids), dim=-1)


def image_input(
    model: GeoLangBind,
    *,
    sensor: str | None = None,
    bands: Sequence[str] | None = None,
    unit: str | None = None,
    wavelengths_um: Sequence[float] | None = None,
) -> ImageInput:
    """Describe the channels of an export as `GeoLangBind.encode_image` would.

    Args:
        model: the model that is to understand them.
        sensor: name or YAML file of the sensor.
        bands: band names in order. Needed unless the sensor has exactly one band.
        unit: any unit of the family the input shall have; brought to the canonical one (linear backscatter to dB, Celsius to kelvin).
            Default: what the sensor's products hold, if they hold one unit only.
        wavelengths_um: instead of all these, one per channel, for input that is normalised already.

    Raises:
        SensorError: sensor, bands or wavelengths are missing, wrong or contradict each other, or the unit must be said.
        UnitError: the unit is unknown or is one the model was never taught.
        CheckpointError: the model holds no statistics, so it cannot normalise a sensor's pixels.
    """
    if (sensor is None) == (wavelengths_um is None):
        raise SensorError("an export is for one channel set: say either sensor= and bands=, or wavelengths_um= for normalised input")
    if sensor is None:
        if bands is not None or unit is not None:
            raise SensorError("bands and unit belong to a sensor; with wavelengths_um the input is normalised already")
        return ImageInput(ChannelSet(tuple(float(value) for value in wavelengths_um or ())))
    record = get_sensor(sensor)
    if bands is None and len(record.bands) > 1:
        raise SensorError(f"say which bands of {record.name} these are, in order (bands=[...]); a count is never taken as an order")
    chosen = record.select(bands=bands)
    _, canonical = to_canonical(np.zeros(0, np.float32), _own_unit(record, chosen) if unit is None else Unit.parse(unit))
    found = ImageInput(channel_set(record, chosen, canonical), record.name, tuple(band.name for band in chosen))
    channel_statistics(model.statistics, found.channels, record.name, found.bands or ())
    return found


def _own_unit(record: Sensor, bands: Sequence[Band]) -> Unit:
    units = sorted({record.unit_of(band) for band in bands})
    if len(units) > 1:
        raise SensorError(f"these bands of {record.name} hold {' and '.join(units)}; export bands of one unit at a time")
    if record.rule is ScaleRule.UNIT_VARIES:
        raise SensorError(f"{record.name} products come in several units; say which the input has (unit=...), for example {units[0]}")
    return units[0]


def unit_of(channels: ChannelSet) -> Unit:
    """The canonical unit that channels of known kinds share.

    Raises:
        SensorError: kinds are unknown, or of several units.
    """
    units = sorted({_UNITS[kind.split("_")[0]] for kind in channels.kinds or ()})
    if len(units) != 1:
        raise SensorError(f"the channels of a frozen tower must share one unit; these hold {' and '.join(units) or 'no kinds'}")
    return units[0]


def channel_statistics(statistics: Statistics, channels: ChannelSet, sensor: str, bands: Sequence[str]) -> list[ChannelStatistics]:
    """Statistics per channel, the ones `Statistics.normalize` uses: those of the band if seen in training, else the kind's curve.

    Raises:
        SensorError: not one band name and kind per channel.
        UnitError: a channel has a kind the model was never taught.
        CheckpointError: the model holds no statistics at all.
    """
    if not len(bands) == len(channels) == len(channels.kinds or ()):
        raise SensorError(f"{len(channels)} channels of {sensor} but {len(bands)} bands and {len(channels.kinds or ())} kinds; one each")
    if not statistics.kinds:
        raise CheckpointError(f"this model holds no statistics and cannot normalise {sensor}; export with wavelengths_um= instead")
    rows = []
    for band, kind, wavelength_um in zip(bands, channels.kinds or (), channels.wavelengths_um, strict=True):
        curve = statistics.kinds.get(kind)
        if curve is None:
            known = ", ".join(sorted(statistics.kinds))
            raise UnitError(f"the model was never taught {kind} (band {band} of {sensor}); it knows {known}. Export another sensor or unit")
        rows.append(ChannelStatistics(curve.transform, *statistics.mean_std(sensor, band, kind, wavelength_um)))
    return rows


@torch.no_grad()
def freeze(model: GeoLangBind, channels: ChannelSet, *, sensor: str | None, bands: Sequence[str] | None) -> FrozenImageTower:
    """Freeze the image tower of a model for one channel set, on the CPU.

    Args:
        model: the live model; its parameters are copied.
        channels: C channels.
        sensor: name of the sensor, whose normalisation becomes part of the tower; None if the input will be normalised already.
        bands: C band names; None without a sensor.

    Returns:
        A module from (B, C, H, W) float32 to (B, D) float32 unit vectors; H = W = `image_size` is what it was made for.

    Raises:
        SensorError, UnitError, CheckpointError: see `channel_statistics` and `unit_of`.
    """
    rows = [] if sensor is None else channel_statistics(model.statistics, channels, sensor, bands or ())
    display = sensor is not None and unit_of(channels) is Unit.DISPLAY_U8
    config = model.vision.config
    known = known_channels(channels, config)
    weight, bias = model.vision.embed_for(known).kernels(known)
    size = config.patch_size
    convolution = nn.Conv2d(len(channels), len(bias), size, stride=size, padding=config.patch_padding, device="meta").to_empty(device="cpu")
    # the generated weights are channel-major, then row, then column: the order of a convolution
    convolution.load_state_dict({"weight": weight.reshape(-1, len(channels), size, size), "bias": bias})
    # as if the generators had been copied before: they are the one part that is not needed
    vision = copy.deepcopy(model.vision, {id(model.vision.patch_embed): nn.Identity(), id(model.vision.routes): nn.ModuleDict()})
    return FrozenImageTower(vision.cpu(), convolution, rows, display).eval().requires_grad_(False)
