"""GEO-Bench 1.0: `{geobench: m-so2sat}`, a folder with one HDF5 file per sample and `default_partition.json`.

A file holds one array (H, W) per band, named like `04 - Red` or `04 - Red_2015-06-01`, for segmentation one named `label`, and an attribute
`pickle` with the rest. Nothing is unpickled: coordinates, dates and class names stay in the attribute and in `task_specs.pkl`. The label of
a classification comes from `label_map.json` (class number: sample names) or, of several classes, `label_stats.json` (sample name: number
per class); where these are missing, as for m-so2sat and m-bigearthnet, from the attribute's plain numbers, see `pickled_label`. Class
numbers become the names of the card's `classes`, in their order there. Arrays of several channels (m-NeonTree's spectrometer) are not read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geolangbind.errors import DataError, SettingsError
from geolangbind.sensors import get_sensor
from geolangbind.sensors.records import Band, Sensor, find_band
from geolangbind.sources.card import Card, Place, View
from geolangbind.sources.readers.checks import read_json
from geolangbind.sources.readers.options import check_options, mapping_option, text_option, texts_option
from geolangbind.sources.readers.patterns import fill, split_name
from geolangbind.sources.readers.pickled_label import pickled_label
from geolangbind.sources.record import Content, Item, Record

_DATE = re.compile(r"_(\d{4}-\d{2}-\d{2}.*|NoDate)$")
_MAX_SIDE = 8192
"""No sample of GEO-Bench is that large; a damaged header may claim any size."""
_WRONG_NAMES = ("m-eurosat", "m-brick-kiln")
"""Their arrays are named after other bands than they hold (github.com/ServiceNow/geo-bench, issues 28 and 29)."""


def records(root: Path, place: Place, card: Card, view: View) -> list[Record]:
    """List the samples of a partition. The place is the sample's name.

    Options:
        partition: `default` if absent; `0.10x_train` and the like.
        names: array by band of the view, where its number or name does not tell (`{VV: "06 - VV.LEE Filtered"}`).
        classes: class names by number, where the card's `classes` are others or in another order.

    Raises:
        SettingsError: an unknown option, or names that must be said.
        DataError: the partition or labels cannot be read.
    """
    check_options(place, ("partition", "names", "classes"))
    folder = root / place.spec
    partition = folder / f"{text_option(place, 'partition') or 'default'}_partition.json"
    if not partition.is_file():
        return []
    names = mapping_option(place, "names")
    if Path(place.spec).name in _WRONG_NAMES and not names:
        raise SettingsError(f"geobench: {place.spec} names its arrays after other bands than they hold; say all of them under 'names'")
    options = {
        "sensor": view.sensor,
        "bands": None if view.bands is None else list(view.bands),
        "names": names,
        "classes": list(texts_option(place, "classes") or card.classes),
    }
    found = []
    for split, samples in _lists(partition).items():
        for name in samples:
            file = fill(folder, "{name}.hdf5", {"name": name})
            found.append(Record(name, Item("geobench", file, place.spec, options, 0), split_name(split)))
    return found


def open_item(item: Item) -> Content:
    """Read one sample: its bands as stored, its mask or its classes.

    Raises:
        DataError: the file cannot be read, lacks a band, or its label has no name.
    """
    import h5py

    try:
        with h5py.File(item.root) as file:
            return _content(item, {name: array for name, array in file.items() if isinstance(array, h5py.Dataset)}, file.attrs)
    except DataError as error:
        raise DataError(f"{item.root}: {error}") from None
    except (OSError, RuntimeError, LookupError, ValueError, TypeError) as error:  # as h5py meets the damage
        raise DataError(f"{item.root}: not readable as HDF5: {error}") from None


def _content(item: Item, stored: Mapping[str, Any], attributes: Mapping[str, Any]) -> Content:
    names = _chosen(list(stored), item.options)
    shapes = {stored[name].shape for name in names}
    height_width = shapes.pop() if len(shapes) == 1 else ()
    if len(height_width) != 2 or max(height_width) > _MAX_SIDE:
        told = ", ".join(f"{name} {stored[name].shape}" for name in names)
        raise DataError(f"its bands must have one height and width, up to {_MAX_SIDE} pixels: {told}")
    image = np.stack([stored[name][...] for name in names])
    masks = [name for name in stored if _DATE.sub("", name) == "label"]
    if masks:
        return Content(image, mask=_mask(stored[masks[0]], height_width))
    numbers = _labels(item.root.parent).get(item.root.stem)
    if numbers is None:
        label = pickled_label(attributes.get("pickle"))
        numbers = label if len(label) == 1 else _several(label)
    return Content(image, classes=tuple(_class_name(number, item.options["classes"]) for number in numbers))


def _chosen(stored: list[str], options: Mapping[str, Any]) -> list[str]:
    """Return the array of each band of the view."""
    sensor = get_sensor(options["sensor"])
    wanted = sensor.bands if options["bands"] is None else sensor.select(bands=options["bands"])
    said = {sensor.band(band).name: name for band, name in options["names"].items()}
    chosen = []
    for band in wanted:
        fitting = [name for name in stored if _fits(name, band, sensor, said.get(band.name))]
        if len(fitting) != 1:
            of = f"{len(fitting)} arrays" if fitting else "no array"
            raise DataError(f"has {of} for band {band.name}; it has {', '.join(stored)}; say which under 'names'")
        chosen += fitting
    return chosen


def _fits(stored: str, band: Band, sensor: Sensor, said: str | None) -> bool:
    bare = _DATE.sub("", stored)
    if said is not None:
        return said in (stored, bare)
    number = bare.partition(" - ")[0]
    # `04 - Red` is B04 of Sentinel-2 and B4 of Landsat, `08A - ...` is B8A, `Red` is what it says
    return band in (find_band(sensor.bands, f"B{number}"), find_band(sensor.bands, bare))


@lru_cache(maxsize=4)
def _labels(folder: Path) -> dict[str, tuple[int, ...]]:
    """Return the class numbers by sample name that the JSON files give; empty without them."""
    found: dict[str, tuple[int, ...]] = {}
    try:
        if (path := folder / "label_map.json").is_file():
            found = {name: (int(number),) for number, names in _lists(path).items() for name in names}
        elif (path := folder / "label_stats.json").is_file():
            found = {name: _several(flags) for name, flags in read_json(path).items()}
    except (TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path}: not as GEO-Bench writes it: {error}") from None
    return found


def _several(flags: object) -> tuple[int, ...]:
    if not isinstance(flags, list | tuple) or any(flag not in (0, 1) for flag in flags):
        raise DataError("the label of several classes must be 0 or 1 for each")
    return tuple(number for number, flag in enumerate(flags) if flag)


def _class_name(number: int, classes: list[str]) -> str:
    if not 0 <= number < len(classes):
        raise DataError(f"its class {number} has no name; the card names {len(classes)} classes, counted from 0")
    return classes[number]


def _lists(path: Path) -> dict[str, list[str]]:
    document = read_json(path)
    if not isinstance(document, dict) or not all(
        isinstance(names, list) and all(isinstance(n, str) for n in names) for names in document.values()
    ):
        raise DataError(f"{path}: must map names to lists of sample names, as GEO-Bench writes it")
    return document


def _mask(stored: Any, height_width: tuple[int, ...]) -> NDArray[np.uint8]:  # noqa: ANN401 - h5py is untyped
    if stored.shape not in (height_width, (*height_width, 1)) or stored.dtype.kind not in "iub":
        raise DataError(f"its label is no mask of class numbers for {height_width}: {stored.dtype} {stored.shape}")
    mask = stored[...].reshape(height_width)
    if mask.size and not (mask.min() >= 0 and mask.max() <= 255):
        raise DataError(f"its mask holds class numbers from {mask.min()} to {mask.max()}; masks hold 0 to 255")
    return np.asarray(mask, dtype=np.uint8)
