"""Captions from masks and land-cover maps: what covers how much of the image, and where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from geolangbind.captions.facts import Facts, Statement
from geolangbind.captions.grammar import are, is_mass, listing, noun, some

FORMS = {
    "only": ("extent", "class"),
    "presence": ("classes",),
    "shares": ("shares",),
    "percents": ("percents",),
    "mostly": ("main", "minor"),
    "within": ("almost", "class", "are", "part"),
    "part": ("part", "class"),
    "there": ("class", "are", "part"),
}
_LABELLED_SHARE = 0.95
"""Shares are of the labelled pixels, so they are told only where these are nearly the whole image."""
_SMALLEST_SHARE = 0.01  # below, a class is not named: often it is the map's noise
_SHARES = {
    0.1: "a tenth", 0.2: "a fifth", 0.25: "a quarter", 1 / 3: "a third", 0.4: "two fifths", 0.5: "half",
    0.6: "three fifths", 2 / 3: "two thirds", 0.75: "three quarters", 0.8: "four fifths", 0.9: "nine tenths",
}  # fmt: skip
_SHARE_ERROR = 0.05  # of these words: shares further from all of them are told as percentages only
_SOME = 0.05  # below, "a little"
_MOSTLY = 0.6
_NEARLY_ALL = 0.9
_LIST_LIMIT = 4
_SMALLEST_SIDE_PX = 8  # of a mask with places


def statements(facts: Facts) -> list[Statement]:
    """Shares first, then what lies in which half or quarter. Of an image that is labelled in part, only what is there."""
    if facts.mask is None:
        return []
    classes = _classes(facts.mask, facts.mask_words)
    count = sum(int(pixels.sum()) for pixels in classes.values())
    shares = {words: int(pixels.sum()) / count for words, pixels in classes.items()}
    named = sorted((words for words, share in shares.items() if share >= _SMALLEST_SHARE), key=lambda words: (-shares[words], words))
    if not named:
        return []
    if count < _LABELLED_SHARE * facts.mask.size:
        return [Statement("presence", {"classes": listing([some(words) for words in named])}), *_there(classes, named)]
    return _cover(shares, named) + _within(classes, named, shares) + _parts(classes, named, shares)


def _classes(mask: NDArray[np.uint8], mask_words: Mapping[int, str]) -> dict[str, NDArray[np.bool_]]:
    """Pixels by words; values with the same words are one class."""
    found: dict[str, NDArray[np.bool_]] = {}
    for value in np.unique(mask).tolist():
        words = noun(mask_words.get(value, ""), unsaid="land")
        if words:
            pixels = mask == value
            found[words] = found[words] | pixels if words in found else pixels
    return found


def _cover(shares: Mapping[str, float], named: Sequence[str]) -> list[Statement]:
    """How much of the image is what."""
    main, minor = named[0], named[1:]
    if not minor:
        return [Statement("only", {"extent": "entirely" if len(shares) == 1 else "almost entirely", "class": main})]
    said = []
    told = [f"{words} {class_}" for class_ in named if (words := _fraction(shares[class_])) is not None]
    if _fraction(shares[main]) is not None:
        said.append(Statement("shares", {"shares": _with_rest(told, shares, named)}))
    if shares[main] > _MOSTLY:
        extent = "mostly" if shares[main] < _NEARLY_ALL else "almost entirely"
        said.append(Statement("mostly", {"main": f"{extent} {main}", "minor": _amounts(minor, shares)}))
    percents = [f"{shares[words]:.0%} {words}" for words in named]
    return [*said, Statement("percents", {"percents": listing(percents, _LIST_LIMIT)})]


def _with_rest(told: Sequence[str], shares: Mapping[str, float], named: Sequence[str]) -> str:
    """The list of shares; after the first of one or two, what the rest is."""
    second, rest = named[1], 1 - shares[named[0]]
    if len(shares) == 2:
        return f"{told[0]}, the rest {second}"
    if len(told) > 1:
        return listing(told, _LIST_LIMIT)
    return f"{told[0]}, the rest {f'mostly {second}' if shares[second] > _MOSTLY * rest else 'a mix of other cover'}"


def _fraction(share: float) -> str | None:
    nearest = min(_SHARES, key=lambda known: abs(known - share))
    return _SHARES[nearest] if abs(nearest - share) < _SHARE_ERROR else None


def _amounts(minor: Sequence[str], shares: Mapping[str, float]) -> str:
    more, less = ([words for words in minor if (shares[words] >= _SOME) is enough] for enough in (True, False))
    told = [f"some {listing(more, _LIST_LIMIT)}"] if more else []
    if len(less) == 1:
        told.append(f"a little {less[0]}" if is_mass(less[0]) else f"a small share of {less[0]}")
    elif less:
        told.append(f"small shares of {listing(less, _LIST_LIMIT)}")
    return ", and ".join(told)


def _within(classes: Mapping[str, NDArray[np.bool_]], named: Sequence[str], shares: Mapping[str, float]) -> list[Statement]:
    """Classes that keep to a quarter or half of the image."""
    said = []
    for words in named:
        part, share = _narrowest(classes[words])
        if part and shares[words] < _MOSTLY:
            almost = "all" if share == 1 else "nearly all"
            said.append(Statement("within", {"almost": almost, "class": words, "are": are(words), "part": part}))
    return said


def _there(classes: Mapping[str, NDArray[np.bool_]], named: Sequence[str]) -> list[Statement]:
    found = [(words, _narrowest(classes[words])[0]) for words in named]
    return [Statement("there", {"class": some(words), "are": are(words), "part": part}) for words, part in found if part]


def _narrowest(pixels: NDArray[np.bool_]) -> tuple[str, float]:
    """The quarter, else the half, that holds nearly all of the pixels, and the share that it holds; ("", 0) where none does."""
    total = int(pixels.sum())
    for name, window in _windows(pixels.shape).items():
        share = int(pixels[window].sum()) / total
        if share >= _NEARLY_ALL:
            return name, share
    return "", 0.0


def _parts(classes: Mapping[str, NDArray[np.bool_]], named: Sequence[str], shares: Mapping[str, float]) -> list[Statement]:
    """Quarters and halves that are mostly one class, which the image is not."""
    said = []
    for words in named:
        if shares[words] <= _MOSTLY:
            windows = _windows(classes[words].shape)
            parts = [name for name, window in windows.items() if classes[words][window].mean() > _MOSTLY]
            said += [Statement("part", {"part": part, "class": words}) for part in parts]
    return said


def _windows(shape: tuple[int, ...]) -> dict[str, tuple[slice, slice]]:
    """Quarters, then halves, of an image large enough to have some; a middle row or column belongs to both sides."""
    height, width = shape
    if min(height, width) < _SMALLEST_SIDE_PX:
        return {}
    rows = {"upper": slice(0, (height + 1) // 2), "lower": slice(height // 2, height)}
    columns = {"left": slice(0, (width + 1) // 2), "right": slice(width // 2, width)}
    quarters = {f"{down} {across} quarter": (rows[down], columns[across]) for down in rows for across in columns}
    upper_lower = {f"{name} half": (part, slice(None)) for name, part in rows.items()}
    left_right = {f"{name} half": (slice(None), part) for name, part in columns.items()}
    return quarters | upper_lower | left_right
