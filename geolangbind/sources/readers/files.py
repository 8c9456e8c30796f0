"""Samples that are files: `{files: "images/{split}/{class}/{id}.tif", mask: "masks/{id}.png"}`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from geolangbind.captions import Caption
from geolangbind.errors import DataError, SettingsError
from geolangbind.sources.card import Card, Place, View
from geolangbind.sources.readers.options import check_options, mask_options, text_option, texts_option
from geolangbind.sources.readers.patterns import fill, find, split_name
from geolangbind.sources.record import Record

_OPTIONS = ("place", "class", "splits", "mask", "mask_colors", "mask_values", "caption", "channels", "stack")


def records(root: Path, place: Place, card: Card, view: View) -> list[Record]:
    """List the files that fit the pattern.

    Options; patterns share the names of the image's own:
        place: pattern of the sample's identity; `{id}`, or the path, if absent.
        class: the class of all files, for a source with one.
        splits: by split a list of texts, or a file with one a line: ids, file names with or without ending, paths, folder names.
        mask: pattern of the file with a class number per pixel.
        mask_colors: colour by class number, `{1: [255, 0, 0]}`, where that file is a coloured picture.
        mask_values: stored numbers by class number, `{1: [111, 112]}`, where the stored ones are codes; others become 0.
        caption: pattern of a file with one caption a line.
        channels: names of all stored channels, where the files do not name them; the view's bands are picked from these.
        stack: patterns of further files whose channels follow.

    Raises:
        SettingsError: an unknown option or an impossible pattern.
        DataError: a split list is missing while another one is there, or a caption file is no UTF-8.
    """
    check_options(place, _OPTIONS)
    identity, one_class, mask, caption = (text_option(place, name) for name in ("place", "class", "mask", "caption"))
    channels, stack, classes = texts_option(place, "channels"), texts_option(place, "stack"), mask_options(place)
    found: list[Record] = []
    lists: Splits | None = None
    for path, said in find(root, place.spec):
        lists = lists or Splits.read(root, place)
        relative = path.relative_to(root)
        name = said.get("id", relative.with_suffix("").as_posix())
        if identity is not None:
            name = fill(root, identity, said).relative_to(root).as_posix()
        label = said.get("class", one_class)
        found.append(
            Record(
                place=name,
                image=path,
                split=split_name(said.get("split")) or lists.of(name, relative, said),
                classes=() if label is None else (label,),
                captions=() if caption is None else _captions(fill(root, caption, said)),
                mask=None if mask is None else fill(root, mask, said),
                **classes,
                channels=channels,
                stack=tuple(fill(root, pattern, said) for pattern in stack),
            )
        )
    if len({record.place for record in found}) < len(found):  # ids that repeat in every folder name nothing
        found = [replace(record, place=record.image.relative_to(root).as_posix()) for record in found if isinstance(record.image, Path)]
    return found


@dataclass(frozen=True)
class Splits:
    """Split by listed text; nothing if no list is there at all, as in copies of a source without them."""

    listed: Mapping[str, str]

    @classmethod
    def read(cls, root: Path, place: Place) -> Splits:
        """Read the lists that the option `splits` names.

        Raises:
            SettingsError: the option maps to neither texts nor lists of them.
            DataError: a list is missing while another one is there, or is no UTF-8.
        """
        told = place.options.get("splits", {})
        if not isinstance(told, dict) or not all(isinstance(value, str | list) for value in told.values()):
            raise SettingsError(f"{place.reader}: splits map a split to a list, or to a file that holds one; got '{told}'")
        files = {split: root / value for split, value in told.items() if isinstance(value, str)}
        there = {split: path for split, path in files.items() if path.is_file()}
        if there and len(there) < len(files):
            missing = sorted(str(path) for split, path in files.items() if split not in there)
            raise DataError(f"{', '.join(missing)} is missing, while other split lists are there; restore it or take all of them away")
        lists = {split: _text(path).splitlines() for split, path in there.items()}
        lists |= {split: [str(item) for item in value] for split, value in told.items() if isinstance(value, list)}
        return cls({line.strip(): split for split, lines in lists.items() for line in lines if line.strip()} | _stems(lists))

    def of(self, name: str, relative: Path, said: Mapping[str, str]) -> str | None:
        """Return the split of a file, or None: found by its identity, name, path, or what its path says."""
        texts = (name, relative.name, relative.stem, relative.as_posix(), *said.values())
        return next((self.listed[text] for text in texts if text in self.listed), None)


def _stems(lists: Mapping[str, list[str]]) -> dict[str, str]:
    """Names without folder and ending: some lists name the JPEG beside the GeoTIFF. Names that stand for several splits are left out."""
    found: dict[str, set[str]] = {}
    for split, lines in lists.items():
        for line in lines:
            found.setdefault(Path(line.strip()).stem, set()).add(split)
    return {stem: splits.pop() for stem, splits in found.items() if stem and len(splits) == 1}


def _captions(path: Path) -> tuple[Caption, ...]:
    return tuple(Caption(line.strip(), f"given:{path.name}") for line in _text(path).splitlines() if line.strip())


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is no UTF-8 at byte {error.start}; convert it") from None
