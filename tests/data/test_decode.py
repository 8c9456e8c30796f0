import io
import pickle
import struct
import tracemalloc
import warnings
import zlib
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile

from geolangbind.data.decode import MAX_VALUES, decode_features, decode_image, decode_mask, encode_features, encode_image, encode_mask
from geolangbind.errors import DataError

DTYPES = ["u1", "i2", "<u2", ">u2", "i4", "f4", ">f4", "f8"]


@settings(max_examples=40, deadline=None)
@given(hnp.arrays(st.sampled_from(DTYPES).map(np.dtype), hnp.array_shapes(min_dims=3, max_dims=3, max_side=5)))
def test_npy_round_trip_is_exact_and_readable_by_numpy(image):
    data = encode_image(image, "npy")
    np.testing.assert_array_equal(decode_image(data, "npy"), image)
    np.testing.assert_array_equal(np.load(io.BytesIO(data), allow_pickle=False), image)


def test_npy_is_a_view_of_the_bytes_read_only():
    decoded = decode_image(encode_image(np.ones((2, 3, 4), np.uint16), "npy"), "npy")
    assert not decoded.flags.owndata
    assert not decoded.flags.writeable


def test_npy_in_fortran_order_and_version_2_is_read():
    image = np.asfortranarray(np.arange(24, dtype=np.float32).reshape(2, 3, 4))
    for version in ((1, 0), (2, 0)):
        buffer = io.BytesIO()
        np.lib.format.write_array(buffer, image, version=version)
        np.testing.assert_array_equal(decode_image(buffer.getvalue(), "npy"), image)


@pytest.mark.parametrize(("dtype", "channels"), [(np.uint8, 3), (np.uint16, 5), (np.float32, 1), (np.int16, 2)])
def test_tif_round_trip_is_exact(dtype, channels):
    image = np.random.default_rng(0).integers(0, 120, (channels, 7, 5)).astype(dtype)
    decoded = decode_image(encode_image(image, "tif"), "tif")
    assert decoded.dtype == dtype
    np.testing.assert_array_equal(decoded, image)


@pytest.mark.parametrize("channels", [1, 3])
def test_png_is_exact_and_channels_come_first(channels):
    image = np.random.default_rng(0).integers(0, 255, (channels, 7, 5)).astype(np.uint8)
    data = encode_image(image, "png")
    np.testing.assert_array_equal(decode_image(data, "png"), image)
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.size == (5, 7)


def test_jpg_is_close():
    ramp = np.broadcast_to(np.arange(0, 160, 10, dtype=np.uint8), (3, 16, 16))
    assert np.abs(decode_image(encode_image(ramp, "jpg"), "jpg").astype(int) - ramp).max() <= 4


def test_pictures_hold_only_what_they_can():
    for image in (np.zeros((4, 4, 4), np.uint8), np.zeros((3, 4, 4), np.uint16)):
        with pytest.raises(DataError, match="use npy or tif"):
            encode_image(image, "png")


def test_mask_round_trip_and_refusal():
    mask = np.arange(12, dtype=np.uint8).reshape(3, 4)
    np.testing.assert_array_equal(decode_mask(encode_mask(mask)), mask)
    with pytest.raises(DataError, match="one 8-bit channel"):
        decode_mask(encode_image(np.zeros((3, 4, 4), np.uint8), "png"))


def test_features_are_fp16_and_refused_when_they_do_not_fit():
    tokens = np.random.default_rng(0).normal(size=(4, 6))
    decoded = decode_features(encode_features(tokens))
    assert decoded.dtype == np.float16
    np.testing.assert_allclose(decoded, tokens, rtol=1e-3)
    with np.errstate(over="ignore"), pytest.raises(DataError, match="finite in fp16"):
        encode_features(np.full((2, 2), 1e6))
    with pytest.raises(DataError, match=r"\(N, D\)"):
        encode_features(np.zeros(3))


class _Bomb:
    def __reduce__(self):
        return (pytest.fail, ("code from data was run",))


def test_no_code_is_run_from_data():
    buffer = io.BytesIO()
    np.save(buffer, np.array([_Bomb()], dtype=object), allow_pickle=True)
    for data in (buffer.getvalue(), pickle.dumps(_Bomb())):
        with pytest.raises(DataError):
            decode_image(data, "npy")


@pytest.mark.parametrize("encoding", ["npy", "png", "jpg", "tif"])
def test_cut_off_or_foreign_bytes_are_one_clear_error(encoding):
    whole = encode_image(np.random.default_rng(0).integers(0, 255, (3, 32, 32)).astype(np.uint8), encoding)
    for data in (b"", b"not an image at all", whole[: len(whole) // 2]):
        with pytest.raises(DataError, match=encoding):
            decode_image(data, encoding)


@settings(max_examples=120, deadline=None)
@given(st.sampled_from(["npy", "png", "jpg", "tif"]), st.integers(0, 10**6), st.integers(1, 255))
def test_a_wrong_byte_is_decoded_or_refused_never_a_crash(encoding, place, flip):
    image = np.random.default_rng(0).integers(0, 255, (3, 12, 12)).astype(np.uint8)
    data = bytearray(encode_image(image, encoding))
    data[place % len(data)] ^= flip
    with suppress(DataError):
        decode_image(bytes(data), encoding)


def test_palette_pictures_are_refused():
    buffer = io.BytesIO()
    Image.new("P", (4, 4)).save(buffer, "PNG")
    with pytest.raises(DataError, match="palette"):
        decode_image(buffer.getvalue(), "png")


def test_foreign_features_are_refused():
    with pytest.raises(DataError, match="cannot be read"):
        decode_features(b"12345678901234")


def test_headers_read_before_do_not_hide_other_bytes():
    first = encode_image(np.ones((2, 3, 4), np.uint16), "npy")
    decode_image(first, "npy")
    with pytest.raises(DataError, match="npy image cannot be decoded"):
        decode_image(first[:-1], "npy")
    swapped = first.replace(b"'<u2'", b"'>u2'")
    assert decode_image(swapped, "npy")[0, 0, 0] == 256
    assert decode_image(memoryview(bytearray(first)).toreadonly(), "npy").flags.writeable is False


def _png_claiming(width, height):
    """A PNG of one pixel whose header says another size."""
    data = bytearray(encode_image(np.zeros((3, 1, 1), np.uint8), "png"))
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


def _sparse_tif(side):
    """A real GeoTIFF of side x side zeros in a few hundred bytes."""
    options = {"driver": "GTiff", "count": 1, "dtype": "uint8", "width": side, "height": side, "tiled": True, "SPARSE_OK": True}
    with MemoryFile() as memory:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            memory.open(**options, blockxsize=4096, blockysize=4096).close()
        return bytes(memory.read())


@pytest.mark.parametrize("encoding", ["png", "tif"])
def test_a_header_that_claims_too_much_is_refused_before_memory_is_taken(encoding):
    data = _png_claiming(40_000, 40_000) if encoding == "png" else _sparse_tif(40_000)
    assert len(data) < 10_000
    tracemalloc.start()
    with pytest.raises(DataError, match=f"image claims more than {89478485 if encoding == 'png' else MAX_VALUES} "):
        decode_image(data, encoding)
    assert tracemalloc.get_traced_memory()[1] < 1e6
    tracemalloc.stop()


def test_the_limit_counts_values_and_long_thin_or_tiny_images_pass():
    for side, what in ((9459, "truncated"), (9460, "claims more than")):  # 3 x 9459 x 9459 is just below 2**28
        with pytest.raises(DataError, match=what):
            decode_image(_png_claiming(side, side), "png")
    line = np.arange(40_000, dtype=np.uint16)[None, None]
    for encoding in ("npy", "tif"):
        np.testing.assert_array_equal(decode_image(encode_image(line, encoding), encoding), line)
    for encoding in ("npy", "tif", "png", "jpg"):
        assert decode_image(encode_image(np.full((1, 1, 1), 7, np.uint8), encoding), encoding).tolist() == [[[7]]]
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<u2", "fortran_order": False, "shape": (-1,)})
    with pytest.raises(DataError, match=r"impossible shape \(-1,\)"):
        decode_image(buffer.getvalue() + bytes(8), "npy")
