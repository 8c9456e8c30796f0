"""Datasets that torchgeo knows: `{torchgeo: EuroSAT, splits: {train: {split: train}, test: {split: test}}}`.

Options: `splits` (arguments of the class by split), `options` (arguments for all splits), `channels` (what the channels of the files are,
where that is not known for the class). Nothing is downloaded. Archives that lie where torchgeo looks for them are unpacked beside themselves.

Images are the files that torchgeo lists, so their numbers are those that rasterio reads. A view that wants some of a file's channels, masks
that are coloured pictures and So2Sat's HDF5 are opened here as items: masks then hold the index of the class in the dataset's `classes`
(colours of no class are class 0, as in torchgeo), So2Sat's numbers stay float64 as stored.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import rasterio
from numpy.typing import NDArray

from geolangbind.errors import DataError, SensorError, SettingsError
from geolangbind.sensors import get_sensor
from geolangbind.sensors.records import find_band, nearest
from geolangbind.sources.card import Card, Place, View
from geolangbind.sources.readers.checks import check_options, distinct_places
from geolangbind.sources.readers.torchgeo_layouts import CHANNELS, COLOUR_MASKS, LAYOUTS
from geolangbind.sources.record import Content, Item, Record

_ARGUMENTS = ("split", "version", "bands", "num_classes", "task", "scene")
"""Arguments of torchgeo's classes that a card may give; none of them is a path, an URL or a function."""


def records(root: Path, place: Place, card: Card, view: View) -> list[Record]:
    """List the samples of the splits that are there.

    Raises:
        DataError: the files are there but damaged.
        SensorError: the view wants a band that the files do not hold.
        SettingsError: the class or an argument is unknown.
    """
    options = check_options(place, ("splits", "options", "channels"))
    if place.spec not in LAYOUTS:
        raise SettingsError(f"torchgeo: unknown dataset '{place.spec}'{nearest(place.spec, list(LAYOUTS))}; choose from {', '.join(LAYOUTS)}")
    found: list[Record] = []
    for split, own in (options.get("splits") or {None: {}}).items():
        arguments = {**options.get("options", {}), **(own or {})}
        dataset, listed = _listed(place.spec, root, json.dumps(arguments, sort_keys=True))
        if dataset is None:
            continue
        channels = _channels(place, view, dataset)
        opened = channels is not None or place.spec in (*COLOUR_MASKS, "So2Sat")
        for number, record in enumerate(listed):
            item = Item("torchgeo", root, place.spec, {"arguments": arguments, "channels": channels}, number)
            # the place must be made distinct by the file's path, so items come after
            found.append(replace(record, split=split, mask=None if place.spec in COLOUR_MASKS else record.mask, image=item if opened else record.image))
    return distinct_places(found, root)


def open_item(item: Item) -> Content:
    """Read one sample.

    Raises:
        DataError: the file cannot be read.
    """
    dataset, listed = _listed(item.spec, item.root, json.dumps(item.options["arguments"], sort_keys=True))
    if dataset is None or item.number >= len(listed):
        raise DataError(f"{item.root}: the files of {item.spec} changed while they were read; build again")
    record, channels = listed[item.number], item.options["channels"]
    if not isinstance(record.image, Path):
        raise TypeError("layouts list files")
    try:
        if item.spec == "So2Sat":
            return Content(_so2sat(dataset, item.number))
        with rasterio.open(record.image) as file:
            image = file.read(None if channels is None else [channel + 1 for channel in channels])
        return Content(image, mask=_class_mask(record.mask, dataset.colormap) if item.spec in COLOUR_MASKS and record.mask else None)
    except (OSError, rasterio.errors.RasterioError, IndexError) as error:
        raise DataError(f"{record.image}: not readable: {error}") from None


@lru_cache(maxsize=8)
def _listed(name: str, root: Path, arguments: str) -> tuple[Any, list[Record]]:
    """Return the dataset, or None where it is not there, and its samples."""
    from torchgeo import datasets
    from torchvision.datasets import ImageFolder

    kept: dict[str, Any] = json.loads(arguments)
    for argument in kept:
        if argument not in _ARGUMENTS:
            hint = nearest(argument, _ARGUMENTS)
            raise SettingsError(f"torchgeo {name}: argument '{argument}' cannot be set{hint}; those that can are {', '.join(_ARGUMENTS)}")
    kind = getattr(datasets, name)
    if issubclass(kind, ImageFolder):
        # a class without an image in this split is no failure
        kind = type(name, (kind,), {"make_dataset": staticmethod(partial(_with_empty_classes, kind.make_dataset))})
    try:
        dataset = kind(root=root, **kept)
        return dataset, LAYOUTS[name](dataset)
    except (datasets.DatasetNotFoundError, FileNotFoundError):
        return None, []
    except (AssertionError, TypeError) as error:
        raise SettingsError(f"torchgeo {name}: does not take {kept}: {error or 'a value is not one of its choices'}") from None
    except (OSError, ValueError, LookupError, AttributeError, RuntimeError, BadZipFile) as error:
        raise DataError(f"{root}: {name} is there but cannot be read: {type(error).__name__} {error}") from None


def _with_empty_classes(make_dataset: Any, *given: Any, **named: Any) -> Any:
    return make_dataset(*given, **{**named, "allow_empty": True})


def _channels(place: Place, view: View, dataset: Any) -> tuple[int, ...] | None:
    """Return which channels of a file the view wants, in its order; None for the file as it is."""
    if view.bands is None:
        return None
    if place.spec == "So2Sat":
        if len(dataset.bands) != len(view.bands):
            raise SettingsError(f"torchgeo So2Sat: the view has {len(view.bands)} bands; name as many of torchgeo's under 'options: {{bands: []}}'")
        return None
    order: Sequence[str] = place.options.get("channels") or CHANNELS.get(place.spec.removesuffix("100").removesuffix("Spatial"), ())
    if not order:
        return None
    sensor = get_sensor(view.sensor)
    stored = [None if (band := find_band(sensor.bands, str(name))) is None else band.name for name in order]
    for name in view.bands:
        if name not in stored:
            raise SensorError(f"torchgeo {place.spec}: no channel is {name} of {view.sensor}; the files hold {', '.join(map(str, order))}")
    chosen = tuple(stored.index(name) for name in view.bands)
    return None if chosen == tuple(range(len(order))) else chosen


def _so2sat(dataset: Any, number: int) -> NDArray[Any]:
    import h5py

    with h5py.File(dataset.fn) as file:
        pixels = {"S1": file["sen1"][number], "S2": file["sen2"][number]}
    order: Mapping[str, Sequence[str]] = {"S1": dataset.all_s1_band_names, "S2": dataset.all_s2_band_names}
    return np.stack([pixels[band[:2]][..., order[band[:2]].index(band)] for band in dataset.bands])


def _class_mask(path: Path, colormap: Sequence[tuple[int, int, int]]) -> NDArray[np.uint8]:
    from torchgeo.datasets.utils import rgb_to_mask

    with rasterio.open(path) as file:
        picture = file.read([1, 2, 3]).transpose(1, 2, 0)
    return np.asarray(rgb_to_mask(picture, list(colormap)), dtype=np.uint8)
