"""Three-channel pictures of any sensor, for teachers (and people) that only know RGB.

Optical channels are chosen by wavelength, never by position or count. Radar, thermal and elevation have fixed composites, chosen so
that the three channels carry different physics:

    radar      co-polarised, cross-polarised, their ratio, each on a fixed dB range; one polarisation alone is grey
    thermal    the band nearest to 11 µm: temperature about the image's own mean, +-15 K, grey; display images as they are, grey
    elevation  height within the image's own range, slope, hillshade lit from the north-west

Shapes: B batch, C channels, H W pixels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from geolangbind.errors import SensorError
from geolangbind.sensors.channels import RGB_UM, ChannelSet

_WHITE_REFLECTANCE = 0.3  # shown as white; near the stretch of public true-colour products
_RADAR_RANGE_DB = {"vv": (-25.0, 0.0), "hh": (-25.0, 0.0), "vh": (-32.0, -7.0), "hv": (-32.0, -7.0)}
_RATIO_RANGE_DB = (0.0, 18.0)
_THERMAL_SPAN_K = 30.0
_THERMAL_FROM_UM = 3.0
_THERMAL_WINDOW_UM = 11.0


def rgb_view(image: Tensor, channels: ChannelSet, valid: Tensor | None = None) -> Tensor:
    """Show images of one sensor as RGB.

    Args:
        image: (B, C, H, W) float32 in canonical units (display images in [0, 1]).
        channels: C channels with kinds.
        valid: (B, H, W) bool, False where there is no data. Matters where the view depends on the whole image (thermal, elevation):
            holes are shown at the image's mean. None when all is valid.

    Returns:
        (B, 3, H, W) float32 in [0, 1].

    Raises:
        SensorError: the channels carry no kinds, so that nothing is known of them but a number.
    """
    if channels.kinds is None:
        raise SensorError("an RGB view needs channels with physical kinds; wavelengths alone do not say what the values mean")
    if channels.kinds[0].startswith(("sigma0", "gamma0")):
        return _radar(image, channels.kinds)
    if channels.kinds[0] in ("elevation", "height"):
        return _relief(_filled(image[:, :1], valid)[:, 0])
    if min(channels.wavelengths_um) > _THERMAL_FROM_UM:
        window = _nearest(channels, _THERMAL_WINDOW_UM)
        return _thermal(_filled(image[:, window : window + 1], valid), channels.kinds[window])
    nearest = [_nearest(channels, target) for target in RGB_UM]
    picture = image[:, nearest]
    if channels.kinds[nearest[0]].startswith("reflectance"):
        picture = picture / _WHITE_REFLECTANCE
    return picture.clamp(0, 1)


def _filled(image: Tensor, valid: Tensor | None) -> Tensor:
    if valid is None:
        return image
    seen = valid.unsqueeze(1)
    mean = torch.where(seen, image, 0.0).sum((2, 3), keepdim=True) / seen.sum((2, 3), keepdim=True).clamp_min(1)
    return torch.where(seen, image, mean)


def _nearest(channels: ChannelSet, target_um: float) -> int:
    return min(range(len(channels)), key=lambda i: abs(channels.wavelengths_um[i] - target_um))


def _unit(values: Tensor, low: float, high: float) -> Tensor:
    return ((values - low) / (high - low)).clamp(0, 1)


def _radar(image: Tensor, kinds: tuple[str, ...]) -> Tensor:
    by_polarization = {kind.split("_")[1]: image[:, i] for i, kind in enumerate(kinds)}
    shown = {pol: _unit(values, *_RADAR_RANGE_DB[pol]) for pol, values in by_polarization.items()}
    for co, cross in (("vv", "vh"), ("hh", "hv")):
        if co in shown and cross in shown:
            ratio = _unit(by_polarization[co] - by_polarization[cross], *_RATIO_RANGE_DB)
            return torch.stack([shown[co], shown[cross], ratio], dim=1)
    grey = next(iter(shown.values()))
    return torch.stack([grey] * 3, dim=1)


def _thermal(image: Tensor, kind: str) -> Tensor:
    if kind != "display":
        image = (image - image.mean((2, 3), keepdim=True)) / _THERMAL_SPAN_K + 0.5
    return image.clamp(0, 1).expand(-1, 3, -1, -1)


def _relief(height_m: Tensor) -> Tensor:
    low, high = height_m.amin((1, 2), keepdim=True), height_m.amax((1, 2), keepdim=True)
    # differences per pixel, not per metre: the view shows shape, and the pixel size is not always known
    down, right = torch.gradient(height_m, dim=(1, 2))
    slope = torch.hypot(down, right)
    azimuth, altitude = math.radians(315), math.radians(45)
    shade = (math.sin(altitude) + math.cos(altitude) * (math.sin(azimuth) * -right / 10 + math.cos(azimuth) * down / 10)) / (
        1 + (slope / 10) ** 2
    ).sqrt()
    return torch.stack([(height_m - low) / (high - low).clamp_min(10.0), (slope / 10).clamp(0, 1), shade.clamp(0, 1)], dim=1)
