"""Augmentation: image and teacher tokens turn together, one generator draws everything, zero means nothing."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from geolangbind.data.transforms import Augmentation, _symmetry, augment, draw_bands, jitter_wavelengths
from geolangbind.sensors.channels import ChannelSet

STILL = Augmentation(flips=False, image_gain=0, band_gain=0, contrast=0)
FLIPS = Augmentation(flips=True, image_gain=0, band_gain=0, contrast=0)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_zero_amplitudes_change_nothing():
    image, tokens = torch.randn(2, 3, 8, 8), torch.randn(2, 16, 5)
    turned, features, _ = augment(image, {"vit": tokens}, STILL, seeded(0))
    assert torch.equal(turned, image)
    assert torch.equal(features["vit"], tokens)


def test_tokens_turn_with_the_image():
    """Tokens made by averaging patches of the turned image are the turned tokens."""
    image = torch.randn(2, 5, 8, 8)
    tokens = F.avg_pool2d(image, 2).flatten(2).transpose(1, 2)
    seen = set()
    for seed in range(60):
        turned, features, _ = augment(image.clone(), {"vit": tokens}, FLIPS, seeded(seed))
        assert torch.allclose(F.avg_pool2d(turned, 2).flatten(2).transpose(1, 2), features["vit"], atol=1e-6)
        assert torch.allclose(turned.sum((2, 3)), image.sum((2, 3)), atol=1e-4)
        seen.add(tuple(turned[0, 0, 0].tolist()))
    assert len(seen) == 8  # each symmetry of the square puts another side, in another direction, on top


def test_symmetries_are_quarter_turns_then_mirrored():
    grid = torch.arange(24.0).view(2, 1, 3, 4)
    for turns in range(4):
        for mirrored in (False, True):
            turned = torch.rot90(grid, turns, dims=(-2, -1))
            assert torch.equal(_symmetry(grid, turns, mirrored), turned.flip(-1) if mirrored else turned)


def test_symmetries_apply_to_images_that_are_not_square():
    turned, _, _ = augment(torch.randn(1, 2, 4, 6), {}, FLIPS, seeded(1))
    assert sorted(turned.shape[2:]) == [4, 6]


def test_the_generator_decides_everything():
    image, features = torch.randn(3, 2, 6, 6), {"vit": torch.randn(3, 9, 4)}
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first, again, other = (augment(image.clone(), features, Augmentation(), seeded(seed)) for seed in (3, 3, 4))
    assert torch.equal(first[0], again[0]) and torch.equal(first[1]["vit"], again[1]["vit"])
    assert not torch.equal(first[0], other[0])
    assert torch.equal(torch.get_rng_state(), state)


def test_bands_are_drawn_without_repetition():
    assert draw_bands(13, Augmentation(), seeded(0)) is None and draw_bands(13, Augmentation(most_bands=13), seeded(0)) is None
    drawn = [draw_bands(20, Augmentation(most_bands=5), seeded(seed)) for seed in range(200)]
    assert all(len(set(bands)) == 5 and bands == sorted(bands) for bands in drawn)
    counts = torch.bincount(torch.tensor([band for bands in drawn for band in bands]), minlength=20)
    # 200 draws of 5 in 20: each band 50 times on average, deviation sqrt(200 * 1/4 * 3/4) = 6.1
    assert (counts - 50).abs().max() < 4 * 6.2


@pytest.mark.parametrize(
    ("part", "shape"),
    [("image_gain", (4000, 1, 1, 1)), ("band_gain", (2000, 2, 1, 1))],
)
def test_amplitudes_are_standard_deviations(part, shape):
    image = torch.zeros(shape[0], 2, 8, 8)
    settings = Augmentation(**{**dict.fromkeys(("image_gain", "band_gain", "contrast"), 0.0), "flips": False, part: 0.5})
    drawn, _, _ = augment(image, {}, settings, seeded(0))
    # constant over what shares one draw
    values = drawn[:, : shape[1], :1, :1]
    assert torch.equal(values.expand_as(drawn), drawn)
    assert float(values.std()) == pytest.approx(0.5, rel=0.05)
    assert float(values.mean()) == pytest.approx(0, abs=0.04)


def test_contrast_is_one_factor_per_image():
    image = torch.randn(2000, 2, 2, 2)
    drawn, _, _ = augment(image.clone(), {}, Augmentation(False, 0, 0, 0.1), seeded(0))
    factor = (drawn / image).flatten(1)
    assert torch.allclose(factor, factor[:, :1].expand_as(factor), rtol=1e-3)
    assert float(factor[:, 0].mean()) == pytest.approx(1, abs=0.01)
    assert float(factor[:, 0].std()) == pytest.approx(0.1, rel=0.05)


def test_valid_pixels_turn_with_the_image():
    image = torch.rand(2, 1, 6, 6)
    valid = image[:, 0] > 0.5
    for seed in range(8):
        turned, _, mask = augment(image.clone(), {}, FLIPS, seeded(seed), valid)
        assert mask is not None
        assert torch.equal(mask, turned[:, 0] > 0.5)


def test_dropped_bands_leave_at_least_a_quarter():
    settings = Augmentation(drop_bands=1.0)
    drawn = [draw_bands(12, settings, seeded(seed)) for seed in range(400)]
    assert {len(bands) for bands in drawn} == set(range(3, 12)) and all(bands == sorted(set(bands)) for bands in drawn)
    counts = np.bincount([band for bands in drawn for band in bands], minlength=12) / 400
    assert np.abs(counts - 7 / 12).max() < 0.1  # a mean of seven of twelve
    assert [draw_bands(2, settings, seeded(seed)) for seed in range(20)].count([0]) in range(3, 18)
    assert draw_bands(1, settings, seeded(0)) is None
    some = [draw_bands(12, Augmentation(drop_bands=0.25), seeded(seed)) is not None for seed in range(400)]
    assert abs(sum(some) / 400 - 0.25) < 0.09
    fewer = {len(draw_bands(202, Augmentation(most_bands=64, drop_bands=0.5), seeded(seed))) for seed in range(400)}
    assert max(fewer) == 64 and min(fewer) >= 16


def test_wavelengths_are_told_wrongly_by_a_share():
    channels = ChannelSet((0.5, 11.0, 0.0), ("display",) * 3, (0.0,) * 3)
    assert jitter_wavelengths(channels, 0.0, seeded(0)) is channels
    told = np.array([jitter_wavelengths(channels, 0.02, seeded(seed)).wavelengths_um for seed in range(2000)])
    assert np.abs(told.mean(0) / [0.5, 11.0, 1.0] - [1, 1, 0]).max() < 4 * 0.02 / 2000**0.5
    assert np.abs(told[:, :2].std(0) / [0.5, 11.0] - 0.02).max() < 4 * 0.02 / 4000**0.5
    assert (told[:, 2] == 0).all() and abs(np.corrcoef(told[:, 0], told[:, 1])[0, 1]) < 0.1
