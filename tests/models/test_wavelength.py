"""The kernel generator: codes, kernels, their cache, and the patch matrix."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from geolangbind.models.wavelength import CODE_DIM, WavelengthPatchEmbed, sincos_code, wavelength_code
from geolangbind.sensors.channels import KINDS, ChannelSet

RGB = ChannelSet((0.665, 0.56, 0.49), ("reflectance_surface",) * 3, (0.0,) * 3)
RADAR = ChannelSet((0.0, 0.0), ("sigma0_vv_c", "sigma0_vh_c"), (5.405, 5.405))


@pytest.fixture
def embed() -> WavelengthPatchEmbed:
    torch.manual_seed(0)
    return WavelengthPatchEmbed(8, 4, hidden=32).eval()


def shuffled(channels: ChannelSet, order: list[int]) -> ChannelSet:
    kinds, ghz = channels.kinds or (), channels.frequencies_ghz or ()
    return ChannelSet(
        tuple(channels.wavelengths_um[i] for i in order), tuple(kinds[i] for i in order) or None, tuple(ghz[i] for i in order) or None
    )


def test_code_is_all_sines_then_all_cosines():
    positions = np.array([418.4, 490.0, 665.0, 2445.3, 12000.0])
    omega = 10000.0 ** (-np.arange(64) / 64)
    phase = positions[:, None] * omega
    expected = np.concatenate([np.sin(phase), np.cos(phase)], axis=1)
    code = sincos_code(torch.tensor(positions, dtype=torch.float32)).numpy()
    # the fp32 phase of 12,000 rad is off by up to half a unit in the last place (5e-4), plus the rounding of omega (same size)
    assert np.abs(code - expected).max() < 2e-3
    assert np.abs(code[:3] - expected[:3]).max() < 1.5e-4


def test_code_of_wavelengths_is_in_nanometres_and_zero_without_one():
    code = wavelength_code(torch.tensor([0.0, 0.665]))
    assert torch.equal(code[0], torch.zeros(CODE_DIM))
    assert torch.allclose(code[1:], sincos_code(torch.tensor([665.0])), atol=1e-4)
    assert float(code[1, 0]) == pytest.approx(np.sin(665.0), abs=1e-4)
    assert float(code[1, 64]) == pytest.approx(np.cos(665.0), abs=1e-4)


@pytest.mark.parametrize("size", [(16, 16), (12, 20), (18, 13)])
def test_equals_a_convolution_with_the_generated_kernels(embed, size):
    image = torch.randn(2, 3, *size)
    with torch.no_grad():
        weight, bias = embed.kernels(RGB)
        expected = F.conv2d(image, weight.view(8, 3, 4, 4), bias, stride=4).permute(0, 2, 3, 1)
        assert torch.allclose(embed(image, RGB), expected, atol=1e-6)


def test_mean_over_channels_scales_kernels_by_three_over_the_count():
    torch.manual_seed(0)
    scaled = WavelengthPatchEmbed(8, 4, hidden=32)
    plain = WavelengthPatchEmbed(8, 4, hidden=32, mean_over_channels=False)
    plain.load_state_dict(scaled.state_dict())
    for count in (1, 3, 13, 202):
        channels = ChannelSet(tuple(np.linspace(0.42, 2.4, count)))
        (weight, bias), (weight_plain, bias_plain) = scaled.kernels(channels), plain.kernels(channels)
        assert torch.allclose(weight, weight_plain * (3 / count), atol=1e-8)
        assert torch.equal(bias, bias_plain)
        if count == 3:
            assert torch.equal(weight, weight_plain)


def test_permuting_channels_with_their_description_permutes_the_kernels(embed):
    order = [2, 0, 1]
    image = torch.randn(1, 3, 8, 8)
    with torch.no_grad():
        assert torch.allclose(embed(image, RGB), embed(image[:, order], shuffled(RGB, order)), atol=1e-6)


def test_equal_wavelengths_share_a_kernel_unless_kinds_differ(embed):
    bare = WavelengthPatchEmbed(8, 4, hidden=32, kinds=False)
    weight = bare.kernels(ChannelSet((5.405, 5.405)))[0].view(8, 2, 16)
    assert torch.allclose(weight[:, 0], weight[:, 1], atol=1e-8)
    weight = embed.kernels(RADAR)[0].view(8, 2, 16)
    assert (weight[:, 0] - weight[:, 1]).abs().max() > 1e-4
    assert bare.kind_code is None and bare.frequency_code is None


def test_channel_code_adds_kind_and_log_frequency(embed):
    code = embed.channel_code(RADAR)
    for row, kind in enumerate(("sigma0_vv_c", "sigma0_vh_c")):
        expected = embed.kind_code[KINDS.index(kind)] + np.log10(5.405) * embed.frequency_code
        assert torch.allclose(code[row], expected, atol=1e-6)
    elevation = embed.channel_code(ChannelSet((0.0,), ("elevation",), (0.0,)))
    assert torch.equal(elevation[0], embed.kind_code[KINDS.index("elevation")])
    without_frequency = embed.channel_code(ChannelSet((0.665,), ("display",)))
    expected = sincos_code(torch.tensor([665.0]))[0] + embed.kind_code[KINDS.index("display")]
    assert torch.allclose(without_frequency[0], expected, atol=1e-4)


def test_kernels_are_cached_per_channel_set_in_inference(embed):
    with torch.no_grad():
        first = embed.kernels(RGB)
        assert embed.kernels(RGB)[0] is first[0]
        assert embed.kernels(ChannelSet(RGB.wavelengths_um, RGB.kinds, RGB.frequencies_ghz))[0] is first[0]
        assert embed.kernels(RADAR)[0] is not first[0]
        assert embed.kernels(RGB)[0] is first[0]


def test_kernels_are_not_cached_in_training_or_with_gradients(embed):
    assert embed.kernels(RGB)[0] is not embed.kernels(RGB)[0]
    assert embed.kernels(RGB)[0].requires_grad
    embed.train()
    with torch.no_grad():
        assert embed.kernels(RGB)[0] is not embed.kernels(RGB)[0]


def _optimizer_step(embed):
    optimizer = torch.optim.SGD(embed.parameters(), lr=0.1)
    with torch.enable_grad():
        embed.kernels(RGB)[0].square().sum().backward()
    optimizer.step()


def _in_place(embed):
    embed.fclayer.w1.bias.add_(0.1)


def _load(embed):
    embed.load_state_dict({name: tensor + 0.01 for name, tensor in embed.state_dict().items()})


@pytest.mark.parametrize("change", [_optimizer_step, _in_place, _load])
def test_a_changed_parameter_invalidates_the_cache(embed, change):
    with torch.no_grad():
        before = embed.kernels(RGB)[0]
        change(embed)
        after = embed.kernels(RGB)[0]
        assert not torch.equal(before, after)
        assert torch.equal(after, embed._generate(RGB)[0])


def test_the_cache_is_bounded(embed):
    with torch.no_grad():
        for nanometres in range(400, 440):
            embed.kernels(ChannelSet((nanometres / 1000,)))
    assert len(embed._kernels) == 16


def test_half_precision_does_not_reach_the_codes(embed):
    image = torch.randn(1, 3, 8, 8)
    with torch.no_grad():
        exact = embed.kernels(RGB)[0].clone()
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(embed._generate(RGB)[0], exact)
            out = embed(image, RGB)
        assert out.dtype == torch.bfloat16
        full = embed(image, RGB)
    assert (out.float() - full).abs().max() < 0.02 * full.abs().max() + 0.01
