"""RGB views: bands by wavelength, closed-form composites."""

import math

import pytest
import torch

from geolangbind.errors import SensorError
from geolangbind.sensors.channels import ChannelSet
from geolangbind.views import rgb_view

S2 = {"B02": 0.4927, "B03": 0.5598, "B04": 0.6646, "B08": 0.8328, "B11": 1.6137, "B12": 2.2024}


def channels(*wavelengths_um: float, kind: str = "reflectance_surface") -> ChannelSet:
    return ChannelSet(wavelengths_um, (kind,) * len(wavelengths_um), (0.0,) * len(wavelengths_um))


def radar(*polarizations: str, family: str = "sigma0") -> ChannelSet:
    count = len(polarizations)
    return ChannelSet((0.0,) * count, tuple(f"{family}_{p}_c" for p in polarizations), (5.405,) * count)


def constant(*values: float) -> torch.Tensor:
    return torch.tensor(values).view(1, -1, 1, 1).expand(1, len(values), 4, 4).contiguous()


def colour(view: torch.Tensor) -> list[float]:
    assert view.shape[1] == 3
    assert torch.equal(view[:, :, :1, :1].expand_as(view), view)
    return view[0, :, 0, 0].tolist()


def test_wavelengths_choose_whatever_the_order():
    image = torch.rand(2, 6, 8, 8) * 0.4
    names = list(S2)
    view = rgb_view(image, channels(*S2.values()))
    expected = (image[:, [names.index(b) for b in ("B04", "B03", "B02")]] / 0.3).clamp(0, 1)
    assert torch.allclose(view, expected)
    order = [5, 3, 1, 0, 4, 2]
    assert torch.equal(rgb_view(image[:, order], channels(*(list(S2.values())[i] for i in order))), view)


def test_a_thermal_band_in_front_does_not_make_a_scene_thermal():
    image = torch.rand(1, 4, 8, 8) * 0.3
    optical = ["reflectance_toa"] * 3
    mixed = ChannelSet((10.9, 0.655, 0.561, 0.482), ("brightness_temperature", *optical))
    assert torch.equal(rgb_view(image, mixed), rgb_view(image[:, 1:], ChannelSet((0.655, 0.561, 0.482), tuple(optical))))


def test_reflectance_of_thirty_percent_is_white_and_display_stays():
    assert colour(rgb_view(constant(0.03, 0.15, 0.6), channels(0.66, 0.56, 0.49))) == pytest.approx([0.1, 0.5, 1.0])
    assert colour(rgb_view(constant(0.1, 0.5, 0.9), channels(0.66, 0.56, 0.49, kind="display"))) == pytest.approx([0.1, 0.5, 0.9])
    assert colour(rgb_view(constant(-0.1), channels(0.6))) == [0.0] * 3  # one panchromatic band: grey


def test_dual_polarisation_radar():
    # vv -12.5 dB is the middle of -25..0; vh -32 is the floor of -32..-7; their ratio of 19.5 dB is above 18
    assert colour(rgb_view(constant(-12.5, -32.0), radar("vv", "vh"))) == pytest.approx([0.5, 0.0, 1.0])
    assert colour(rgb_view(constant(-19.5, -10.5), radar("vh", "vv"))) == pytest.approx([0.58, 0.5, 0.5])
    assert colour(rgb_view(constant(-5.0, -14.0), radar("hh", "hv", family="gamma0"))) == pytest.approx([0.8, 0.72, 0.5])


def test_one_polarisation_is_grey():
    assert colour(rgb_view(constant(-5.0), radar("vv"))) == pytest.approx([0.8] * 3)
    assert colour(rgb_view(constant(-12.0), radar("hv"))) == pytest.approx([0.8] * 3)
    assert colour(rgb_view(constant(-5.0, 3.0), radar("vv", "hh"))) == pytest.approx([0.8] * 3)


def test_thermal_is_about_the_images_mean():
    image = torch.tensor([[300.0, 306.0], [294.0, 340.0]]).view(1, 1, 2, 2) - 10.0
    view = rgb_view(image, channels(10.9, kind="brightness_temperature"))
    expected = ((image - image.mean()) / 30 + 0.5).clamp(0, 1)
    assert torch.allclose(view, expected.expand(1, 3, 2, 2), atol=1e-5)
    assert torch.allclose(rgb_view(image + 20, channels(10.9, kind="brightness_temperature")), view, atol=1e-5)
    assert colour(rgb_view(constant(0.3), channels(10.5, kind="display"))) == pytest.approx([0.3] * 3)


def test_thermal_takes_the_band_nearest_to_eleven_micrometres():
    image = 300 + 10 * torch.rand(1, 5, 4, 4)
    aster = [8.3, 8.65, 9.1, 10.6, 11.3]
    view = rgb_view(image, channels(*aster, kind="surface_temperature"))
    assert torch.equal(view, rgb_view(image[:, 4:], channels(11.3, kind="surface_temperature")))
    order = [4, 2, 0, 1, 3]
    assert torch.equal(rgb_view(image[:, order], channels(*(aster[i] for i in order), kind="surface_temperature")), view)


def test_a_flat_plain():
    view = rgb_view(torch.full((2, 1, 6, 6), 812.0), ChannelSet((0.0,), ("elevation",), (0.0,)))
    assert colour(view[:1]) == pytest.approx([0.0, 0.0, math.sin(math.radians(45))])


@pytest.mark.parametrize(("down", "right"), [(0.0, 2.0), (3.0, 0.0), (1.5, -4.0)])
def test_a_tilted_plane(down, right):
    """Rising `down` m per row and `right` m per pixel, drawn with 10 m to a unit of slope, lit from the north-west at 45 degrees."""
    rows, columns = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
    height_m = 100 + down * rows + right * columns
    view = rgb_view(height_m.view(1, 1, 8, 8), ChannelSet((0.0,), ("height",), (0.0,)))
    low, high = float(height_m.min()), float(height_m.max())
    assert torch.allclose(view[0, 0], (height_m - low) / (high - low), atol=1e-5)
    slope = math.hypot(down, right) / 10
    assert view[0, 1].flatten().tolist() == pytest.approx([slope] * 64, abs=1e-5)
    # Lambert: normal (-dz/d east, -dz/d north, 1), north is up so dz/d north = -down; sun from (-1, 1) / sqrt 2 at 45 degrees
    east, north = right / 10, -down / 10
    normal, sun = (-east, -north, 1.0), (-0.5, 0.5, math.sqrt(0.5))
    shade = sum(n * s for n, s in zip(normal, sun, strict=True)) / math.sqrt(1 + east**2 + north**2)
    assert view[0, 2].flatten().tolist() == pytest.approx([max(shade, 0.0)] * 64, abs=1e-5)


@pytest.mark.parametrize(
    ("channel_set", "low", "high"),
    [
        (channels(*S2.values()), -0.5, 3.0),
        (channels(0.65, 0.56, 0.47, kind="display"), 0, 1),
        (radar("vv", "vh"), -80, 30),
        (channels(10.9, kind="brightness_temperature"), 200, 500),
        (ChannelSet((0.0,), ("elevation",), (0.0,)), -400, 8000),
    ],
)
def test_views_lie_between_zero_and_one(channel_set, low, high):
    torch.manual_seed(0)
    image = low + (high - low) * torch.rand(3, len(channel_set), 16, 16)
    before = image.clone()
    view = rgb_view(image, channel_set)
    assert view.shape == (3, 3, 16, 16) and view.dtype == torch.float32
    assert float(view.min()) >= 0 and float(view.max()) <= 1
    assert torch.equal(image, before)


@pytest.mark.parametrize(("kind", "wavelength_um"), [("elevation", 0.0), ("surface_temperature", 10.9)])
def test_holes_do_not_change_the_rest(kind, wavelength_um):
    channel_set = ChannelSet((wavelength_um,), (kind,), (0.0,))
    image = 280 + 10 * torch.rand(1, 1, 8, 8)
    valid = torch.ones(1, 8, 8, dtype=torch.bool)
    valid[:, :, 5:] = False
    holed = torch.where(valid, image, 0.0)
    view = rgb_view(holed, channel_set, valid)
    # away from the hole the view is that of the part with data
    assert torch.allclose(view[..., :4], rgb_view(image[..., :5], channel_set)[..., :4], atol=1e-4)
    assert torch.equal(rgb_view(image, channel_set, torch.ones_like(valid)), rgb_view(image, channel_set))


def test_wavelengths_alone_are_refused():
    with pytest.raises(SensorError, match="needs channels with physical kinds"):
        rgb_view(torch.zeros(1, 3, 4, 4), ChannelSet((0.665, 0.56, 0.49)))
