"""MaKA projectors: parity with the published translator, conditioning, grids."""

import pytest
import torch
from safetensors import safe_open
from torch.nn import functional as F

from geolangbind.models.maka import ConditionalLayerNorm, Projector, WavelengthPrompt, pool_tokens, pooled_side
from geolangbind.models.wavelength import sincos_code
from geolangbind.sensors.channels import ChannelSet

RGB = ChannelSet((0.665, 0.56, 0.49), ("display",) * 3)


@pytest.mark.parametrize("case", ["rgb", "s2"])
def test_reproduces_the_published_translator(shared, case):
    with safe_open(shared / "parity" / "translator.safetensors", "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        sizes = {name: int(value) for name, value in file.metadata().items()}
    projector = Projector(sizes["student_dim"], sizes["teacher_dim"], sizes["grid"], kinds=False)
    projector.load_state_dict({name.removeprefix("state."): value for name, value in tensors.items() if name.startswith("state.")})
    channels = ChannelSet(tuple(tensors[f"{case}.wavelengths_um"].tolist()))
    with torch.no_grad():
        found = projector(tensors["student_tokens"], channels)
    expected = tensors[f"{case}.projected"]
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_prompt_is_the_mean_of_projected_codes_of_raw_micrometres():
    torch.manual_seed(0)
    prompt = WavelengthPrompt(kinds=False)
    expected = sum(prompt.proj(sincos_code(torch.tensor([um]))) for um in RGB.wavelengths_um) / 3
    assert torch.allclose(prompt(RGB), expected, atol=1e-6)
    assert prompt(RGB).shape == (1, 128)


def test_prompt_knows_kinds_only_if_asked():
    torch.manual_seed(0)
    vv, vh = (ChannelSet((0.0,), (kind,), (5.4,)) for kind in ("sigma0_vv_c", "sigma0_vh_c"))
    blind, seeing = WavelengthPrompt(kinds=False), WavelengthPrompt(kinds=True)
    assert torch.equal(blind(vv), blind(vh))
    assert not torch.allclose(seeing(vv), seeing(vh))
    assert torch.equal(blind(vv), blind(ChannelSet((0.0,))))


def test_conditional_norm_by_hand():
    norm = ConditionalLayerNorm(4, 3)
    features, prompt = torch.randn(2, 4, 3, 3), torch.randn(1, 128)
    gamma, beta = norm.modality_prompt_fc(prompt)[0].split(4)
    mean = features.mean((1, 2, 3), keepdim=True)
    std = features.var((1, 2, 3), keepdim=True, unbiased=False).add(1e-5).sqrt()
    expected = (features - mean) / std * (1 + gamma.view(1, 4, 1, 1)) + beta.view(1, 4, 1, 1)
    assert torch.allclose(norm(features, prompt), expected, atol=1e-5)


def test_tokens_are_pooled_in_square_blocks():
    tokens = torch.randn(2, 36, 5)
    assert pool_tokens(tokens, 1) is tokens
    blocks = tokens.view(2, 2, 3, 2, 3, 5).mean((2, 4)).view(2, 4, 5)
    torch.testing.assert_close(pool_tokens(tokens, 3), blocks)
    torch.testing.assert_close(pool_tokens(tokens, 40)[:, 0], tokens.mean(1))
    assert [pooled_side(side, 2) for side in (1, 2, 27)] == [1, 1, 13]


def test_every_token_counts_where_the_factor_does_not_divide():
    tokens = torch.randn(1, 25, 2, requires_grad=True)
    pooled = pool_tokens(tokens, 2)
    assert pooled.shape == (1, 4, 2)
    grid = tokens.view(5, 5, 2)  # blocks of three overlap by one
    torch.testing.assert_close(pooled[0, 1], grid[:3, 2:].mean((0, 1)))
    pooled.sum().backward()
    assert tokens.grad is not None and (tokens.grad > 0).all()


def test_projector_resizes_to_the_teachers_grid():
    torch.manual_seed(0)
    projector = Projector(8, 5, 6)
    tokens = torch.randn(2, 16, 8)
    output = projector(tokens, RGB)
    assert output.shape == (2, 36, 5)
    grid = F.interpolate(tokens.transpose(1, 2).reshape(2, 8, 4, 4), size=(6, 6), mode="nearest")
    expected = projector.conv1(projector.norm1(grid, projector.wave_encoder(RGB))).flatten(2).transpose(1, 2)
    assert torch.equal(output, expected)
    same = Projector(8, 5, 4)
    assert same(tokens, RGB).shape == (2, 16, 5)
