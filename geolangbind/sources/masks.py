"""Class numbers per pixel: label rasters on the image's grid or another, and coloured pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT

from geolangbind.data.raster_reader import RasterReader
from geolangbind.data.raster_source import opened
from geolangbind.errors import DataError

Colors = tuple[tuple[int, tuple[int, int, int]], ...]
Codes = tuple[tuple[int, int], ...]


def read_mask(path: Path, reader: RasterReader, colors: Colors = (), codes: Codes = ()) -> NDArray[np.uint8]:
    """Return the class numbers (H, W) of a mask on the grid of an image; one in another grid is brought there by its nearest pixels.

    Args:
        path: one channel of class numbers, or a coloured picture.
        reader: the image.
        colors: class number and colour, for a coloured picture.
        codes: stored number and class number, for masks of codes; others become 0.

    Raises:
        DataError: it is no mask, or not of the image's size without coordinates that say where it lies.
    """
    with opened(path) as dataset:
        if (not colors and dataset.count != 1) or np.dtype(dataset.dtypes[0]).kind not in "ui":
            raise DataError(f"{path}: a mask is one channel of class numbers, this has {dataset.count} of {dataset.dtypes[0]}")
        same_size = (dataset.width, dataset.height) == (reader.width, reader.height)
        placed = dataset.crs is not None and reader.crs is not None
        if not same_size and not placed:
            raise DataError(f"{path}: a mask of {dataset.width} x {dataset.height} for an image of {reader.width} x {reader.height} pixels")
        if same_size and not (placed and (dataset.crs != reader.crs or not dataset.transform.almost_equals(reader.transform, 1e-3))):
            stored = dataset.read()
        else:
            options = {"crs": reader.crs, "transform": reader.transform, "width": reader.width, "height": reader.height}
            with WarpedVRT(dataset, resampling=Resampling.nearest, **options) as grid:
                stored = grid.read()
    values = _of_colors(stored, colors, path) if colors else stored[0]
    if codes:
        values = np.select([values == code for code, _ in codes], [np.uint8(value) for _, value in codes], default=np.uint8(0))
    if values.size and not (values.min() >= 0 and values.max() <= 255):
        raise DataError(f"{path}: class numbers run from {values.min()} to {values.max()}; masks hold 0 to 255")
    return np.asarray(values, dtype=np.uint8)


def _of_colors(picture: NDArray[Any], colors: Colors, path: Path) -> NDArray[np.uint8]:
    if len(picture) < 3:
        raise DataError(f"{path}: has {len(picture)} channels where the card says that its colours are the classes")
    found = np.zeros(picture.shape[1:], np.uint8)
    known = np.zeros(picture.shape[1:], np.bool_)
    for value, color in colors:
        here = (picture[:3] == np.array(color, picture.dtype)[:, None, None]).all(axis=0)
        found[here] = value
        known |= here
    if not known.all():
        stranger = tuple(picture[:3, ~known][:, 0].tolist())
        raise DataError(f"{path}: the colour {stranger} is none of the card's mask_colors; add it, or restore the file")
    return found
