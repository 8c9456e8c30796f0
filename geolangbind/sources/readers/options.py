"""The options of a card's `from` entry, checked where a reader takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from geolangbind.errors import SettingsError
from geolangbind.sensors.records import nearest
from geolangbind.sources.card import Place


def check_options(place: Place, allowed: Sequence[str]) -> None:
    """Refuse options that the reader does not know.

    Raises:
        SettingsError: names the option and the nearest one.
    """
    for name in place.options:
        if name not in allowed:
            raise SettingsError(f"{place.reader} has no option '{name}'{nearest(name, allowed)}; it takes {', '.join(allowed)}")


def text_option(place: Place, name: str) -> str | None:
    """Return a text option, or None where the card has none.

    Raises:
        SettingsError: it is no text.
    """
    value = place.options.get(name)
    if value is not None and not isinstance(value, str):
        raise SettingsError(f"{place.reader}: {name} must be a text, got '{value}'")
    return value


def texts_option(place: Place, name: str) -> tuple[str, ...]:
    """Return an option that is a text or a list of texts; empty where the card has none.

    Raises:
        SettingsError: it is neither.
    """
    value = place.options.get(name, [])
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or not all(isinstance(item, str) for item in listed):
        raise SettingsError(f"{place.reader}: {name} must be a text or a list of texts, got '{value}'")
    return tuple(listed)


def mapping_option(place: Place, name: str) -> dict[str, str]:
    """Return an option that maps texts to texts; empty where the card has none.

    Raises:
        SettingsError: it is no such mapping.
    """
    value = place.options.get(name, {})
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise SettingsError(f"{place.reader}: {name} must map names to texts, got '{value}'")
    return {str(key): item for key, item in value.items()}


def mask_options(place: Place) -> dict[str, Any]:
    """Return what the card says of the numbers or colours in masks, as fields of a `Record`: `mask_colors` and `mask_values`.

    Raises:
        SettingsError: an entry maps no class number to a colour, or to one or several stored numbers.
    """
    colors, codes = place.options.get("mask_colors", {}), place.options.get("mask_values", {})
    try:
        by_color = tuple((int(value), (int(color[0]), int(color[1]), int(color[2]))) for value, color in colors.items())
        several = {value: listed if isinstance(listed, list) else [listed] for value, listed in codes.items()}
        by_code = tuple((int(code), int(value)) for value, listed in several.items() for code in listed)
    except (AttributeError, TypeError, ValueError, IndexError):
        raise SettingsError(
            f"{place.reader}: mask_colors map a class number to [red, green, blue], mask_values one to the stored numbers; "
            f"got '{colors or codes}'"
        ) from None
    return {"mask_colors": by_color, "mask_values": by_code}
