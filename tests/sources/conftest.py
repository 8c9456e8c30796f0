"""Small sources on disk, and cards for them."""

import numpy as np
import pytest
import rasterio
import yaml
from PIL import Image
from rasterio.transform import from_origin

from geolangbind.sources.card import load_card

FACTS = {"title": "a test", "tasks": ["train"], "licence": "unknown", "source": "made by the test", "revision": "unknown"}


@pytest.fixture
def card(tmp_path):
    """Write a card and load it: `card("name", views={...}, **other keys)`."""

    def make(name="test", **keys):
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump({**FACTS, "name": name, **keys}), encoding="utf-8")
        return load_card(path)

    return make


@pytest.fixture
def tif(tmp_path):
    """Write a GeoTIFF under the test's folder and return its numbers."""

    def write(name, image, *, crs="EPSG:32632", gsd_m=10.0, origin=(500000, 5500000), nodata=None, names=None):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        count, height, width = image.shape
        options = {"count": count, "height": height, "width": width, "dtype": image.dtype.name, "nodata": nodata}
        if crs:
            options |= {"crs": crs, "transform": from_origin(*origin, gsd_m, gsd_m)}
        with rasterio.open(path, "w", driver="GTiff", **options) as file:
            file.write(image)
            for number, text in enumerate(names or (), start=1):
                file.set_band_description(number, text)
        return image

    return write


@pytest.fixture
def picture(tmp_path):
    """Write an RGB picture under the test's folder and return its numbers (3, H, W)."""

    def write(name, size=(8, 8), seed=0, **options):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(values).save(path, **options)
        return values.transpose(2, 0, 1)

    return write
