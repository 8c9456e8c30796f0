"""geolangbind: one embedding model out of many Earth-observation sensors.

model = geolangbind.load("runs/demo/merged")
model.encode_image(chip, sensor="sentinel-2-l2a", bands=["B04", "B03", "B02"], unit="reflectance", gsd_m=10)
model.encode_text(["a satellite image of a harbour"])
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = [
    "Date",
    "GeoBox",
    "GeoLangBind",
    "GeoPoint",
    "Image",
    "InterleavedEncoder",
    "PixelBox",
    "Text",
    "__version__",
    "load",
    "load_interleaved",
    "read_raster",
]

if TYPE_CHECKING:
    from geolangbind.data.rasters import read_raster
    from geolangbind.interleaved.encoder import InterleavedEncoder
    from geolangbind.interleaved.folder import load_interleaved
    from geolangbind.interleaved.segments import Date, GeoBox, GeoPoint, Image, PixelBox, Text
    from geolangbind.model import GeoLangBind
    from geolangbind.weights.load import load

_HOMES = {
    "GeoLangBind": "geolangbind.model",
    "InterleavedEncoder": "geolangbind.interleaved.encoder",
    "load": "geolangbind.weights.load",
    "load_interleaved": "geolangbind.interleaved.folder",
    "read_raster": "geolangbind.data.rasters",
    **dict.fromkeys(("Date", "GeoBox", "GeoPoint", "Image", "PixelBox", "Text"), "geolangbind.interleaved.segments"),
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    """Import on first use: torch takes seconds, and `geolangbind sensors` does not need it."""
    from importlib import import_module

    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'geolangbind' has no attribute '{name}'")
