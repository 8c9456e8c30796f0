"""Sensors that no training saw: the same scenes as a seen and as an unseen sensor shows them, and how much accuracy is kept.

The planet's training products hold Sentinel-2, Sentinel-1, EnMAP, a thermal camera, Landsat's two thermal bands and the Copernicus DEM.
All others of the catalog that the planet can draw are unseen, and so are two sensors made up here.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import yaml

from geolangbind.data.shards import ShardSet, Stream
from geolangbind.errors import DataError
from geolangbind.evaluate.embedder import Ours
from geolangbind.evaluate.encoded import encode_streams
from geolangbind.evaluate.metrics import Accuracy, accuracy
from geolangbind.evaluate.prompts import label_phrases
from geolangbind.evaluate.zero_shot import class_scores, true_classes
from geolangbind.model import GeoLangBind
from geolangbind.planet.products import PRODUCTS, Product
from geolangbind.planet.write import write_planet
from geolangbind.sensors import get_sensor
from geolangbind.sensors.units import Unit
from geolangbind.study.measure import Figure

LABEL = "scene_class"
_SEEN = {product.name: product for products in PRODUCTS.values() for product in products}
_TEN_METRES = ("B02", "B03", "B04", "B08")

UNSEEN: dict[str, str] = {
    "landsat-toa": "msi-l1c",
    "worldview-3": "msi-l1c",
    "landsat-surface": "msi-l2a",
    "superdove": "msi-l2a",
    "five-band-camera": "msi-l2a",
    "spectrometer-60": "hsi",
    "naip": "rgb",
    "aster-tir": "ir-landsat",
    "srtm": "dem",
}
"""Unseen sensor to the product of a seen one that it is held against: same modality, unit, sampling and scenes, other bands.

NAIP is an 8-bit picture and so stands against Sentinel-2's true-colour picture, not against its reflectance.
"""

SUBSETS: dict[str, str] = {"sentinel-2-10m": "msi-l2a", "enmap-half": "hsi"}
"""Bands left out of a seen sensor: the four 10 m bands of Sentinel-2, every second good band of EnMAP."""


def write_unseen(
    out: Path | str, count: int, seed: int = 0, *, own_gsd: bool = False, workers: int = 1, split: str = "test", progress: bool = False
) -> Path:
    """Write the same scenes as every unseen sensor, every band subset and their seen counterparts show them.

    Args:
        out: folder to write; the records of the made-up sensors go into it too, and the shards name them by their path.
        count: scenes.
        seed: seed of the planet.
        own_gsd: bands that a sensor has coarser than the seen product are drawn that coarse (Landsat's 30 m). By default they are
            drawn at the seen product's distance, so that nothing differs but the bands.
        workers: processes.
        split: of the planet; see `planet.write.SPLITS`.
        progress: show a progress bar.

    Returns:
        The folder.

    Raises:
        DataError: `out` has an index already.
    """
    out = Path(out).resolve()
    out.mkdir(parents=True, exist_ok=True)
    unseen = products(_write_sensors(out), own_gsd=own_gsd)
    seen = [_SEEN[name] for name in dict.fromkeys([*UNSEEN.values(), *SUBSETS.values()])]
    write_planet(out, count, seed, workers=workers, split=split, progress=progress, products=(*seen, *unseen))
    return out


def products(made_up: dict[str, Path], *, own_gsd: bool = False) -> tuple[Product, ...]:
    """The unseen sensors' products, each its counterpart's with other bands.

    Args:
        made_up: records of the sensors that are not in the catalog.
        own_gsd: see `write_unseen`.
    """
    good = tuple(band.name for band in get_sensor("enmap-l2a").good_bands)
    landsat = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B9")
    table: dict[str, tuple[str, tuple[str, ...] | None]] = {
        "landsat-toa": ("landsat-8-9-l1", landsat),
        "landsat-surface": ("landsat-8-9-l2", tuple(f"SR_B{number}" for number in range(1, 8))),
        "worldview-3": ("worldview-3", None),
        "superdove": ("planetscope-superdove", None),
        "naip": ("naip", None),
        "aster-tir": ("aster-tir", None),
        "srtm": ("srtm", None),
        "sentinel-2-10m": ("sentinel-2-l2a", _TEN_METRES),
        "enmap-half": ("enmap-l2a", good[::2]),
        **{name: (str(path), None) for name, path in made_up.items()},
    }
    coarse = ("landsat-toa", "landsat-surface")  # the others are finer than their counterpart, or sampled alike
    return tuple(
        replace(_SEEN[against], name=name, sensor=table[name][0], bands=table[name][1], sharp=name in coarse and not own_gsd)
        for name, against in (UNSEEN | SUBSETS).items()
    )


def accuracy_kept(model: GeoLangBind, folder: Path | str) -> dict[str, dict[str, Figure | float | str]]:
    """Zero-shot top-1 of a model on unseen sensors over its top-1 on the seen ones, on the same scenes.

    Args:
        model: in inference mode.
        folder: written by `write_unseen`.

    Returns:
        By unseen sensor and band subset: `against` (the seen product), `unseen` and `seen` (figures of top-1) and `kept`, their
        quotient (above 1 where the unseen sensor shows more).

    Raises:
        DataError: the folder lacks a product.
    """
    shards, embedder = ShardSet.open(folder), Ours("", "", model)
    classes = label_phrases(shards, LABEL)
    streams = {stream.shards[0].file.rpartition("-")[0]: stream for stream in shards.streams}
    scores: dict[str, Figure] = {}
    found: dict[str, dict[str, Figure | float | str]] = {}
    for name, against in (UNSEEN | SUBSETS).items():
        for product in (name, against):
            if product not in scores:
                encoded = encode_streams(embedder, [_stream(streams, product, shards)])
                scores[product] = _figure(accuracy(class_scores(embedder, encoded, classes), true_classes(encoded, classes, LABEL)))
        seen = scores[against]["value"]
        kept = scores[name]["value"] / seen if seen else float("nan")
        found[name] = {"against": against, "unseen": scores[name], "seen": scores[against], "kept": kept}
    return found


def _stream(streams: dict[str, Stream], product: str, shards: ShardSet) -> Stream:
    if product not in streams:
        raise DataError(f"{shards.folder} holds no {product} ({', '.join(streams)}); write it with study.unseen.write_unseen")
    return streams[product]


def _figure(accuracy: Accuracy) -> Figure:
    return {"value": accuracy.top1, "low": accuracy.low, "high": accuracy.high, "n": accuracy.n}


def _write_sensors(folder: Path) -> dict[str, Path]:
    """Write the records of the sensors that exist nowhere else.

    A camera of five unusual bands, and a spectrometer of 60 equal bands of 20 nm (0.42 to 2.45 µm, without the water-vapour
    absorptions, as EnMAP's good bands are).
    """
    grid = np.concatenate([np.linspace(0.42, 1.33, 34), np.linspace(1.50, 1.78, 11), np.linspace(1.99, 2.45, 15)])
    camera = [(0.46, 0.03), (0.54, 0.03), (0.63, 0.04), (0.75, 0.03), (1.02, 0.05)]
    tables = {
        "five-band-camera": ("msi", [(center, width, 10.0) for center, width in camera]),
        "spectrometer-60": ("hsi", [(float(center), 0.02, 30.0) for center in grid]),
    }
    paths = {}
    for name, (modality, bands) in tables.items():
        keys = ("name", "center_wavelength_um", "fwhm_um", "gsd_m")
        rows = [dict(zip(keys, (f"M{n}", round(c, 4), w, g), strict=True)) for n, (c, w, g) in enumerate(bands, start=1)]
        record = {
            "name": name,
            "title": f"{name} (made up)",
            "modality": modality,
            "product_level": "surface",
            "unit": str(Unit.REFLECTANCE),
        }
        paths[name] = folder / f"{name}.yaml"
        paths[name].write_text(
            yaml.safe_dump({**record, "scale": 0.0001, "offset": 0, "sources": ["made up"], "bands": rows}, sort_keys=False)
        )
    return paths
