"""Models that come with the package: no training, no download."""

from __future__ import annotations

from pathlib import Path

BUNDLED = ("planet-tiny",)
"""Trained on the synthetic planet only; small enough to travel in the wheel. `make planet-tiny` makes it anew."""


def bundled_folder(name: str) -> Path | None:
    """The folder of a model that comes with the package; None for any other name, and where a file of that name hides it."""
    if name not in BUNDLED or Path(name).exists():
        return None
    return Path(__file__).resolve().parents[1] / "pretrained" / name
