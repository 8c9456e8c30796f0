"""What the samples of each supported torchgeo dataset are, read from its public attributes: files, labels, captions, boxes.

torchgeo knows a dataset's layout and splits; its tensors are not used, because many of its classes change what they load (UCMerced resizes,
BigEarthNet and EuroSAT cast to int32 or float32, MMFlood reprojects and fills). The files it lists are read instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from geolangbind.captions import Caption
from geolangbind.errors import SettingsError
from geolangbind.sources.readers.checks import read_json
from geolangbind.sources.readers.voc import read_annotation
from geolangbind.sources.record import Record

Dataset: TypeAlias = Any
"""An object of a class of torchgeo.datasets, which is imported late and has no types."""


def _class_folders(dataset: Dataset) -> list[Record]:
    return [Record(Path(path).stem, Path(path), classes=(dataset.classes[number],)) for path, number in dataset.imgs]


def _million_aid(dataset: Dataset) -> list[Record]:
    return [Record(Path(row["image"]).stem, Path(row["image"]), classes=tuple(row["label"])) for row in dataset.files]


def _skyscript(dataset: Dataset) -> list[Record]:
    source = f"given:{dataset.caption_files[dataset.split]}"
    rows = dataset.captions.iloc[:, :2].itertuples(index=False, name=None)
    return [Record(Path(path).stem, Path(dataset.root, path), captions=(Caption(str(text), source),)) for path, text in rows]


def _mmflood(dataset: Dataset) -> list[Record]:
    masks = {Path(path).name: Path(path) for path in dataset.mask.files}
    return [Record(Path(path).stem, Path(path), mask=masks.get(Path(path).name)) for path in dataset.image.files]


def _mask_files(dataset: Dataset) -> list[Record]:
    return [Record(Path(row["image"]).stem, Path(row["image"]), mask=Path(row["mask"]) if "mask" in row else None) for row in dataset.files]


def _bigearthnet(dataset: Dataset) -> list[Record]:
    """Folders of bands. The place is the Sentinel-2 patch for both sensors, so that their views pair."""
    if dataset.bands == "all":
        raise SettingsError("torchgeo BigEarthNet: a view shows one sensor; say 'options: {bands: s2}' or s1")
    names = dataset.class_sets[43]
    found = []
    for folders in dataset.folders:
        labels = next(Path(folders[dataset.bands]).glob("*.json"), None)
        classes = () if labels is None else tuple(read_json(labels)["labels"])
        if dataset.num_classes == 19:
            fewer = [dataset.label_converter.get(names.index(name)) for name in classes]
            classes = tuple(dataset.class_sets[19][number] for number in sorted({number for number in fewer if number is not None}))
        found.append(Record(Path(folders["s2"]).name, Path(folders[dataset.bands]), classes=classes))
    return found


def _bigearthnet_v2(dataset: Dataset) -> list[Record]:
    """As `_bigearthnet`. The reference maps hold CORINE codes above 255 and are left out."""
    if dataset.bands == "all":
        raise SettingsError("torchgeo BigEarthNetV2: a view shows one sensor; say 'options: {bands: s2}' or s1")
    folder = Path(dataset.root, dataset.dir_file_names[dataset.bands])
    found = []
    for row in dataset.metadata_df.itertuples():
        # the tile's folder bears the name without the patch's numbers, for Sentinel-1 also without the tile
        name, tail = (row.patch_id, 2) if dataset.bands == "s2" else (row.s1_name, 3)
        found.append(Record(row.patch_id, folder / name.rsplit("_", tail)[0] / name, classes=tuple(row.labels)))
    return found


def _dior(dataset: Dataset) -> list[Record]:
    """The test split of the published files has no boxes."""
    found = []
    for row in dataset.sample_df.itertuples():
        annotation = Path(dataset.root, str(row.label_path)) if isinstance(row.label_path, str) else None
        boxes = read_annotation(annotation)[1] if annotation is not None and annotation.is_file() else ()
        found.append(Record(Path(row.image_path).stem, Path(dataset.root, row.image_path), boxes=boxes))
    return found


def _so2sat(dataset: Dataset) -> list[Record]:
    import h5py

    with h5py.File(dataset.fn) as file:
        labels = file["label"][:].argmax(axis=1)
    stem = Path(dataset.fn).stem
    return [Record(f"{stem}-{number}", Path(dataset.fn), classes=(dataset.classes[label],)) for number, label in enumerate(labels)]


LAYOUTS: Mapping[str, Callable[[Dataset], list[Record]]] = {
    "BigEarthNet": _bigearthnet,
    "BigEarthNetV2": _bigearthnet_v2,
    "DIOR": _dior,
    "EuroSAT": _class_folders,
    "EuroSAT100": _class_folders,
    "EuroSATSpatial": _class_folders,
    "LoveDA": _mask_files,
    "MMFlood": _mmflood,
    "MillionAID": _million_aid,
    "PatternNet": _class_folders,
    "Potsdam2D": _mask_files,
    "RESISC45": _class_folders,
    "SkyScript": _skyscript,
    "So2Sat": _so2sat,
    "UCMerced": _class_folders,
    "Vaihingen2D": _mask_files,
}
"""The classes of torchgeo.datasets that cards may name."""

_EUROSAT = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B09", "B10", "B11", "B12", "B8A")

CHANNELS: Mapping[str, tuple[str, ...]] = {
    "EuroSAT": _EUROSAT,
    "EuroSAT100": _EUROSAT,
    "EuroSATSpatial": _EUROSAT,
    "MMFlood": ("VV", "VH"),
    "Potsdam2D": ("red", "green", "blue", "nir"),
    "Vaihingen2D": ("nir", "red", "green"),
}
"""What the channels of the files are, where a view may want some of them."""

COLOUR_MASKS = ("Potsdam2D", "Vaihingen2D")
"""Datasets whose masks are pictures with a colour of `colormap` for each class."""
