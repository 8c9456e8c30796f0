"""Readers: each lists the samples of one kind of layout on disk. The table names them all; a card cannot name anything else.

A reader is a function `records(root, place, card, view)` that returns the samples it finds under `root`, in any order, and an empty list
where the layout is not there. What is there but wrong (a table without the column, a box without corners) is a `DataError`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from geolangbind.sources.card import Card, Place, View
from geolangbind.sources.readers import arrays, coco, files, geobench, table, torchgeo, voc
from geolangbind.sources.record import Content, Item, Record

Reader = Callable[[Path, Place, Card, View], list[Record]]

READERS: Mapping[str, Reader] = {
    "arrays": arrays.records,
    "files": files.records,
    "table": table.records,
    "coco": coco.records,
    "voc": voc.records,
    "torchgeo": torchgeo.records,
    "geobench": geobench.records,
}
"""By the name that cards use."""

OPENERS: Mapping[str, Callable[[Item], Content]] = {
    "arrays": arrays.open_item,
    "torchgeo": torchgeo.open_item,
    "geobench": geobench.open_item,
}
"""How items are opened, for readers whose samples are no files of their own."""
