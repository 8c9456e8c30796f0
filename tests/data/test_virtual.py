"""Virtual sensors: what a drawn camera measures of a known spectrum."""

import dataclasses

import numpy as np
import pytest
import torch

from geolangbind.data.batch import Batch
from geolangbind.data.virtual import VirtualSensors, draw_sensor, through_virtual_sensor
from geolangbind.sensors.channels import ChannelSet
from geolangbind.sensors.units import Unit

GRID_UM = np.concatenate([np.arange(0.42, 1.3, 0.01), np.arange(1.5, 1.8, 0.01), np.arange(1.96, 2.44, 0.01)])
CHANNELS = ChannelSet(tuple(GRID_UM.tolist()), ("reflectance_surface",) * len(GRID_UM), (0.0,) * len(GRID_UM))


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def spectrometer(values):
    """Two pixels of a spectrum, one of them doubled."""
    image = torch.tensor(values, dtype=torch.float32)[None, :, None, None] * torch.tensor([1.0, 2.0]).view(1, 1, 1, 2)
    bands = tuple(f"b{number}" for number in range(len(GRID_UM)))
    return Batch(image, None, CHANNELS, "enmap-l2a", bands, Unit.REFLECTANCE, "hsi", (30.0,), ("k",), (("words",),))


@pytest.mark.parametrize("seed", range(20))
def test_bands_average_and_a_linear_spectrum_is_read_at_their_centres(seed):
    """Weights sum to one, so a flat spectrum stays; they are means, so a line is seen at the weighted mean wavelength."""
    settings = VirtualSensors(share=1.0, fewest=3, most=9)
    weights, channels = draw_sensor(CHANNELS, settings, seeded(seed))
    assert 3 <= len(channels) <= 9 and weights.shape == (len(channels), len(GRID_UM)) and bool((weights >= 0).all())
    assert list(channels.wavelengths_um) == sorted(channels.wavelengths_um) and set(channels.kinds) == {"reflectance_surface"}
    seen = through_virtual_sensor(spectrometer(0.1 + 0.3 * GRID_UM), settings, seeded(seed))
    expected = 0.1 + 0.3 * np.array(seen.channels.wavelengths_um)
    np.testing.assert_allclose(seen.image[0, :, 0].numpy(), np.stack([expected, 2 * expected], 1), rtol=1e-5)
    assert (seen.sensor, seen.modality, seen.keys, seen.captions) == ("virtual", "hsi", ("k",), (("words",),))


def test_no_band_lies_in_a_window_without_channels():
    for seed in range(40):
        weights, channels = draw_sensor(CHANNELS, VirtualSensors(widest=0.02), seeded(seed))
        for row, centre in zip(weights, channels.wavelengths_um, strict=True):
            assert np.abs(GRID_UM - centre).min() < 0.02 and float(row.max()) > 0.05


def test_centres_cover_the_range_evenly_in_the_logarithm():
    centres = np.log([um for seed in range(300) for um in draw_sensor(CHANNELS, VirtualSensors(most=8), seeded(seed))[1].wavelengths_um])
    share = np.mean(centres < (np.log(0.42) + np.log(2.44)) / 2)  # below 1.01 µm; a quarter of the upper half is window, drawn again
    assert 0.5 < share < 0.65


def test_other_images_and_other_steps_stay_and_draw_nothing():
    batch = spectrometer(np.ones(len(GRID_UM)))
    for settings, given in (
        (VirtualSensors(share=0.0), batch),
        (VirtualSensors(share=1.0), dataclasses.replace(batch, modality="msi")),
        (VirtualSensors(share=1.0), batch.with_bands(range(12))),
    ):
        generator = seeded(0)
        before = generator.get_state()
        assert through_virtual_sensor(given, settings, generator) is given and torch.equal(generator.get_state(), before)
    changed = sum(through_virtual_sensor(batch, VirtualSensors(share=0.3), seeded(seed)) is not batch for seed in range(400))
    assert abs(changed / 400 - 0.3) < 4 * (0.21 / 400) ** 0.5


def test_landsat_like_bands_measure_what_a_broad_band_would():
    """A response drawn at a known place, against numpy's weighted average."""
    weights, channels = draw_sensor(CHANNELS, VirtualSensors(fewest=1, most=1, narrowest=0.1, widest=0.1), seeded(4))
    centre = float(np.average(GRID_UM, weights=weights[0].numpy()))
    assert centre == pytest.approx(channels.wavelengths_um[0], abs=1e-5)
    spread = float(np.sqrt(np.average((GRID_UM - centre) ** 2, weights=weights[0].numpy())))
    assert 0.5 * 0.1 * centre < 2.3548 * spread < 1.1 * 0.1 * centre  # narrower only where a window cuts the response
