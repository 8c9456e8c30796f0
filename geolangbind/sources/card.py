"""Dataset cards: `datasets/<name>/card.yaml`, what is known about a source and where its parts lie on disk.

A card is data. It names registered readers and sensors, never code; what nobody knows says `unknown`. Importable without torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from geolangbind.data.sample import ENCODINGS, Encoding
from geolangbind.errors import SettingsError
from geolangbind.paths import cards_dir
from geolangbind.sensors import get_sensor
from geolangbind.sensors.records import nearest
from geolangbind.sensors.units import Unit

UNKNOWN = "unknown"
TASKS = ("train", "zero_shot", "multi_label", "fine_grained", "retrieval", "segmentation")
FITS = ("whole", "tile", "squash")
READERS = ("files", "table", "arrays", "coco", "voc", "torchgeo", "geobench")
CAPTION_RULES = ("given", "labels", "boxes", "mask", "tags")


@dataclass(frozen=True)
class Place:
    """One way a view's samples lie on disk: which reader lists them, and what it is told.

    Attributes:
        reader: one of `READERS`.
        spec: what follows the reader's name in the card: a pattern, a file, a class of torchgeo.
        options: the other keys of the entry; each reader checks its own.
    """

    reader: str
    spec: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class View:
    """A source as one sensor sees it.

    Attributes:
        name: word that begins the keys of its samples (`msi` in `msi-Forest_12`), so without `-`.
        sensor: name of the sensor record, or the path of a YAML file.
        bands: band names in the order stored; None where the files name them.
        unit: unit after scale and offset; None where the sensor's rule or the files decide.
        scale: unit = stored * scale + offset; None where the sensor's rule or the files decide.
        offset: see `scale`.
        nodata: stored number without data.
        gsd_m: metres per pixel where the files are not georeferenced; None if unknown.
        size_px: side of a chip for the fits `tile` and `squash`; for `whole` the side that the files are said to have.
        fit: `whole` stores images as they are, `tile` cuts them into windows, `squash` resizes them to a square.
        encoding: how pixels are stored; None for the default of their shape and type.
        places: where its files lie; the first one found under the root is read.
    """

    name: str
    sensor: str
    places: tuple[Place, ...]
    bands: tuple[str, ...] | None = None
    unit: Unit | None = None
    scale: float | None = None
    offset: float | None = None
    nodata: float | None = None
    gsd_m: float | None = None
    size_px: int | None = None
    fit: str = "whole"
    encoding: Encoding | None = None


@dataclass(frozen=True)
class Card:
    """What is known about a source. Texts may be `unknown`.

    Attributes:
        name: the folder's name.
        title: one line for people.
        tasks: what it is used for, of `TASKS`.
        licence: terms of the data, as the source states them.
        source: where to get it.
        revision: version, commit or date of the source that the counts hold for.
        views: by name.
        product_level: processing level of the pixels, as the source states it.
        citation: the publication.
        splits: expected number of samples by split; None where unknown.
        classes: by class name of the files, the words for it; the first one goes into captions.
        mask_classes: class name by value of the masks.
        label_from_mask: share of a chip's labelled pixels that makes a mask's class the chip's: the most frequent class if it covers so
            much, with the task `multi_label` every class that does. None for sources whose samples have classes of their own.
        prompts: templates with one `{}` for zero-shot sentences, where the source's protocol states some; else the modality's own.
        captions: rules that write captions, in order, of `CAPTION_RULES`.
        contamination: what is known about overlap with other sources, one line each.
        notes: what a user should know before building.
        sha256: hash of the card's bytes.
    """

    name: str
    title: str
    tasks: tuple[str, ...]
    licence: str
    source: str
    revision: str
    views: Mapping[str, View]
    product_level: str = UNKNOWN
    citation: str = UNKNOWN
    splits: Mapping[str, int | None] = field(default_factory=dict)
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    mask_classes: Mapping[int, str] = field(default_factory=dict)
    label_from_mask: float | None = None
    prompts: tuple[str, ...] = ()
    captions: tuple[str, ...] = ("given", "labels")
    contamination: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    sha256: str = ""

    def words(self, class_name: str) -> str:
        """The words for a class in captions: the first of its phrases, else its name with `_` as a space."""
        return self.classes.get(class_name, (class_name.replace("_", " "),))[0]


def list_cards() -> list[str]:
    """Names of the cards that ship with the package."""
    return sorted(path.parent.name for path in cards_dir().glob("*/card.yaml"))


def load_card(which: Path | str) -> Card:
    """Read a card.

    Args:
        which: a card file, a folder that holds `card.yaml` (`datasets/eurosat`), or the name of a card that ships (`eurosat`).

    Raises:
        SettingsError: there is none, or it has an unknown key, a missing one or a wrong value.
        SensorError: a view names a sensor or band that is not known.
        UnitError: a view's unit is unknown.
    """
    path = _find(which)
    try:
        content = path.read_bytes()
        document = yaml.safe_load(content)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f"{path}: not a card: {' '.join(str(error).split())}") from None
    try:
        return parse_card(document, sha256(content).hexdigest(), path.parent)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from None


def _find(which: Path | str) -> Path:
    path = Path(which)
    # `datasets/eurosat` means the card that ships also where no checkout is at hand
    candidates = (path, path / "card.yaml", cards_dir() / path.name / "card.yaml")
    found = next((candidate for candidate in candidates if candidate.is_file()), None)
    if found is None:
        hint = nearest(path.name, list_cards())
        raise SettingsError(f"{which}: no card there{hint}; `geolangbind datasets` lists those that ship, or give a card.yaml of yours")
    return found


def parse_card(document: object, digest: str, folder: Path) -> Card:
    """Check what a card says.

    Args:
        document: as YAML gives it.
        digest: hash of the card's text.
        folder: where sensor files that it names may lie.

    Raises:
        SettingsError, SensorError, UnitError: see `load_card`.
    """
    raw = mapping(document, "the card", [f.name for f in fields(Card) if f.name != "sha256"])
    for name in ("name", "title", "tasks", "licence", "source", "revision", "views"):
        if name not in raw:
            raise SettingsError(f"needs '{name}' (write unknown where nobody knows)")
    known: dict[str, Any] = {name: str(raw[name]) for name in ("name", "title", "licence", "source", "revision")}
    known |= {name: str(raw[name]) for name in ("product_level", "citation") if name in raw}
    known |= {name: texts(raw[name], name) for name in ("prompts", "contamination", "notes") if name in raw}
    known["tasks"] = _choices(raw["tasks"], "tasks", TASKS)
    known["captions"] = _choices(raw.get("captions", ["given", "labels"]), "captions", CAPTION_RULES)
    known["splits"] = {str(name): _count(count, name) for name, count in mapping(raw.get("splits", {}), "splits").items()}
    known["classes"] = {str(name): texts(words, f"classes.{name}") for name, words in mapping(raw.get("classes", {}), "classes").items()}
    known["mask_classes"] = {_value(key): str(name) for key, name in mapping(raw.get("mask_classes", {}), "mask_classes").items()}
    if raw.get("label_from_mask") is not None:
        known["label_from_mask"] = _number(raw["label_from_mask"], "label_from_mask")
    views = mapping(raw["views"], "views")
    if not views:
        raise SettingsError("views must name at least one view of the source")
    known["views"] = {str(name): _view(str(name), view, folder) for name, view in views.items()}
    if any(prompt.count("{}") != 1 for prompt in known.get("prompts", ())):
        raise SettingsError("prompts must hold one {} each, where the class goes")
    return Card(**known, sha256=digest)


def _view(name: str, document: object, folder: Path) -> View:
    where = f"view {name}"
    if not name.isidentifier() or len(name) > 16:
        raise SettingsError(f"{where}: the name begins the samples' keys; use up to 16 letters, digits and '_'")
    raw = mapping(document, where, [*(f.name for f in fields(View) if f.name not in ("name", "places")), "from"])
    if "sensor" not in raw or not raw.get("from"):
        raise SettingsError(f"{where}: needs 'sensor' and 'from' (where its files lie)")
    raw = {key: value for key, value in raw.items() if value != UNKNOWN}
    sensor = str(raw["sensor"])
    own = folder / sensor  # a sensor file may lie beside the card
    record = get_sensor(own if own.suffix in (".yaml", ".yml") and own.is_file() else sensor)
    known: dict[str, Any] = {"name": name, "sensor": str(own) if own.is_file() else record.name}
    if "bands" in raw:
        known["bands"] = tuple(band.name for band in record.select(bands=list(texts(raw["bands"], f"{where}: bands"))))
    if "unit" in raw:
        known["unit"] = Unit.parse(str(raw["unit"]))
    known |= {key: _number(raw[key], f"{where}: {key}") for key in ("scale", "offset", "nodata", "gsd_m") if key in raw}
    if "size_px" in raw:
        known["size_px"] = _count(raw["size_px"], f"{where}: size_px")
    known["fit"] = _choices([raw.get("fit", "whole")], f"{where}: fit", FITS)[0]
    if known["fit"] != "whole" and "size_px" not in known:
        raise SettingsError(f"{where}: fit {known['fit']} needs size_px, the side of a chip")
    if "encoding" in raw:
        known["encoding"] = _choices([raw["encoding"]], f"{where}: encoding", ENCODINGS)[0]
    entries = raw["from"] if isinstance(raw["from"], list) else [raw["from"]]
    return View(**known, places=tuple(_place(entry, where) for entry in entries))


def _place(entry: object, where: str) -> Place:
    raw = mapping(entry, f"{where}: from")
    readers = [reader for reader in READERS if reader in raw]
    if len(readers) != 1:
        raise SettingsError(f"{where}: each entry of 'from' names one reader, of {', '.join(READERS)}; got {', '.join(map(str, raw))}")
    return Place(readers[0], str(raw[readers[0]]), {str(key): value for key, value in raw.items() if key != readers[0]})


def mapping(value: object, where: str, allowed: Sequence[str] | None = None) -> dict[Any, Any]:
    """Check that a value of a document is a mapping, of no keys but `allowed`.

    Raises:
        SettingsError: names the place, and the nearest key.
    """
    if not isinstance(value, dict):
        raise SettingsError(f"{where} must hold 'key: value' lines, got {type(value).__name__}")
    for key in value:
        if allowed is not None and key not in allowed:
            raise SettingsError(f"{where} has an unknown key '{key}'{nearest(str(key), allowed)}; keys are {', '.join(allowed)}")
    return value


def texts(value: object, where: str) -> tuple[str, ...]:
    """Check that a value of a document is a list of texts.

    Raises:
        SettingsError: names the place.
    """
    if not isinstance(value, list) or not all(isinstance(item, str | int | float) for item in value):
        raise SettingsError(f"{where} must be a list of texts")
    return tuple(str(item) for item in value)


def _choices(value: object, where: str, valid: Sequence[str]) -> tuple[str, ...]:
    chosen = texts(value, where)
    for item in chosen:
        if item not in valid:
            raise SettingsError(f"{where}: '{item}' is unknown{nearest(item, valid)}; choose from {', '.join(valid)}")
    return chosen


def _number(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SettingsError(f"{where} must be a number or unknown, got '{value}' (write 0.0001 rather than 1e-4)")
    return float(value)


def _count(value: object, where: object) -> int | None:
    if value == UNKNOWN:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise SettingsError(f"{where} must be a whole number above 0, or unknown; got '{value}'")
    return value


def _value(key: object) -> int:
    if isinstance(key, bool) or not isinstance(key, int) or not 0 <= key <= 255:
        raise SettingsError(f"mask_classes: '{key}' is no value of an 8-bit mask")
    return key
