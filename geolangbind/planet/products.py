"""The products that samples are drawn as: per modality which sensor, bands, unit, size and stored numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from geolangbind.data.sample import Encoding
from geolangbind.planet.noise import FOOTPRINT_M
from geolangbind.planet.scene import generator
from geolangbind.sensors.units import Unit


@dataclass(frozen=True)
class Product:
    """One kind of chip. Physical value = stored * scale + offset.

    Attributes:
        name: unique among all products; names its shards.
        modality: rgb, sar, msi, hsi, ir or dem.
        sensor: registry key of the sensor.
        bands: band names in channel order; None for all good bands.
        unit: unit of the physical values.
        gsd_m: ground sampling distance.
        pixels: width and height.
        dtype: numpy name of the stored numbers.
        scale: see above.
        offset: see above.
        encoding: file format inside the shard.
        share: share of the modality's samples.
        sharp: all bands are sampled at `gsd_m`, even those that the sensor itself has coarser.
    """

    name: str
    modality: str
    sensor: str
    bands: tuple[str, ...] | None
    unit: Unit
    gsd_m: float
    pixels: int
    dtype: str
    scale: float
    offset: float
    encoding: Encoding
    share: float
    sharp: bool = False


PRODUCTS: Mapping[str, tuple[Product, ...]] = {
    "rgb": (Product("rgb", "rgb", "sentinel-2-tci", ("R", "G", "B"), Unit.DISPLAY_U8, 10, 64, "uint8", 1.0, 0.0, "npy", 1.0),),
    "sar": (
        Product("sar-sigma0", "sar", "sentinel-1-grd", ("VV", "VH"), Unit.SIGMA0_DB, 10, 64, "int16", 0.01, 0.0, "npy", 0.5),
        Product("sar-gamma0", "sar", "sentinel-1-grd", ("VV", "VH"), Unit.GAMMA0_DB, 10, 64, "int16", 0.01, 0.0, "npy", 0.5),
    ),
    "msi": (
        Product("msi-l1c", "msi", "sentinel-2-l1c", None, Unit.REFLECTANCE, 10, 64, "uint16", 1e-4, 0.0, "npy", 2 / 3),
        Product("msi-l2a", "msi", "sentinel-2-l2a", None, Unit.REFLECTANCE, 10, 64, "uint16", 1e-4, 0.0, "npy", 1 / 3),
    ),
    "hsi": (Product("hsi", "hsi", "enmap-l2a", None, Unit.REFLECTANCE, 20, 32, "uint16", 1e-4, 0.0, "npy", 1.0),),
    "ir": (
        Product("ir-camera", "ir", "lwir-camera", None, Unit.DISPLAY_U8, 10, 64, "uint8", 1.0, 0.0, "npy", 0.5),
        Product(
            "ir-landsat", "ir", "landsat-8-9-l1", ("B10", "B11"), Unit.BRIGHTNESS_TEMPERATURE_K, 10, 64, "uint16", 0.01, 0.0, "npy", 0.5
        ),
    ),
    "dem": (Product("dem", "dem", "copernicus-dem", None, Unit.ELEVATION_M, 10, 64, "int16", 0.1, 0.0, "npy", 1.0),),
}
"""Per modality its products; their shares sum to one."""


def product_of(seed: int, index: int, modality: str) -> Product:
    """Return which of a modality's products shows scene `index`: drawn from (seed, index) with the products' shares.

    Raises:
        KeyError: unknown modality.
    """
    products = PRODUCTS[modality]
    share = np.cumsum([product.share for product in products])
    place = list(PRODUCTS).index(modality)
    draw = generator(seed, index, "product").random(len(PRODUCTS))[place]
    return products[min(int(np.searchsorted(share, draw)), len(products) - 1)]


def pixel_box(box_m: tuple[float, float, float, float], product: Product) -> tuple[float, float, float, float]:
    """Return a box in metres from the scene's north-west corner as x0, y0, x1, y1 in pixels of a chip of `product`, cut at its edge."""
    start = (FOOTPRINT_M - product.pixels * product.gsd_m) / 2
    x0, y0, x1, y1 = (round(min(max((metre - start) / product.gsd_m, 0.0), product.pixels), 2) for metre in box_m)
    return x0, y0, x1, y1
