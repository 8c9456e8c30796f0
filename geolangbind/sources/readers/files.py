"""Samples that are files: `{files: "images/{split}/{class}/{id}.tif", mask: "masks/{id}.png"}`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from geolangbind.captions import Caption
from geolangbind.errors import DataError
from geolangbind.sources.card import Card, Place, View
from geolangbind.sources.readers.options import check_options, mapping_option, text_option
from geolangbind.sources.readers.patterns import fill, find, split_name
from geolangbind.sources.record import Record


def records(root: Path, place: Place, card: Card, view: View) -> list[Record]:
    """List the files that fit the pattern.

    Options: `mask` and `caption` are patterns that share the image's names; `splits` gives by split a file that lists ids, file names or
    paths under the root, one a line; `class` names the class of all files, for a source with one.

    Raises:
        SettingsError: an unknown option or an impossible pattern.
        DataError: a split list is missing while another one is there, or a caption file is no UTF-8.
    """
    check_options(place, ("mask", "caption", "splits", "class"))
    lists = split_lists(root, mapping_option(place, "splits"))
    mask, caption, one_class = (text_option(place, name) for name in ("mask", "caption", "class"))
    found: list[Record] = []
    for path, said in find(root, place.spec):
        relative = path.relative_to(root)
        name = said.get("id", relative.with_suffix("").as_posix())
        listed = next((lists[text] for text in (name, path.name, path.stem, relative.as_posix()) if text in lists), None)
        label = said.get("class", one_class)
        captions = () if caption is None else _captions(fill(root, caption, said))
        found.append(
            Record(
                place=name,
                image=path,
                split=split_name(said.get("split") or listed),
                classes=() if label is None else (label,),
                captions=captions,
                mask=None if mask is None else fill(root, mask, said),
            )
        )
    if len({record.place for record in found}) < len(found):  # ids that repeat in every folder name nothing
        found = [replace(record, place=record.image.relative_to(root).as_posix()) for record in found if isinstance(record.image, Path)]
    return found


def split_lists(root: Path, lists: dict[str, str]) -> dict[str, str]:
    """Return the split of each listed text; empty if no list is there at all, as in copies of a source without them.

    Raises:
        DataError: a list is missing while another one is there, or is no UTF-8.
    """
    there = {split: root / name for split, name in lists.items() if (root / name).is_file()}
    if there and len(there) < len(lists):
        missing = sorted(str(root / name) for split, name in lists.items() if split not in there)
        raise DataError(f"{', '.join(missing)} is missing, while other split lists are there; restore it or take all of them away")
    return {line.strip(): split for split, path in there.items() for line in _text(path).splitlines() if line.strip()}


def _captions(path: Path) -> tuple[Caption, ...]:
    return tuple(Caption(line.strip(), f"given:{path.name}") for line in _text(path).splitlines() if line.strip())


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is no UTF-8 at byte {error.start}; convert it") from None
