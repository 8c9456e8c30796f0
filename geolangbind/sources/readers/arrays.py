"""Samples in NumPy files: `{arrays: "{id}_sen2.npy", axes: TCHW}`, one sample per time step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geolangbind.errors import DataError, SettingsError
from geolangbind.sources.card import Card, Place, View
from geolangbind.sources.readers.options import check_options, text_option
from geolangbind.sources.readers.patterns import find, split_name
from geolangbind.sources.record import Content, Item, Record

_AXES = ("CHW", "HWC", "HW", "TCHW", "THWC", "THW")


def records(root: Path, place: Place, card: Card, view: View) -> list[Record]:
    """List the arrays that fit the pattern, time series step by step.

    Options: `axes` says what the dimensions are, of CHW (the default), HWC, HW, and the same behind a T; `class` names the class of all.

    Raises:
        SettingsError: an unknown option or an impossible pattern.
        DataError: a file is no array of numbers with these dimensions.
    """
    check_options(place, ("axes", "class"))
    axes, one_class = text_option(place, "axes") or "CHW", text_option(place, "class")
    if axes not in _AXES:
        raise SettingsError(f"arrays: axes are one of {', '.join(_AXES)}, got '{axes}'")
    found = []
    for path, said in find(root, place.spec):
        steps = len(_load(path, axes)) if axes[0] == "T" else 1
        name = said.get("id", path.relative_to(root).with_suffix("").as_posix())
        label = said.get("class", one_class)
        for step in range(steps):
            item = Item("arrays", path, place.spec, {"axes": axes}, step)
            found.append(
                Record(f"{name}_{step:04d}" if axes[0] == "T" else name, item, split_name(said.get("split")), (label,) if label else ())
            )
    return found


def open_item(item: Item) -> Content:
    """Read one image of a file, without the rest of it.

    Raises:
        DataError: the file is no array of numbers with the dimensions said.
    """
    axes = str(item.options["axes"])
    values = _load(item.root, axes)
    image = np.array(values[item.number] if axes[0] == "T" else values)
    match axes.removeprefix("T"):
        case "HWC":
            image = image.transpose(2, 0, 1)
        case "HW":
            image = image[None]
    return Content(np.ascontiguousarray(image))


def _load(path: Path, axes: str) -> NDArray[Any]:
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise DataError(f"{path}: is no readable NumPy file: {error}") from None
    if not isinstance(values, np.ndarray) or values.ndim != len(axes) or values.dtype.kind not in "uif":
        told = f"{values.dtype} {values.shape}" if isinstance(values, np.ndarray) else "an archive"
        raise DataError(f"{path}: is {told}, not numbers with the axes {axes}")
    return values
