"""Samples that a table lists: CSV, TSV, JSON or JSON lines with one row per image, or one per caption.

Example: `{table: "dataset_rsicd.json", items: images, image: "RSICD_images/{filename}", captions: "sentences[].raw", split: split}`.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from geolangbind.captions import Caption, merge
from geolangbind.errors import DataError
from geolangbind.sources.card import Card, Place, View
from geolangbind.sources.readers.options import check_options, mapping_option, mask_options, text_option, texts_option
from geolangbind.sources.readers.patterns import fill, find, split_name
from geolangbind.sources.record import Record

Row = Mapping[str, Any]

_OPTIONS = (
    "image", "items", "columns", "delimiter", "quoting", "place", "captions", "class", "class_names", "split", "tags",
    "mask", "mask_colors", "mask_values", "stack", "where",
)  # fmt: skip


def records(root: Path, place: Place, card: Card, view: View) -> list[Record]:
    """List the images that the rows name; rows of one image add up.

    Options, fields written as in `sentences[].raw` (names with dots, `[]` for each of a list):
        image: pattern of the image's path; `{name}` is a field of the row or a name of the table's own pattern.
        items: field of a JSON document that holds the rows, or `.` if the document is one row; absent, it is a list of rows, rows by
            name, or one row.
        columns: names of the columns, for tables without a first line that says them (a list).
        delimiter: between the columns, if neither comma nor, in a `.tsv`, tabulator.
        place: pattern of the sample's identity; the image's name if absent.
        captions: one field or several.
        class: field of the class name, or of a list of them.
        class_names: file with a class name a line, for tables whose class is a line's number, from 0.
        split: field of the split; else the table's own `{split}`.
        tags: field of a mapping or of a text `key=value; key=value`.
        mask: pattern of the mask's path; `mask_colors` and `mask_values` as in `files`.
        stack: patterns of further files whose channels follow those of the image.
        quoting: `none` for tables whose quotation marks are letters.
        where: fields with the text they must have, to read some rows only.

    Raises:
        SettingsError: an unknown option or an impossible pattern.
        DataError: a table cannot be read or lacks a field; the message names file and row.
    """
    check_options(place, _OPTIONS)
    names = _class_names(root, place)
    by_place: dict[str, Record] = {}
    for table, said in find(root, place.spec):
        for number, row in enumerate(_rows(table, place), start=1):
            try:
                record = _record(root, place, {**said, **row}, table.name, names)
            except DataError as error:
                raise DataError(f"{table}, row {number}: {error}") from None
            if record is not None:
                known = by_place.get(record.place)
                by_place[record.place] = record if known is None else _joined(known, record)
    return list(by_place.values())


def _record(root: Path, place: Place, row: Row, table: str, names: Sequence[str]) -> Record | None:
    if any(_first(row, name) != wanted for name, wanted in mapping_option(place, "where").items()):
        return None
    values = {name: value for name, value in _flat(row) if value not in (None, "")}
    image = fill(root, text_option(place, "image") or "{image}", values)
    identity, mask = text_option(place, "place"), text_option(place, "mask")
    classes, split, tags = (text_option(place, name) for name in ("class", "split", "tags"))
    return Record(
        place=image.relative_to(root).with_suffix("").as_posix()
        if identity is None
        else fill(root, identity, values).relative_to(root).as_posix(),
        image=image,
        split=split_name(_first(row, split) if split else row.get("split")),
        classes=tuple(_named(text, names) for text in _texts(row, classes) if text) if classes else (),
        captions=tuple(Caption(text, f"given:{table}") for name in texts_option(place, "captions") for text in _texts(row, name) if text),
        mask=None if mask is None else fill(root, mask, values),
        stack=tuple(fill(root, pattern, values) for pattern in texts_option(place, "stack")),
        tags=_tags(_pick(row, tags)) if tags else {},
        **mask_options(place),
    )


def _joined(known: Record, more: Record) -> Record:
    """A second row of an image adds its captions and classes."""
    classes = (*known.classes, *(name for name in more.classes if name not in known.classes))
    return replace(known, captions=merge((*known.captions, *more.captions)), classes=classes, tags={**known.tags, **more.tags})


def _rows(path: Path, place: Place) -> Iterator[Row]:
    items = text_option(place, "items")
    try:
        if path.suffix == ".json":
            with path.open(encoding="utf-8-sig") as file:
                document = json.load(file)
            rows = document if items in (None, ".") else _one(document, items)
            if items == ".":
                rows = [document]
            elif isinstance(rows, dict):  # rows by name, or one row
                rows = list(rows.values()) if rows and all(isinstance(row, dict) for row in rows.values()) else [rows]
            yield from (row if isinstance(row, dict) else {"value": row} for row in rows)
            return
        with path.open(encoding="utf-8-sig", newline="") as file:
            if path.suffix == ".jsonl":
                yield from (json.loads(line) for line in file if line.strip())
                return
            csv.field_size_limit(2**31 - 1)  # long captions
            delimiter = text_option(place, "delimiter") or ("\t" if path.suffix == ".tsv" else ",")
            dialect: dict[str, Any] = {"delimiter": delimiter}
            if text_option(place, "quoting") == "none":
                dialect |= {"quoting": csv.QUOTE_NONE, "quotechar": None}
            yield from csv.DictReader(file, texts_option(place, "columns") or None, **dialect)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, TypeError, AttributeError, csv.Error, RecursionError) as error:
        raise DataError(f"{path}: is no table of the kind its name says: {error}") from None


def _class_names(root: Path, place: Place) -> list[str]:
    name = text_option(place, "class_names")
    if name is None or not (root / name).is_file():
        return []
    try:
        return [line.strip() for line in (root / name).read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{root / name}: cannot be read: {error}") from None


def _named(text: str, names: Sequence[str]) -> str:
    """The class name that a number stands for, where there is a list of them."""
    return names[int(text)] if text.isascii() and text.isdigit() and int(text) < len(names) else text


def _one(document: object, name: str) -> Any:  # noqa: ANN401 - JSON
    for part in name.split("."):
        if not isinstance(document, dict) or part not in document:
            raise DataError(f"has no field '{part}' of '{name}'")
        document = document[part]
    return document


def _pick(row: Row, name: str) -> list[Any]:
    """Values of a field; `a[].b` gives one per item of the list `a`."""
    values: list[Any] = [row]
    for part in name.split("."):
        each, key = part.endswith("[]"), part.removesuffix("[]")
        if any(not isinstance(value, dict) or key not in value for value in values):
            raise DataError(f"has no field '{name}'; it has {', '.join(map(str, row))}")
        values = [value[key] for value in values]
        values = [item for value in values for item in (value if isinstance(value, list) else [value])] if each else values
    return values


def _texts(row: Row, name: str) -> list[str]:
    found = [item for value in _pick(row, name) for item in (value if isinstance(value, list) else [value])]
    return [str(item).strip() for item in found if item is not None]


def _first(row: Row, name: str) -> str | None:
    return next(iter(_texts(row, name)), None)


def _flat(row: Row, prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in row.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        elif not isinstance(value, list):
            yield f"{prefix}{name}", value


def _tags(values: list[Any]) -> dict[str, str]:
    tags: dict[str, str] = {}
    for value in values:
        pairs = value.items() if isinstance(value, dict) else (part.partition("=")[::2] for part in str(value or "").split(";"))
        tags |= {str(key).strip(): str(text).strip() for key, text in pairs if str(key).strip() and str(text).strip()}
    return tags
