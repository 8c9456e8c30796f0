"""Starting a kernel generator from a convolution."""

import numpy as np
import pytest
import torch

from geolangbind.models.start import start_from_convolution
from geolangbind.models.wavelength import WavelengthPatchEmbed
from geolangbind.sensors.channels import KINDS, OPTICAL_KINDS, RGB_UM, ChannelSet

WIDTH, PATCH = 48, 8


@pytest.fixture(scope="module")
def convolution():
    torch.manual_seed(5)
    return torch.nn.Conv2d(3, WIDTH, PATCH, PATCH).requires_grad_(False)


def started(convolution, **options):
    torch.manual_seed(7)
    embed = WavelengthPatchEmbed(WIDTH, PATCH, hidden=128, **options).eval().requires_grad_(False)
    start_from_convolution(embed, convolution.weight, convolution.bias)
    return embed


def shares(embed, convolution, channels):
    """How much of the red, green and blue kernel each generated kernel is, by least squares; and what remains."""
    kernels = convolution.weight.permute(1, 2, 3, 0).flatten(1).double().numpy()
    generated = embed.kernels(channels)[0].T.reshape(len(channels), -1).double().numpy()
    found, *_ = np.linalg.lstsq(kernels.T, generated.T, rcond=None)
    assert np.allclose(kernels.T @ found, generated.T, atol=1e-6), "every kernel is a blend of the three"
    return found.T


@pytest.mark.parametrize("options", [{}, {"kinds": False, "mean_over_channels": False}])
def test_rgb_gives_the_convolution(convolution, options):
    embed = started(convolution, **options)
    image = torch.randn(2, 3, 40, 40, generator=torch.Generator().manual_seed(1))
    expected = convolution(image).permute(0, 2, 3, 1)
    assert (embed(image, ChannelSet(RGB_UM)) - expected).abs().max() < 1e-5
    assert (embed(image[:, [2, 0, 1]], ChannelSet((0.49, 0.665, 0.56))) - expected).abs().max() < 1e-5, "in any order"
    if embed.kind_code is not None:
        for kind in ("display", "reflectance_toa", "reflectance_surface"):
            assert (embed(image, ChannelSet(RGB_UM, (kind,) * 3)) - expected).abs().max() < 1e-5


def test_other_cameras_see_the_same_colours_and_infrared_is_grey(convolution):
    embed = started(convolution, mean_over_channels=False)
    for camera in ((0.65, 0.55, 0.46), (0.6646, 0.5598, 0.4927), (0.655, 0.561, 0.482)):
        assert np.allclose(shares(embed, convolution, ChannelSet(camera)), np.eye(3), atol=0.2), camera
    sentinel = shares(embed, convolution, ChannelSet((*RGB_UM, 0.705, 0.74, 0.783, 0.842, 1.61, 2.19)))
    assert np.allclose(sentinel.sum(1), 1, atol=1e-4), "kernels keep the size of a grey one"
    assert np.allclose(sentinel[5:], 1 / 3, atol=0.25)
    thermal = shares(embed, convolution, ChannelSet((10.8,)))
    assert np.allclose(thermal, 1 / 3, atol=0.3)


def test_the_map_is_the_smallest_that_fits(convolution, monkeypatch):
    """With the ridge made stiff, nothing beyond the exact part is left: the pseudo-inverse solution of the three equations."""
    monkeypatch.setattr("geolangbind.models.start._RIDGE", 1e12)
    embed = started(convolution, mean_over_channels=False)
    generator = embed.weight_generator
    seen = generator.mix(embed.fclayer(embed.channel_code(ChannelSet(RGB_UM))))[0].double().numpy()
    kernels = convolution.weight.permute(1, 2, 3, 0).flatten(1).double().numpy() / 0.01
    smallest = np.linalg.lstsq(seen, kernels - kernels.mean(0), rcond=None)[0]
    assert np.allclose(generator.fc_weight.weight.double().numpy(), smallest.T, atol=1e-5)
    assert np.allclose(generator.fc_weight.bias, kernels.mean(0), atol=1e-4)


def test_radar_and_elevation_stay_apart_and_the_bias_is_everyones(convolution):
    embed = started(convolution)
    vv_vh = ChannelSet((0.0, 0.0), ("sigma0_vv_c", "sigma0_vh_c"), (5.405, 5.405))
    weight, bias = embed.kernels(vv_vh)
    vv, vh = weight.view(WIDTH, 2, -1).unbind(1)
    assert (vv - vh).norm() > 0.01 * vv.norm()
    assert torch.allclose(bias, convolution.bias, atol=1e-6)
    assert embed.kind_code[[KINDS.index(kind) for kind in OPTICAL_KINDS]].abs().max() == 0


def test_another_shape_is_refused(convolution):
    embed = WavelengthPatchEmbed(WIDTH, 4, hidden=32)
    with pytest.raises(ValueError, match=r"\(48, 3, 8, 8\) cannot start kernels for three channels, 4 px, width 48"):
        start_from_convolution(embed, convolution.weight, convolution.bias)
