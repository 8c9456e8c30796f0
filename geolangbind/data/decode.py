"""Bytes of a shard's members to arrays and back. Nothing here runs code from data: npy without pickle, PNG, JPEG, TIFF, safetensors."""

from __future__ import annotations

import io
import math
import struct
import warnings
import zlib
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import MemoryFile
from safetensors import SafetensorError
from safetensors.numpy import load as load_safetensors
from safetensors.numpy import save as save_safetensors

from geolangbind.data.sample import Encoding
from geolangbind.errors import DataError

FEATURE_TENSOR = "tokens"
"""Name of the one tensor in a `<key>.<teacher>.safetensors` member."""


MAX_VALUES = 1 << 28
"""Most values (channels x height x width) of an image that is decoded: 1 GiB as float32. A header can claim more than there is."""

_UNREADABLE = (
    ValueError, TypeError, OSError, OverflowError, RecursionError, SyntaxError, TokenError, MemoryError, struct.error, zlib.error,
    RasterioError, Image.DecompressionBombError, Image.DecompressionBombWarning,
)  # fmt: skip
"""What the decoders raise on damaged bytes: numpy parses an npy header as a literal, a flipped size may ask for more than the memory."""


def encode_image(image: NDArray[Any], encoding: Encoding) -> bytes:
    """Return `image` (C, H, W) as the bytes of a member.

    Raises:
        DataError: `png` and `jpg` take uint8 pictures of 1 or 3 channels only.
    """
    match encoding:
        case "npy":
            buffer = io.BytesIO()
            native = image.astype(image.dtype.newbyteorder("<"), copy=False)
            np.lib.format.write_array(buffer, np.ascontiguousarray(native), version=(1, 0), allow_pickle=False)
            return buffer.getvalue()
        case "tif":
            return _encode_tif(image)
        case _:
            if image.dtype != np.uint8 or image.shape[0] not in (1, 3):
                raise DataError(f"{encoding} holds uint8 with 1 or 3 channels, got {image.dtype} {image.shape}; use npy or tif")
            return _encode_picture(image, encoding)


def decode_image(data: bytes, encoding: str) -> NDArray[Any]:
    """Return the image (C, H, W) of a member. An npy is not copied: the array is a read-only view of `data`.

    Raises:
        DataError: `data` is no such file, is cut off, claims more than `MAX_VALUES` values, or holds objects.
    """
    if not data:
        raise DataError(f"{encoding} image is empty")
    try:
        match encoding:
            case "npy":
                return _decode_npy(data)
            case "tif":
                with warnings.catch_warnings(), MemoryFile(data) as memory:
                    warnings.simplefilter("ignore", NotGeoreferencedWarning)  # chips in a shard keep their place in the json
                    with memory.open(driver="GTiff") as raster:
                        _require_bounded(raster.count, raster.height, raster.width)
                        return np.asarray(raster.read())
            case "png" | "jpg":
                return _decode_picture(data)
            case _:
                raise DataError(f"unknown image encoding '{encoding}'")
    except _UNREADABLE as error:
        raise DataError(f"{encoding} image cannot be decoded: {error}") from None


def encode_mask(mask: NDArray[np.uint8]) -> bytes:
    """Return a uint8 (H, W) mask as PNG bytes."""
    return _encode_picture(mask[None], "png")


def decode_mask(data: bytes) -> NDArray[np.uint8]:
    """Return the uint8 (H, W) mask of a PNG member.

    Raises:
        DataError: not a PNG of one 8-bit channel.
    """
    mask = decode_image(data, "png")
    if mask.shape[0] != 1 or mask.dtype != np.uint8:
        raise DataError(f"mask must be a PNG of one 8-bit channel, got {mask.dtype} with {mask.shape[0]} channels")
    return np.asarray(mask[0], dtype=np.uint8)


def encode_features(tokens: NDArray[Any]) -> bytes:
    """Return teacher features (N, D) as a safetensors file of one fp16 tensor.

    Raises:
        DataError: not (N, D), or a value does not fit fp16.
    """
    half = np.ascontiguousarray(tokens, dtype=np.float16)
    if half.ndim != 2 or not np.isfinite(half).all():
        raise DataError(f"features must be (N, D) and finite in fp16, got shape {half.shape}, largest {np.abs(tokens).max(initial=0):.3g}")
    return bytes(save_safetensors({FEATURE_TENSOR: half}))


def decode_features(data: bytes) -> NDArray[np.float16]:
    """Return the fp16 features (N, D) of a safetensors member.

    Raises:
        DataError: not safetensors, or without the one tensor expected.
    """
    try:
        return np.asarray(load_safetensors(data)[FEATURE_TENSOR], dtype=np.float16)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"teacher features cannot be read: {error}") from None


def _decode_npy(data: bytes) -> NDArray[Any]:
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if read_header is None:
        raise DataError(f"npy version {version} is not supported; save with numpy's default")
    shape, fortran_order, dtype = read_header(stream)
    if dtype.hasobject:
        raise DataError("npy holds Python objects; only numbers are read")
    if min(shape, default=1) < 0:
        raise DataError(f"npy has the impossible shape {shape}")
    values = np.frombuffer(data, dtype=dtype, count=math.prod(shape), offset=stream.tell())
    return values.reshape(shape, order="F" if fortran_order else "C")


def _encode_picture(image: NDArray[np.uint8], encoding: str) -> bytes:
    buffer = io.BytesIO()
    picture = Image.fromarray(image[0] if image.shape[0] == 1 else np.ascontiguousarray(image.transpose(1, 2, 0)))
    if encoding == "png":
        picture.save(buffer, "PNG")
    else:
        picture.save(buffer, "JPEG", quality=95, subsampling=0)
    return buffer.getvalue()


def _decode_picture(data: bytes) -> NDArray[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)  # near `MAX_VALUES` for a colour picture
        picture = Image.open(io.BytesIO(data), formats=("PNG", "JPEG"))
    with picture:
        _require_bounded(len(picture.getbands()), picture.height, picture.width)
        if picture.mode == "P":
            raise DataError("pictures with a palette have no band order; save as RGB or grey")
        values = np.asarray(picture)
    return values[None] if values.ndim == 2 else values.transpose(2, 0, 1)


def _require_bounded(channels: int, height: int, width: int) -> None:
    if channels * height * width > MAX_VALUES:
        raise DataError(f"image claims to be {channels} x {height} x {width}, more than {MAX_VALUES} values; cut it into chips")


def _encode_tif(image: NDArray[Any]) -> bytes:
    channels, height, width = image.shape
    with warnings.catch_warnings(), MemoryFile() as memory:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        options: dict[str, Any] = {"compress": "deflate", "interleave": "band"}
        with memory.open(driver="GTiff", count=channels, height=height, width=width, dtype=image.dtype.name, **options) as raster:
            raster.write(image)
        return bytes(memory.read())
