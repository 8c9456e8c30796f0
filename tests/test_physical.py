"""Arrays as images in canonical units."""

import numpy as np
import pytest
import torch

from geolangbind.errors import DataError, SensorError
from geolangbind.physical import image_batch, physical_image


def test_values_come_out_in_canonical_units_with_their_channels():
    seen = physical_image(np.full((2, 4, 4), 0.1), sensor="sentinel-1-grd", bands=["VV", "VH"], unit="sigma0_linear")
    torch.testing.assert_close(seen.image, torch.full((1, 2, 4, 4), -10.0))  # 10 log10(0.1)
    assert (seen.sensor, seen.bands, seen.valid) == ("sentinel-1-grd", ("VV", "VH"), None)
    assert seen.channels.kinds == ("sigma0_vv_c", "sigma0_vh_c")


def test_pixels_without_data_become_zero_before_units_are_converted():
    valid = np.ones((4, 4), bool)
    valid[0] = False
    pixels = torch.full((1, 4, 4), 51.0).where(torch.from_numpy(valid), torch.nan)
    seen = physical_image(pixels.expand(3, 4, 4), sensor="aerial-rgb", bands=["R", "G", "B"], unit="display_u8", valid=valid)
    assert seen.image[0, :, 0].eq(0).all()
    torch.testing.assert_close(seen.image[0, :, 1:], torch.full((3, 3, 4), 0.2))  # 51 / 255
    assert seen.valid.tolist() == [valid.tolist()]


def test_what_is_not_said_is_asked_for():
    pixels = np.zeros((3, 4, 4))
    with pytest.raises(SensorError, match=r"in which unit .* aerial-rgb products hold display_u8"):
        physical_image(pixels, sensor="aerial-rgb", bands=["R", "G", "B"])
    with pytest.raises(SensorError, match="which bands of aerial-rgb"):
        physical_image(pixels, sensor="aerial-rgb", unit="display_u8")
    with pytest.raises(DataError, match=r"\(C, H, W\) or \(B, C, H, W\), got shape \(4, 4\)"):
        image_batch(pixels[0], None)
    with pytest.raises(DataError, match=r"valid must be .* got \(2, 2\)"):
        image_batch(pixels, np.ones((2, 2), bool))
