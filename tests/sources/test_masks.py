import numpy as np
import pytest

from geolangbind.data.rasters import open_raster
from geolangbind.errors import DataError
from geolangbind.sources.masks import read_mask

COLORS = ((1, (255, 0, 0)), (7, (0, 255, 0)), (0, (0, 0, 0)))


@pytest.fixture
def image(tif, tmp_path):
    tif("image.tif", np.ones((1, 6, 8), np.float32))
    return open_raster(tmp_path / "image.tif", sensor="srtm")


def test_class_numbers_of_any_integer_type(image, tif, tmp_path):
    values = np.arange(48, dtype=np.int32).reshape(1, 6, 8)
    tif("m.tif", values)
    got = read_mask(tmp_path / "m.tif", image)
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got, values[0])


def test_a_finer_mask_is_read_at_the_centres_of_the_image(image, tif, tmp_path):
    fine = np.kron(np.arange(48, dtype=np.uint8).reshape(6, 8), np.ones((3, 3), np.uint8))
    tif("m.tif", fine[None], gsd_m=10 / 3)
    np.testing.assert_array_equal(read_mask(tmp_path / "m.tif", image), np.arange(48).reshape(6, 8))
    tif("m.tif", np.arange(48, dtype=np.uint8).reshape(1, 6, 8), origin=(500020, 5500000))  # same size, two pixels to the east
    np.testing.assert_array_equal(read_mask(tmp_path / "m.tif", image)[:, 2:], np.arange(48).reshape(6, 8)[:, :6])


def test_coloured_pictures(image, tif, tmp_path):
    wanted = np.random.default_rng(0).choice([1, 7, 0], (6, 8))
    table = np.zeros((8, 3), np.uint8)
    for value, color in COLORS:
        table[value] = color
    tif("m.tif", table[wanted].transpose(2, 0, 1))
    np.testing.assert_array_equal(read_mask(tmp_path / "m.tif", image, COLORS), wanted)
    with pytest.raises(DataError, match=r"colour \(0, 0, 0\) is none of the card's"):
        read_mask(tmp_path / "m.tif", image, COLORS[:2])


def test_codes_become_class_numbers(image, tif, tmp_path):
    values = np.array([111, 112, 523, 999] * 12, np.int16).reshape(1, 6, 8)
    tif("m.tif", values)
    got = read_mask(tmp_path / "m.tif", image, codes=((111, 1), (112, 1), (523, 19)))
    assert got.ravel().tolist() == [1, 1, 19, 0] * 12


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((2, 6, 8), np.uint8), "one channel of class numbers, this has 2"),
        (np.zeros((1, 6, 8), np.float32), "this has 1 of float32"),
        (np.full((1, 6, 8), 300, np.int16), "class numbers run from 300 to 300"),
        (np.full((1, 6, 8), -1, np.int16), "class numbers run from -1"),
    ],
)
def test_what_is_no_mask(image, tif, tmp_path, values, message):
    tif("m.tif", values)
    with pytest.raises(DataError, match=message):
        read_mask(tmp_path / "m.tif", image)


def test_a_mask_of_another_size_needs_coordinates(image, tif, tmp_path):
    from PIL import Image

    Image.fromarray(np.zeros((5, 8), np.uint8)).save(tmp_path / "m.png")
    with pytest.raises(DataError, match="a mask of 8 x 5 for an image of 8 x 6"):
        read_mask(tmp_path / "m.png", image)
