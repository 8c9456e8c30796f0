"""From a record to samples: open its image, cut the chips, name the keys."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from hashlib import sha256

import numpy as np

from geolangbind.captions import JoinedCaptions
from geolangbind.data.raster_grid import PixelWindow, tile_windows
from geolangbind.data.raster_reader import Stored
from geolangbind.data.sample import DEFAULT_ENCODING, Encoding, Sample, SampleMeta
from geolangbind.errors import DataError, NoValidPixelError
from geolangbind.sensors import get_sensor
from geolangbind.sources.card import Card, View
from geolangbind.sources.chips import Chip, squash, window_boxes
from geolangbind.sources.pixels import Opened, check_size, open_record, picture_bytes
from geolangbind.sources.record import Record
from geolangbind.sources.words import captions_of, chip_classes, facts, labels_of

_KEY_LETTERS = 64
_HASH_LETTERS = 8


def samples_of(record: Record, card: Card, view: View, joined: JoinedCaptions | None = None) -> Iterator[Sample]:
    """Yield the samples that a record gives: one, or one per window for the fit `tile`; windows without any data are left out.

    Raises:
        GeoLangBindError: the record cannot be used; nothing of it should be.
    """
    opened = open_record(record, view)
    unknown = [name for name in opened.classes if card.classes and name not in card.classes]
    if unknown:
        raise DataError(f"its class '{unknown[0]}' is none of the card's; add it to `classes`, or move the file away")
    whole = (0, 0, opened.width, opened.height)
    windows: Sequence[PixelWindow] = [whole]
    if view.fit == "tile" and view.size_px is not None:
        windows = list(tile_windows(opened.width, opened.height, view.size_px))
    found = 0
    for window in windows:
        check_size(opened, window)
        try:
            stored = opened.read(window)
        except NoValidPixelError:
            if window == whole:
                raise
            continue
        found += 1
        yield _sample(record, card, view, opened, window if len(windows) > 1 else None, stored, joined)
    if not found:
        raise NoValidPixelError("has no valid pixel")


def sample_key(view: View, place: str, window: PixelWindow | None = None) -> str:
    """Return the key of a sample: the view, `-`, the place. All views of a place share what follows the first `-`.

    Letters that a key cannot hold become `_`; a name that changes or is too long gets a hash of the whole, so that no two fall together.
    """
    told = place if window is None else f"{place}_r{window[1]}_c{window[0]}"
    text = re.sub(r"[^A-Za-z0-9_-]+", "_", told)
    room = _KEY_LETTERS - len(view.name) - 1
    if text != told or len(text) > room:
        digest = sha256(told.encode()).hexdigest()[:_HASH_LETTERS]
        text = f"{text[: room - _HASH_LETTERS - 1]}_{digest}"
    return f"{view.name}-{text}"


def _sample(
    record: Record, card: Card, view: View, opened: Opened, window: PixelWindow | None, stored: Stored, joined: JoinedCaptions | None
) -> Sample:
    column, row, width, height = window or (0, 0, opened.width, opened.height)
    mask = None if opened.mask is None else opened.mask[row : row + height, column : column + width]
    chip = Chip(stored.image, mask, window_boxes(opened.boxes, (column, row, width, height)), opened.gsd_m)
    if view.fit == "squash" and view.size_px is not None:
        chip = squash(chip, view.size_px, stored.nodata)
    key = sample_key(view, record.place, window)
    known = facts(card, view, opened, chip, record, stored.unit)
    captions = captions_of(card, known, opened, key, joined)
    kept = picture_bytes(opened, stored, view.encoding) if window is None and chip.image is stored.image else None
    meta = SampleMeta(
        sensor=get_sensor(view.sensor).name,
        bands=opened.bands,
        unit=stored.unit,
        gsd_m=chip.gsd_m,
        captions=tuple(caption.text for caption in captions),
        caption_sources=tuple(caption.source for caption in captions),
        scale=stored.scale,
        offset=stored.offset,
        nodata=stored.nodata,
        bbox_wgs84=stored.bounds_wgs84,
        datetime=opened.datetime,
        split=record.split,
        labels=labels_of(card, chip_classes(card, opened, chip), record.tags),
        boxes=known.boxes,
        source=card.source,
        licence=card.licence,
    )
    encoding: Encoding = view.encoding or (kept[0] if kept else DEFAULT_ENCODING)
    return Sample(key, np.ascontiguousarray(chip.image), meta, chip.mask, encoding, stored=kept[1] if kept else None)
