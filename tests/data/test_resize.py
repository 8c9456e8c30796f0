"""Averaging large images down."""

import torch

from geolangbind.data.resize import average_to, shrunk_size


def test_averaging_counts_valid_pixels_only():
    image = torch.arange(16.0).reshape(1, 1, 4, 4)
    valid = torch.ones(1, 4, 4, dtype=torch.bool)
    valid[0, 0, 0] = valid[0, 0, 1] = False  # of the first block 0, 1, 4, 5 remain 4 and 5
    valid[0, 2:, 2:] = False
    mean, left = average_to(image, valid, 2, 2)
    torch.testing.assert_close(mean, torch.tensor([[[[4.5, 4.5], [10.5, 0.0]]]]))
    assert left.tolist() == [[[True, True], [True, False]]]


def test_averaging_keeps_the_mean():
    image, valid = torch.rand(1, 2, 120, 60), torch.ones(1, 120, 60, dtype=torch.bool)
    mean, left = average_to(image, valid, 64, 32)
    assert mean.shape == (1, 2, 64, 32) and left.all()
    torch.testing.assert_close(mean.mean(), image.mean(), rtol=5e-3, atol=0)


def test_the_size_is_kept_up_to_one_and_a_half_times_the_models():
    assert shrunk_size(96, 50, 64) == (96, 50)
    assert shrunk_size(97, 50, 64) == (64, 33)
    assert shrunk_size(60, 120, 64) == (32, 64)
    assert shrunk_size(1, 1000, 64) == (1, 64)
