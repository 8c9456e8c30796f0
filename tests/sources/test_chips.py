import numpy as np
import pytest
from PIL import Image

from geolangbind.data.sample import Box
from geolangbind.sources.chips import Chip, squash, window_boxes


def test_boxes_of_a_window():
    boxes = [Box((0, 0, 10, 10), "in"), Box((8, 0, 18, 10), "most"), Box((16, 0, 26, 10), "less than half"), Box((40, 40, 50, 50), "out")]
    assert window_boxes(boxes, (5, 6, 15, 15)) == ()  # a fifth of the first, two fifths of the second
    assert window_boxes(boxes, (0, 0, 14, 10)) == (Box((0, 0, 10, 10), "in"), Box((8, 0, 14, 10), "most"))
    assert window_boxes(boxes, (6, 0, 20, 10)) == (Box((2, 0, 12, 10), "most"), Box((10, 0, 20, 10), "less than half"))


def test_squash_is_pillows_filter_on_pictures():
    image = np.random.default_rng(0).integers(0, 256, (3, 40, 60), dtype=np.uint8)
    got = squash(Chip(image, None, (Box((0, 0, 30, 20), "box"),), 2.0), 20, None)
    want = np.asarray(Image.fromarray(image.transpose(1, 2, 0)).resize((20, 20), Image.Resampling.BICUBIC)).transpose(2, 0, 1)
    assert np.abs(got.image.astype(int) - want).max() <= 1  # Pillow rounds between its two passes
    assert got.image.dtype == np.uint8 and got.boxes == (Box((0, 0, 10, 10), "box"),)
    assert got.gsd_m == pytest.approx(2 * (2 * 3) ** 0.5)  # each pixel covers as much ground as before


def test_squash_keeps_a_constant_and_the_type_and_marks_what_holes_touch():
    image = np.full((2, 12, 12), 40_000, np.uint16)
    image[1, 0, 0] = 0
    mask = np.zeros((12, 12), np.uint8)
    mask[:6] = 7
    got = squash(Chip(image, mask, (), None), 4, 0)
    assert got.image[0, 0, 0] == got.image[1, 0, 0] == 0 and (got.image[:, 2:, 2:] == 40_000).all()
    assert got.mask.tolist() == [[7] * 4] * 2 + [[0] * 4] * 2 and got.gsd_m is None
    nan = np.ones((1, 8, 8), np.float32)
    nan[0, 7, 7] = np.nan
    assert np.isnan(squash(Chip(nan, None, (), None), 4, np.nan).image[0]).sum() >= 1


def test_a_chip_of_the_right_size_is_left_alone():
    chip = Chip(np.zeros((1, 5, 5), np.int16), None, (), 1.0)
    assert squash(chip, 5, None) is chip
