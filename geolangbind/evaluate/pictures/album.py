"""The pictures of a results folder: `pictures/*.png`, each with its section, title and caption in `pictures/captions.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from geolangbind.checkpoint import atomic_path
from geolangbind.errors import DataError

PICTURES, CAPTIONS = "pictures", "captions.json"
COLOURS = {
    "rgb": "#D55E00", "sar": "#0072B2", "msi": "#009E73", "hsi": "#CC79A7", "ir": "#E69F00", "dem": "#56B4E9", "text": "#000000",
}  # fmt: skip
"""Okabe and Ito's colour-blind-safe palette, by modality."""
MARKERS = {"rgb": "o", "sar": "s", "msi": "^", "hsi": "D", "ir": "v", "dem": "P", "text": "x"}
_DPI = 100


@dataclass(frozen=True)
class Picture:
    """A picture of a results folder."""

    path: Path
    section: str
    title: str
    caption: str


def plain(text: str) -> str:
    """Text that matplotlib draws as it is: a dollar sign would begin a formula."""
    return text.replace("$", r"\$")


def keep(out: Path, name: str, figure: Figure, section: str, title: str, caption: str) -> Path:
    """Save a figure as `out/pictures/NAME.png` and enter it into the list; one of the same name is replaced."""
    path = out / PICTURES / f"{name}.png"
    with atomic_path(path) as part, part.open("wb") as stream:
        figure.savefig(stream, format="png", dpi=_DPI, facecolor="white", bbox_inches="tight", pad_inches=0.08)
    listed = _listed(out) | {path.name: {"section": section, "title": title, "caption": caption}}
    _write(out, listed)
    return path


def forget(out: Path, prefix: str) -> None:
    """Remove the pictures whose names begin with `prefix`."""
    listed = _listed(out)
    gone = [name for name in listed if name.startswith(prefix)]
    for name in gone:
        (out / PICTURES / name).unlink(missing_ok=True)
    if gone:
        _write(out, {name: told for name, told in listed.items() if name not in gone})


def read_pictures(out: Path) -> list[Picture]:
    """The pictures of a results folder, in the order in which they were first drawn.

    Raises:
        DataError: the list is damaged.
    """
    try:
        found = [Picture(out / PICTURES / name, x["section"], x["title"], x["caption"]) for name, x in _listed(out).items()]
    except (TypeError, KeyError) as error:
        raise _damaged(out, error) from None
    return [picture for picture in found if picture.path.is_file()]


def _listed(out: Path) -> dict[str, dict[str, str]]:
    path = out / PICTURES / CAPTIONS
    if not path.is_file():
        return {}
    try:
        return {Path(name).name: dict(told) for name, told in json.loads(path.read_text(encoding="utf-8")).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise _damaged(out, error) from None


def _damaged(out: Path, error: Exception) -> DataError:
    return DataError(f"{out / PICTURES / CAPTIONS} is damaged ({error!r}); delete it and draw the pictures again")


def _write(out: Path, listed: Mapping[str, Mapping[str, str]]) -> None:
    with atomic_path(out / PICTURES / CAPTIONS) as part:
        part.write_text(json.dumps(listed, indent=1) + "\n", encoding="utf-8")
