"""Contact sheets of the planet: one PNG per modality, every class in a column of its own row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from geolangbind.planet.groups import CLASSES, MODALITIES
from geolangbind.planet.noise import Map
from geolangbind.planet.products import PRODUCTS, product_of
from geolangbind.planet.scene import class_of, draw_scene
from geolangbind.planet.write import sample_of

_NEAR_RED_GREEN = np.array([0.5, 0.25, 0.25], np.float32)[:, None, None]
"""Reflectances shown as full brightness."""
_LABEL_PX, _TILE_PX, _GAP_PX = 150, 96, 2


def _stretch(channels: Map, low: float, high: float) -> Map:
    bottom, top = np.percentile(channels, [low, high], axis=(1, 2), keepdims=True)
    return np.asarray((channels - bottom) / np.maximum(top - bottom, 1e-3), np.float32)


def picture(stored: NDArray[np.generic], modality: str, scale: float) -> NDArray[np.uint8]:
    """Return stored values (C, H, W) as an 8-bit picture (H, W, 3) for people.

    RGB as it is; multi- and hyperspectral as near infrared, red and green; radar as VV, VH and their difference; thermal as grey;
    elevation as shaded relief over height.
    """
    value = stored.astype(np.float32) * scale
    shown: NDArray[np.floating[Any]]
    match modality:
        case "rgb":
            shown = value / 255
        case "msi":
            shown = value[[7, 3, 2]] / _NEAR_RED_GREEN
        case "hsi":
            shown = value[[60, 45, 25]] / _NEAR_RED_GREEN
        case "sar":
            shown = np.stack([(value[0] + 25) / 25, (value[1] + 32) / 25, (value[0] - value[1]) / 18])
        case "ir":
            shown = (
                value[:1].repeat(3, 0) / 255 if value.max() <= 255 and stored.dtype == np.uint8 else _stretch(value[:1], 1, 99).repeat(3, 0)
            )
        case _:
            down, right = np.gradient(value[0], 10.0)
            shade = np.clip(0.55 + 1.6 * (-right - down), 0, 1)
            height = np.clip((value[0] - value[0].min()) / max(float(np.ptp(value[0])), 12.0), 0, 1)
            shown = np.stack([0.6 * shade + 0.4 * height, 0.6 * shade + 0.3, 0.6 * shade + 0.4 * (1 - height)])
    return np.moveaxis(np.clip(shown * 255, 0, 255), 0, -1).astype(np.uint8)


def preview(out_dir: Path | str, count: int = 8, seed: int = 0) -> list[Path]:
    """Write one contact sheet per modality, `count` chips of each class, rows labelled with the class.

    Args:
        out_dir: folder, made if needed.
        count: chips per class.
        seed: seed of the planet.

    Returns:
        The PNG files.
    """
    out = Path(out_dir)
    out.mkdir(parents=True, exist_ok=True)
    pitch = _TILE_PX + _GAP_PX
    sheets = {name: Image.new("RGB", (_LABEL_PX + count * pitch, len(CLASSES) * pitch), "white") for name in MODALITIES}
    for index in range(count * len(CLASSES)):
        row, column = CLASSES.index(class_of(seed, index)), index // len(CLASSES)
        scene = draw_scene(seed, index)
        for modality, sheet in sheets.items():
            product = product_of(seed, index, modality) if modality != "msi" else PRODUCTS["msi"][0]
            tile = Image.fromarray(picture(sample_of(scene, product).image, modality, product.scale))
            sheet.paste(tile.resize((_TILE_PX, _TILE_PX), Image.Resampling.NEAREST), (_LABEL_PX + column * pitch, row * pitch))
    paths = []
    for modality, sheet in sheets.items():
        draw = ImageDraw.Draw(sheet)
        for row, name in enumerate(CLASSES):
            draw.text((4, row * pitch + _TILE_PX // 2 - 6), name, fill="black")
        paths.append(out / f"planet_{modality}.png")
        sheet.save(paths[-1])
    return paths
