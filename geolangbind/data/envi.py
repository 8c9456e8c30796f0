"""ENVI rasters: what the text header beside the numbers says.

GDAL reads the pixels and the map information. It rounds wavelengths to whole nanometres and appends them to the band names, so names,
wavelengths, widths, bad bands, gains and the reflectance scale are taken from the header itself: numbers and words only, nothing is run.
The fields are those of NV5's "ENVI Header Files" page.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from typing import Any

from geolangbind.data.raster_source import RASTER_SUFFIXES, Source, inspect, um_factor
from geolangbind.errors import DataError

ENVI_SUFFIXES = (".img", ".dat", ".bsq", ".bil", ".bip", ".bin", ".raw", "")
"""Endings of the file with the numbers; there may be none."""

_FIELD = re.compile(r"^[ \t]*([^=\n;{}]+?)[ \t]*=[ \t]*(\{[^}]*\}|\{|[^\n]*)", flags=re.MULTILINE)
_BYTES_OF_TYPE = {1: 1, 2: 2, 3: 4, 4: 4, 5: 8, 6: 8, 9: 16, 12: 2, 13: 4, 14: 8, 15: 8}
_INTERLEAVES = ("bsq", "bil", "bip")
_MAX_HEADER_BYTES = 4_000_000
_LARGEST = 1e12
"""No gain, offset or wavelength is beyond this; keeps products of them finite."""


@dataclass(frozen=True)
class Header:
    """The fields of one header by name in lower case; values in braces are split at the commas.

    Attributes:
        path: the header.
        fields: a text, or the texts of a list.
        bands: number of bands.
    """

    path: Path
    fields: dict[str, str | tuple[str, ...]]
    bands: int

    def texts(self, name: str) -> tuple[str, ...] | None:
        """Return the list `name`, one text per band, or None if there is none.

        Raises:
            DataError: it has another number of entries than the header has bands.
        """
        found = self.fields.get(name)
        if found is None:
            return None
        listed = (found,) if isinstance(found, str) else found
        if len(listed) != self.bands:
            raise DataError(f"{self.path}: lists {len(listed)} values of '{name}' for {self.bands} bands; correct the header")
        return listed

    def numbers(self, name: str) -> tuple[float, ...] | None:
        """Return the list `name` as numbers, or None if there is none.

        Raises:
            DataError: an entry is no finite number, or the count is wrong.
        """
        texts = self.texts(name)
        return None if texts is None else tuple(_number(text, name, self.path) for text in texts)


def header_of(path: Path) -> Path | None:
    """Return the ENVI header of a data file, the path itself if it is one, or None if the file is of another format."""
    if path.suffix.lower() == ".hdr":
        return path
    if path.suffix.lower() in RASTER_SUFFIXES:
        return None
    return next((header for header in (path.with_suffix(".hdr"), Path(f"{path}.hdr")) if is_header(header)), None)


def is_header(path: Path) -> bool:
    """Whether the file is an ENVI header: other formats have `.hdr` files too."""
    try:
        with path.open("rb") as stream:
            return stream.read(4) == b"ENVI"
    except OSError:
        return False


def data_of(header: Path) -> Path:
    """Return the file with the numbers: `scene.dat` for `scene.hdr` or `scene.dat.hdr`.

    Raises:
        DataError: there is none, or several.
    """
    beside = [path for path in sorted(header.parent.iterdir()) if path != header and path.is_file()]
    found = [path for path in beside if path.name == header.stem]
    found = found or [path for path in beside if path.stem == header.stem and path.suffix.lower() in ENVI_SUFFIXES]
    if len(found) != 1:
        several = f"several files could be ({', '.join(path.name for path in found)})" if found else "there is no file with them beside it"
        raise DataError(
            f"{header}: of the numbers it describes, {several}; name the data file as the header, for example {header.stem}.dat"
        )
    return found[0]


def inspect_envi(path: Path, header_path: Path) -> Source:
    """Read what a header says about a raster, before any pixel.

    Args:
        path: the data file, or the header.
        header_path: from `header_of`.

    Raises:
        DataError: the header is damaged, does not fit the data file, or describes no image.
    """
    header = read_header(header_path)
    data = data_of(header_path) if path == header_path else path
    _check_size(header, data)
    stated = _stated(header)
    source = inspect(data)
    if len(source.bands) != header.bands:
        raise DataError(f"{header_path}: has {header.bands} bands, but {data.name} is read as {len(source.bands)}; correct the header")
    return replace(source, bands=tuple(replace(band, **facts) for band, facts in zip(source.bands, stated, strict=True)))


def read_header(path: Path) -> Header:
    """Read and check a header.

    Raises:
        DataError: it is no ENVI header, lacks a field, or a field cannot be.
    """
    try:
        text = path.read_bytes()[:_MAX_HEADER_BYTES].decode("utf-8", errors="replace")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    if not text.startswith("ENVI"):
        raise DataError(f"{path}: is no ENVI header (its first line is not ENVI); give the raster itself")
    # what a terminal cannot show would break the messages it stands in
    text = "".join(letter if letter.isprintable() or letter == "\n" else " " for letter in text)
    fields: dict[str, str | tuple[str, ...]] = {}
    for name, value in _FIELD.findall(text):
        if value == "{":
            raise DataError(f"{path}: the list '{name}' has no closing brace; the header is cut off")
        listed = tuple(" ".join(part.split()) for part in value[1:-1].split(","))
        fields[" ".join(name.lower().split())] = listed if value.startswith("{") else value.strip()
    header = Header(path, fields, _whole(fields, "bands", path, None))
    kind = str(fields.get("file type", "")).lower()
    if "classification" in kind or "library" in kind:
        raise DataError(f"{path}: describes an {fields['file type']}, not an image")
    return header


def _check_size(header: Header, data: Path) -> None:
    """Refuse a header that describes more numbers than the data file holds."""
    fields, path = header.fields, header.path
    samples, lines = (_whole(fields, name, path, None) for name in ("samples", "lines"))
    data_type = _whole(fields, "data type", path, None)
    if data_type not in _BYTES_OF_TYPE:
        raise DataError(f"{path}: has the data type {data_type}; ENVI's are {', '.join(map(str, _BYTES_OF_TYPE))}")
    interleave = str(fields.get("interleave", "bsq")).lower()
    if interleave not in _INTERLEAVES:
        raise DataError(f"{path}: has the interleave {interleave[:40]!r}; it must be one of {', '.join(_INTERLEAVES)}")
    if _whole(fields, "byte order", path, 0) > 1:
        raise DataError(f"{path}: has a byte order other than 0 (least significant byte first) and 1")
    wanted = _whole(fields, "header offset", path, 0) + samples * lines * header.bands * _BYTES_OF_TYPE[data_type]
    if data.stat().st_size < wanted and _whole(fields, "file compression", path, 0) == 0:
        raise DataError(
            f"{data}: has {data.stat().st_size} bytes, but {path.name} describes {samples} x {lines} pixels in {header.bands} bands, "
            f"which take {wanted}; the file is cut off or the header is another one's"
        )


def _stated(header: Header) -> list[dict[str, Any]]:
    """Return the fields of `FileBand` that the header states, one set per band."""
    names = header.texts("band names")
    wavelengths, widths, good = (header.numbers(name) for name in ("wavelength", "fwhm", "bbl"))
    factor = um_factor(str(header.fields.get("wavelength units", "")), header.path) if wavelengths else 1.0
    scales, offsets, unit = _scaling(header)
    return [
        {
            "description": (names[k] or None) if names else None,
            "wavelength_um": round(wavelengths[k] * factor, 7) if wavelengths else None,
            "fwhm_um": (round(widths[k] * factor, 7) or None) if wavelengths and widths else None,
            "good": good is None or good[k] != 0,
            "scale": scales[k] if scales else None,
            "offset": offsets[k] if offsets else None,
            "unit": unit,
            "stated_by": "header",
        }
        for k in range(header.bands)
    ]


def _scaling(header: Header) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None, str | None]:
    """Return scale and offset per band, and the unit they lead to if the header says so."""
    # gains to reflectance say what they lead to; the plain ones are often of radiance, which the check of the values then refuses
    gains = header.numbers("data reflectance gain values")
    if gains is not None:
        return gains, header.numbers("data reflectance offset values"), "reflectance"
    factor = header.fields.get("reflectance scale factor")
    if factor is not None:
        divisor = _number(str(factor), "reflectance scale factor", header.path)
        if divisor < 1 / _LARGEST:
            raise DataError(f"{header.path}: has the reflectance scale factor {factor}; it is the number that stands for 1, as in 10000")
        return (1 / divisor,) * header.bands, None, "reflectance"
    return header.numbers("data gain values"), header.numbers("data offset values"), None


def _number(text: str, name: str, path: Path) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not isfinite(value) or abs(value) > _LARGEST:
        raise DataError(f"{path}: '{name}' holds {text[:40]!r}, which is no number it can be; correct the header")
    return value


def _whole(fields: dict[str, str | tuple[str, ...]], name: str, path: Path, default: int | None) -> int:
    """Return a count; without a default it must be there and at least 1."""
    text = fields.get(name)
    if text is None and default is None:
        raise DataError(f"{path}: has no '{name}'; the header is damaged")
    if text is None:
        return default or 0
    if not isinstance(text, str) or not re.fullmatch(r"[0-9]{1,12}", text) or (default is None and int(text) == 0):
        raise DataError(f"{path}: '{name}' is {str(text)[:40]!r}, which is no count; correct the header")
    return int(text)
