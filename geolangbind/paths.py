"""Where conf/ and the dataset cards are: beside the package in a checkout, inside it in a wheel. The one place that knows."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def _find(in_checkout: str, in_wheel: str) -> Path:
    root = _PACKAGE.parent
    return root / in_checkout if (root / "pyproject.toml").is_file() else _PACKAGE / in_wheel


def conf_dir() -> Path:
    """Folder of the Hydra configuration."""
    return _find("conf", "conf")


def cards_dir() -> Path:
    """Folder of the dataset cards."""
    return _find("datasets", "dataset_cards")
