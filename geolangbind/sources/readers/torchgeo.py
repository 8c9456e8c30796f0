"""Datasets that torchgeo knows: `{torchgeo: EuroSAT, splits: {train: {split: train}, test: {split: test}}}`.

Images are the files that torchgeo lists, so their numbers are those that rasterio reads. What is no such file is opened here: some of a
file's channels, masks that are coloured pictures (they become the index of the class in the dataset's `classes`, as torchgeo does it;
colours of no class are class 0), and So2Sat's HDF5, whose numbers stay as stored (float64).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from geolangbind.data.raster_grid import bounds_wgs84
from geolangbind.data.raster_source import opened
from geolangbind.errors import DataError, SensorError, SettingsError
from geolangbind.sensors import get_sensor
from geolangbind.sensors.records import find_band, nearest
from geolangbind.sources.card import Card, Place, View
from geolangbind.sources.readers.checks import distinct_places
from geolangbind.sources.readers.options import check_options, texts_option
from geolangbind.sources.readers.torchgeo_layouts import CHANNELS, COLOUR_MASKS, LAYOUTS, Dataset
from geolangbind.sources.record import Content, Item, Record

_ARGUMENTS = ("split", "version", "bands", "num_classes", "task", "scene")
"""Arguments of torchgeo's classes that a card may give; none of them is a path, an address or a function."""
_DAMAGE = (OSError, ValueError, LookupError, AttributeError, RuntimeError, BadZipFile)
"""What torchgeo and the libraries below it raise where they meet damaged files."""


def records(root: Path, place: Place, card: Card, view: View) -> list[Record]:
    """List the samples of the splits that are there.

    Nothing is downloaded, but archives that lie where torchgeo looks for them are unpacked beside themselves, as it does.

    Options:
        splits: by split the arguments of the class; absent for a dataset without splits.
        options: arguments for all splits.
        channels: bands in the order of the files' channels, where the class does not tell.

    Raises:
        DataError: the files are there but damaged.
        SensorError: the view wants a band that the files do not hold.
        SettingsError: the class, an option or an argument is unknown.
    """
    check_options(place, ("splits", "options", "channels"))
    if place.spec not in LAYOUTS:
        raise SettingsError(f"torchgeo: no dataset '{place.spec}' here{nearest(place.spec, list(LAYOUTS))}; there are {', '.join(LAYOUTS)}")
    found: list[Record] = []
    for split, own in _splits(place).items():
        dataset, listed = _listed(place.spec, root, json.dumps(own, sort_keys=True))
        if dataset is None:
            continue
        channels = None if view.bands is None else _channels(place, view, dataset)
        for number, record in enumerate(listed):
            image = record.image
            if channels is not None or place.spec in (*COLOUR_MASKS, "So2Sat"):
                file = image if isinstance(image, Path) else None
                image = Item("torchgeo", root, place.spec, {"arguments": own, "channels": channels}, number, file)
            found.append(replace(record, split=split, image=image))
    return distinct_places(found, root)


def open_item(item: Item) -> Content:
    """Read the numbers and the mask of one sample.

    Raises:
        DataError: its files cannot be read.
    """
    dataset, listed = _listed(item.spec, item.root, json.dumps(item.options["arguments"], sort_keys=True))
    if item.number >= len(listed):
        raise DataError(f"{item.root}: the files of {item.spec} changed while they were read; build again")
    record = listed[item.number]
    if item.spec == "So2Sat":
        return Content(_so2sat(dataset, item.number))
    channels: Sequence[int] | None = item.options["channels"]
    with opened(Path(str(record.image))) as file:
        image = file.read(None if channels is None else [channel + 1 for channel in channels])
        bounds = bounds_wgs84(file.crs, file.transform, (0, 0, file.width, file.height))
    return Content(image, None if record.mask is None else _mask(record.mask, dataset, item.spec), bounds_wgs84=bounds)


@lru_cache(maxsize=8)
def _listed(name: str, root: Path, arguments: str) -> tuple[Dataset, list[Record]]:
    """Return the dataset, or None where it is not there, and its samples."""
    from torchgeo import datasets

    kept: dict[str, Any] = json.loads(arguments)
    kind = getattr(datasets, name)
    if issubclass(kind, datasets.NonGeoClassificationDataset):
        # a class that has no image in this split is no failure
        kind = type(name, (kind,), {"make_dataset": staticmethod(partial(_with_empty_classes, kind.make_dataset))})
    try:
        dataset = kind(root=root, **kept)
    except (datasets.DatasetNotFoundError, FileNotFoundError):
        return None, []
    except ImportError as error:
        raise SettingsError(f"torchgeo {name} needs another package: {error}; pip install 'geolangbind[parquet]' brings pyarrow") from None
    except (AssertionError, TypeError) as error:
        raise SettingsError(f"torchgeo {name} does not take {kept}: {error or 'a value is none of its choices'}") from None
    except _DAMAGE as error:
        raise DataError(f"{root}: {name} is there but cannot be read: {type(error).__name__} {error}") from None
    try:
        listed = LAYOUTS[name](dataset)
    except (*_DAMAGE, TypeError) as error:
        raise DataError(f"{root}: {name} is there but cannot be listed: {type(error).__name__} {error}") from None
    for record in listed:
        path = Path(str(record.image))
        if not path.is_relative_to(root) or ".." in path.relative_to(root).parts:
            raise DataError(f"{root}: {name} lists {path}, which does not lie there")
    return dataset, listed


def _with_empty_classes(make_dataset: Callable[..., Any], *given: Any, **named: Any) -> Any:  # noqa: ANN401 - passes torchvision's on
    return make_dataset(*given, **{**named, "allow_empty": True})


def _splits(place: Place) -> dict[str | None, dict[str, Any]]:
    """Return the arguments of the class by split."""
    shared, splits = place.options.get("options", {}), place.options.get("splits", {})
    if not isinstance(splits, dict) or not all(isinstance(own, dict) for own in (shared, *splits.values())):
        raise SettingsError(f"torchgeo {place.spec}: write 'splits: {{train: {{split: train}}}}' and 'options: {{bands: s2}}'")
    for name in {name for own in (shared, *splits.values()) for name in own}:
        if name not in _ARGUMENTS:
            hint = nearest(str(name), _ARGUMENTS)
            raise SettingsError(f"torchgeo {place.spec}: argument '{name}' cannot be set{hint}; those that can are {', '.join(_ARGUMENTS)}")
    return {split: {**shared, **own} for split, own in (splits or {None: {}}).items()}


def _channels(place: Place, view: View, dataset: Dataset) -> tuple[int, ...] | None:
    """Return which channels of a file the view wants, in its order; None for the file as it is."""
    wanted = view.bands or ()
    if place.spec == "So2Sat":
        if len(dataset.bands) != len(wanted):
            raise SettingsError(
                f"torchgeo So2Sat: name one of its bands for each of {','.join(wanted)}, as in 'options: {{bands: [S2_B02]}}'"
            )
        return None
    order = texts_option(place, "channels") or CHANNELS.get(place.spec, ())
    if not order:
        return None
    sensor = get_sensor(view.sensor)
    stored = [None if (band := find_band(sensor.bands, name)) is None else band.name for name in order]
    for name in wanted:
        if name not in stored:
            raise SensorError(f"torchgeo {place.spec}: no channel is {name} of {sensor.name}; the files hold {','.join(order)}")
    chosen = tuple(stored.index(name) for name in wanted)
    return None if chosen == tuple(range(len(order))) else chosen


def _so2sat(dataset: Dataset, number: int) -> NDArray[Any]:
    import h5py

    order = {"S1": dataset.all_s1_band_names, "S2": dataset.all_s2_band_names}
    try:
        with h5py.File(dataset.fn) as file:
            pixels = {"S1": file["sen1"][number], "S2": file["sen2"][number]}
        return np.stack([pixels[band[:2]][..., order[band[:2]].index(band)] for band in dataset.bands])
    except (OSError, RuntimeError, LookupError, ValueError) as error:  # as h5py meets the damage
        raise DataError(f"{dataset.fn}: sample {number} is not readable: {error}") from None


def _mask(path: Path, dataset: Dataset, name: str) -> NDArray[np.uint8]:
    from torchgeo.datasets.utils import rgb_to_mask

    with opened(path) as file:
        stored = file.read()
    if name in COLOUR_MASKS and len(stored) >= 3:
        stored = rgb_to_mask(stored[:3].transpose(1, 2, 0), list(dataset.colormap))[None]
    if len(stored) != 1 or stored.dtype != np.uint8:
        raise DataError(f"{path}: a mask is one channel of 8-bit class numbers, this has {len(stored)} of {stored.dtype}")
    return np.asarray(stored[0])
