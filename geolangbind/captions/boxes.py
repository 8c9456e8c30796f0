"""Captions from boxes: how many of what, where in the image, which beside which, how large."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

from geolangbind.captions.facts import Facts, Statement
from geolangbind.captions.grammar import are, bare, counted, is_mass, is_plural, listing, noun, number, plural

FORMS = {
    "all": ("things", "are"),
    "where": ("things", "where", "are"),
    "some_where": ("some", "count", "things", "where", "are"),
    "beside": ("things", "others", "side", "are"),
    "along": ("things", "others", "direction", "are"),
    "size": ("things", "width", "height"),
    "largest": ("things", "length"),
}
_COLUMNS, _ROWS = ("left", "", "right"), ("upper", "", "lower")  # thirds of the image; a box is where its centre is
_CORNERS_AND_MIDDLE: tuple[tuple[int | None, int | None], ...] = ((0, 0), (0, 2), (1, 1), (2, 0), (2, 2))
_OUTER: tuple[tuple[int | None, int | None], ...] = ((0, None), (2, None), (None, 0), (None, 2))
_DETAILED = 5  # kinds; some sources name every box differently
_CROWD = 1 / 3  # of a kind's things: fewer in one part of the image are not worth a sentence
_LONG_SHARE = 0.5  # of the image's side: a longer thing is not in one part of the image
_SMALLEST_SIDE_PX = 4  # below, a pixel more or less changes the size by a quarter


@dataclass(frozen=True)
class _Kind:
    """All boxes (x0, y0, x1, y1) with the same words, cut to the image."""

    words: str
    boxes: tuple[tuple[float, float, float, float], ...]

    @property
    def told(self) -> str:
        return counted(len(self.boxes), self.words)

    @property
    def are(self) -> str:
        return "are" if len(self.boxes) > 1 else are(self.words)

    @property
    def countable(self) -> bool:
        return not (is_mass(self.words) or is_plural(self.words))


def statements(facts: Facts) -> list[Statement]:
    """All things with their counts first, then places, sizes and neighbours of the most frequent."""
    kinds = _kinds(facts)
    if not kinds:
        return []
    said = [Statement("all", {"things": listing([kind.told for kind in kinds]), "are": kinds[0].are})]
    for kind in kinds[:_DETAILED]:
        said += _places(kind, facts.shape)
        said += _sizes(kind, facts)
    for one, other in permutations(kinds[:_DETAILED], 2):
        said += _neighbours(one, other)
    return said


def _kinds(facts: Facts) -> list[_Kind]:
    """The boxes by their words, the most frequent first."""
    height, width = facts.shape
    found: dict[str, list[tuple[float, float, float, float]]] = {}
    for box in facts.boxes:
        x0, y0, x1, y1 = box.xyxy
        words = bare(noun(box.text))
        if not words or not all(map(math.isfinite, box.xyxy)):
            continue
        cut = max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height))
        if cut[0] < cut[2] and cut[1] < cut[3]:
            found.setdefault(words, []).append(cut)
    return [_Kind(words, tuple(boxes)) for words, boxes in sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))]


def _places(kind: _Kind, shape: tuple[int, int]) -> list[Statement]:
    """Where all of a kind are, else where most of them are; nothing where one of them is too long for a place."""
    height, width = shape
    if any(x1 - x0 > _LONG_SHARE * width or y1 - y0 > _LONG_SHARE * height for x0, y0, x1, y1 in kind.boxes):
        return []
    cells = [(_third(y0 + y1, height), _third(x0 + x1, width)) for x0, y0, x1, y1 in kind.boxes]
    rows, columns = {row for row, _ in cells}, {column for _, column in cells}
    row, column = (next(iter(found)) if len(found) == 1 else None for found in (rows, columns))
    where = _where(row, column)
    if where is not None:
        return [Statement("where", {"things": kind.told, "where": where, "are": kind.are})]
    where, count = _crowd(cells)
    if count < max(2, _CROWD * len(cells)) or not kind.countable:
        return []
    slots = {"some": number(count), "count": number(len(cells)), "things": plural(kind.words), "where": where, "are": "are"}
    return [Statement("some_where", slots)]


def _crowd(cells: Sequence[tuple[int, int]]) -> tuple[str, int]:
    """The part of the image with most centres, and how many: a corner or the middle if it has half of them, else an outer row or column."""

    def count(part: tuple[int | None, int | None]) -> int:
        return sum(part[0] in (None, row) and part[1] in (None, column) for row, column in cells)

    best = max(_CORNERS_AND_MIDDLE, key=count)
    if 2 * count(best) < len(cells):
        best = max(_OUTER, key=count)
    return _where(*best) or "", count(best)


def _third(twice_centre: float, side: int) -> int:
    return min(int(twice_centre / 2 * 3 / side), 2)


def _where(row: int | None, column: int | None) -> str | None:
    """Words for a ninth of the image, for its outer columns (row None) and rows (column None); None where there are none."""
    vertical, horizontal = _ROWS[1 if row is None else row], _COLUMNS[1 if column is None else column]
    if vertical and horizontal:
        return f"in the {vertical} {horizontal}"
    if vertical:
        return "at the top" if vertical == "upper" else "at the bottom"
    if horizontal:
        return f"on the {horizontal}"
    return "in the middle" if row is not None and column is not None else None


def _neighbours(one: _Kind, other: _Kind) -> list[Statement]:
    """Whether a line along columns or rows parts all boxes of one kind from all boxes of another."""
    slots = {"things": one.told, "others": other.told, "are": one.are}
    left, top, right, bottom = _hull(one)
    other_left, other_top, other_right, other_bottom = _hull(other)
    if right <= other_left or left >= other_right:
        return [Statement("beside", {**slots, "side": "left" if right <= other_left else "right"})]
    if bottom <= other_top or top >= other_bottom:
        return [Statement("along", {**slots, "direction": "up" if bottom <= other_top else "down"})]
    return []


def _hull(kind: _Kind) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = zip(*kind.boxes, strict=True)
    return min(x0), min(y0), max(x1), max(y1)


def _sizes(kind: _Kind, facts: Facts) -> list[Statement]:
    """Extents in metres along rows and columns, of boxes that the image's edge does not cut."""
    if facts.gsd_m is None or not kind.countable:
        return []
    height, width = facts.shape
    sides = [(x1 - x0, y1 - y0) for x0, y0, x1, y1 in kind.boxes]
    inside = all(x0 > 0 and y0 > 0 and x1 < width and y1 < height for x0, y0, x1, y1 in kind.boxes)
    if not inside or min(min(side) for side in sides) < _SMALLEST_SIDE_PX:
        return []
    if len(sides) == 1:
        across, down = (_metres(side * facts.gsd_m) for side in sides[0])
        return [Statement("size", {"things": kind.told, "width": across, "height": down})]
    longest = max(max(side) for side in sides) * facts.gsd_m
    return [Statement("largest", {"things": kind.told, "length": _metres(longest)})]


def _metres(length_m: float) -> str:
    """Two digits that count: "1.5", "42", "420"."""
    digits = 1 - math.floor(math.log10(length_m))
    rounded = round(length_m, digits)
    return f"{rounded:.0f}" if rounded >= 10 else f"{rounded:g}"
