"""Virtual sensors: hyperspectral samples seen through randomly drawn band responses, so that a model meets more cameras than exist.

A camera's band measures reflectance averaged over its spectral response. A spectrometer resolves finer than any camera's bands, so the
average over its channels under a drawn response is what that camera would have measured.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from geolangbind.data.batch import Batch
from geolangbind.sensors.channels import ChannelSet

_LEAST_CHANNELS = 32  # below, an image has no spectrum to draw from
_FWHM_PER_SIGMA = 2.3548
_TRIES = 8


@dataclass(frozen=True)
class VirtualSensors:
    """What is drawn.

    Attributes:
        share: of the hyperspectral steps that see a virtual sensor instead; 0 switches it off.
        fewest: bands.
        most: bands.
        narrowest: full width at half maximum of a band, as a share of its centre wavelength (Sentinel-2's B5: 0.02).
        widest: likewise (Landsat's panchromatic band: 0.3).
    """

    share: float = 0.0
    fewest: int = 3
    most: int = 16
    narrowest: float = 0.01
    widest: float = 0.2


def draw_sensor(channels: ChannelSet, settings: VirtualSensors, generator: torch.Generator) -> tuple[Tensor, ChannelSet]:
    """Draw the bands of one virtual sensor.

    Centres are even in the logarithm of the wavelength, over the range of `channels`; widths are even in their logarithm; responses are
    Gaussian. A band that falls between channels (atmospheric windows are missing) is drawn again.

    Args:
        channels: C reflective channels of one kind, with wavelengths.
        settings: how many bands, how wide.
        generator: source of randomness, on the CPU.

    Returns:
        Weights (K, C) float32, rows sum to one, and the K channels at their effective centres (weighted mean wavelength), ascending.
    """
    wavelength_um = torch.tensor(channels.wavelengths_um, dtype=torch.float64)
    low, high = wavelength_um.min().log(), wavelength_um.max().log()
    narrow, wide = (torch.tensor(width, dtype=torch.float64).log() for width in (settings.narrowest, settings.widest))
    count = int(torch.randint(settings.fewest, settings.most + 1, (), generator=generator))
    rows = []
    for _ in range(count):
        for _ in range(_TRIES):
            place, size = torch.rand(2, generator=generator, dtype=torch.float64)
            centre = torch.exp(low + (high - low) * place)
            sigma = centre * torch.exp(narrow + (wide - narrow) * size) / _FWHM_PER_SIGMA
            response = torch.exp(-0.5 * ((wavelength_um - centre) / sigma) ** 2)
            if response.max() > 0.5:  # some channel lies within the half maximum
                break
        else:
            response = (wavelength_um == wavelength_um[(wavelength_um - centre).abs().argmin()]).double()
        rows.append(response / response.sum())
    weights = torch.stack(rows)
    centres = weights @ wavelength_um
    order = centres.argsort()
    kinds = None if channels.kinds is None else (channels.kinds[0],) * count
    seen = ChannelSet(tuple(round(float(centre), 6) for centre in centres[order]), kinds, (0.0,) * count)
    return weights[order].float(), seen


def through_virtual_sensor(batch: Batch, settings: VirtualSensors, generator: torch.Generator) -> Batch:
    """Show a hyperspectral batch through a virtual sensor, in the settings' share of cases; other batches are returned as they are.

    Args:
        batch: images of any sensor. Nothing is drawn from `generator` unless it is hyperspectral and `settings.share` is above 0.
        settings: see `VirtualSensors`.
        generator: source of randomness.

    Returns:
        The batch with image (B, K, H, W), K channels, sensor "virtual" and bands v1 ... vK; keys, captions and features stay.
    """
    if settings.share <= 0 or batch.modality != "hsi" or len(batch.channels) < _LEAST_CHANNELS:
        return batch
    if float(torch.rand((), generator=generator)) >= settings.share:
        return batch
    weights, channels = draw_sensor(batch.channels, settings, generator)
    with torch.autocast(batch.image.device.type, enabled=False):  # measured values stay float32
        image = torch.einsum("kc,bchw->bkhw", weights.to(batch.image.device), batch.image)
    bands = tuple(f"v{number}" for number in range(1, len(channels) + 1))
    return replace(batch, image=image, channels=channels, sensor="virtual", bands=bands)
