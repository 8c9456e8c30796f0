"""STAC items: what the JSON beside rasters says about sensor, bands, units and place of the files.

Read are items of STAC 1.0 and 1.1: bands stand in an asset's `bands`, or in the older `eo:bands` and `raster:bands`, which are indexed
alike; what a band does not say, its asset says, and then the item's properties. Sources: STAC specification 1.1 (common metadata, bands),
its extensions eo, raster, sar and hsi, and the items of Earth Search v1, Planetary Computer and the Copernicus Data Space.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest
from math import isfinite
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from geolangbind.data.envi import ENVI_SUFFIXES
from geolangbind.data.raster_source import RASTER_SUFFIXES, product_baseline, product_sensor
from geolangbind.errors import DataError

ITEM_SUFFIXES = (".json", ".geojson")

_MAX_ITEM_BYTES = 16_000_000
_LARGEST = 1e12
"""No scale, offset or wavelength is beyond this; keeps products of them finite."""
_NO_DATA_ROLES = frozenset({"thumbnail", "overview", "visual", "metadata", "browse", "preview", "rendered_preview"})
"""Roles of pictures of the data; Planetary Computer gives the role `data` to its `visual` too, so asset keys are compared as well."""
_MEDIA_TYPES = ("image/tiff", "image/vnd.stac.geotiff", "image/jp2", "image/jpeg", "image/png", "application/octet-stream")

_SENSORS: tuple[tuple[str, str, str], ...] = (
    (r"sentinel[-_]?2[a-d]?", r"l1c\b|s2msi1c", "sentinel-2-l1c"),
    (r"sentinel[-_]?2[a-d]?", r"l2a\b|s2msi2a", "sentinel-2-l2a"),
    (r"sentinel[-_]?1[a-d]?", r"(^|[-_])(grd|rtc)", "sentinel-1-grd"),
    (r"landsat[-_]?[89]", r"(^|[-_]|c2)l1", "landsat-8-9-l1"),
    (r"landsat[-_]?[89]", r"(^|[-_]|c2)l2", "landsat-8-9-l2"),
    (r"enmap", r"l2a", "enmap-l2a"),
    (r"", r"^naip$", "naip"),
    (r"(tandem-?x)?", r"^cop(ernicus)?-dem-glo-30$", "copernicus-dem"),
)
"""Mission (platform or constellation, in full), product (collection, level or type, a part) and the sensor that both together state."""
_PRODUCT_FIELDS = ("processing:level", "product:type", "s2:product_type", "sar:product_type", "landsat:correction")
_BASELINE_FIELDS = ("s2:processing_baseline", "sentinel:processing_baseline")
_APPLIED_FIELDS = ("earthsearch:boa_offset_applied", "sentinel:boa_offset_applied")


@dataclass(frozen=True)
class ItemBand:
    """One band as the item states it; None where it does not.

    Attributes:
        name: name of the band.
        common_name: `eo:common_name`.
        center_wavelength_um: `eo:center_wavelength`.
        fwhm_um: `eo:full_width_half_max`.
        polarization: the only one of `sar:polarizations`.
        scale: `raster:scale`; value = stored * scale + offset.
        offset: `raster:offset`.
        nodata: stored number without data; may be NaN.
        unit: unit after scale and offset.
    """

    name: str | None
    common_name: str | None
    center_wavelength_um: float | None
    fwhm_um: float | None
    polarization: str | None
    scale: float | None
    offset: float | None
    nodata: float | None
    unit: str | None


@dataclass(frozen=True)
class ItemAsset:
    """One raster file of an item.

    Attributes:
        key: name of the asset.
        href: where the item says the file is.
        original: False if the roles say that the pixels were resampled.
        gsd_m: pixel size, infinite if not stated.
        bands: at least one.
        listed: whether the item lists the bands; if not, `bands` is what it says about all of them.
    """

    key: str
    href: str
    original: bool
    gsd_m: float
    bands: tuple[ItemBand, ...]
    listed: bool


@dataclass(frozen=True)
class Item:
    """What reading needs to know of a STAC item.

    Attributes:
        path: the JSON file.
        title: id and time, for notes.
        datetime: acquisition time, ISO 8601, or None.
        sensors: those that mission and product state: one, or none where they are missing or unknown.
        platform: "S2A", "S2B" or "S2C", or None.
        baseline: Sentinel-2 processing baseline, as text.
        offset_applied: True if the provider says that Sentinel-2's offset is in the numbers.
        frequency_ghz: radar centre frequency.
        frequency_band: radar band letter.
        wavelength_range_um: `hsi:wavelength_min` and `max`.
        assets: the rasters with data, in the order of the item.
    """

    path: Path
    title: str
    datetime: str | None
    sensors: tuple[str, ...]
    platform: str | None
    baseline: str | None
    offset_applied: bool
    frequency_ghz: float | None
    frequency_band: str | None
    wavelength_range_um: tuple[float | None, float | None]
    assets: tuple[ItemAsset, ...]


def is_item(path: Path) -> bool:
    """Whether the file is a STAC item; never fails."""
    try:
        raw = _load(path)
    except DataError:
        return False
    return _looks_like_item(raw)


def read_item(path: Path) -> Item:
    """Read a STAC item; the files it names are not touched.

    Raises:
        DataError: it is no STAC item, or a field that is needed has the wrong type.
    """
    item = _Fields(path, "the item", _load(path))
    if not _looks_like_item(item.given):
        raise DataError(f'{path}: is no STAC item, a JSON object with "type": "Feature" and "stac_version"; give an item or a raster')
    properties, assets = (_Fields(path, key, item.value(key)) for key in ("properties", "assets"))
    product = properties.text("s2:product_uri") or item.text("id") or ""
    mission = (properties.text("platform") or properties.text("constellation") or "").lower()
    satellite = re.fullmatch(r"sentinel[-_]?2([a-c])", mission)
    named = product_baseline(Path("/", product))
    baselines = (
        *map(properties.text, _BASELINE_FIELDS),
        None if named is None else f"{named:05.2f}",
        properties.text("processing:version"),
    )
    return Item(
        path=path,
        title=" ".join(filter(None, (item.text("id"), properties.text("datetime")))),
        datetime=properties.text("datetime") or properties.text("start_datetime"),
        sensors=_sensors(item, properties, product),
        platform=f"S2{satellite[1].upper()}" if satellite else None,
        baseline=next(filter(None, baselines), None),
        offset_applied=any(properties.value(key) is True for key in _APPLIED_FIELDS),
        frequency_ghz=properties.number("sar:center_frequency"),
        frequency_band=properties.text("sar:frequency_band"),
        wavelength_range_um=(properties.number("hsi:wavelength_min"), properties.number("hsi:wavelength_max")),
        assets=tuple(
            _asset(key, asset, properties)
            for key in assets.raw
            if _holds_data(asset := _Fields(path, f"asset {key!r}", assets.value(key)), key)
        ),
    )


def locate(item: Item, asset: ItemAsset) -> Path | None:
    """Return the file of an asset, or None if it is not here.

    Relative places count from the item's folder. Nothing is fetched: of a file elsewhere (`https://`, `s3://`) a copy of the same name
    beside the item is taken. Only files with the ending of a raster count, so that no item can name one of GDAL's virtual formats.
    """
    folder = item.path.parent
    try:
        parts = urlsplit(asset.href)
        if parts.scheme in ("", "file"):
            places = [folder / asset.href, folder / unquote(parts.path)]  # an absolute path stays one
        else:
            # the Copernicus Data Space ends its places with /$value
            names = [name for name in reversed(PurePosixPath(unquote(parts.path)).parts) if _has_raster_suffix(name)]
            places = [folder / name for name in names[:1]]
        return next((place for place in places if _has_raster_suffix(place.name) and place.is_file()), None)
    except (OSError, ValueError):
        return None


def _has_raster_suffix(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in (*RASTER_SUFFIXES, *filter(None, ENVI_SUFFIXES))


@dataclass(frozen=True)
class _Fields:
    """A JSON object with typed look-ups that say where a wrong type stands."""

    path: Path
    place: str
    given: Any

    @property
    def raw(self) -> Mapping[str, Any]:
        if not isinstance(self.given, dict):
            raise DataError(f"{self.path}: {self.place} is {_short(self.given)}, not a JSON object; correct the item")
        return self.given

    def value(self, key: str) -> object:
        return self.raw.get(key)

    def text(self, key: str) -> str | None:
        value = self.value(key)
        # what a terminal cannot show would break the messages and notes it stands in
        if value is not None and not (isinstance(value, str) and value.isprintable()):
            raise self.wrong(key, value, "a printable text")
        return value or None

    def number(self, key: str) -> float | None:
        value = self.value(key)
        if value is None:
            return None
        # comparing first: integers of any length are JSON, and float() refuses the long ones
        if isinstance(value, bool) or not isinstance(value, int | float) or not -_LARGEST <= value <= _LARGEST:
            raise self.wrong(key, value, "a number it can be")
        return float(value)

    def nodata(self, key: str) -> float | None:
        value = self.value(key)
        if value in ("nan", "inf", "-inf"):
            return float(str(value))
        # -3.4e38 is a usual mark
        return value if isinstance(value, float) and isfinite(value) else self.number(key)

    def texts(self, key: str) -> list[str]:
        value = self.value(key)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
            raise self.wrong(key, value, "a list of texts")
        return value

    def objects(self, key: str) -> list[_Fields]:
        value = self.value(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.wrong(key, value, "a list")
        return [_Fields(self.path, f"{self.place}, {key}[{number}]", entry) for number, entry in enumerate(value)]

    def wrong(self, key: str, value: object, wanted: str) -> DataError:
        return DataError(f"{self.path}: {self.place}: '{key}' is {_short(value)}, not {wanted}; correct the item")


def _load(path: Path) -> object:
    try:
        with path.open("rb") as stream:
            content = stream.read(_MAX_ITEM_BYTES + 1)
        if len(content) > _MAX_ITEM_BYTES:
            raise DataError(f"{path}: is larger than {_MAX_ITEM_BYTES // 1_000_000} MB, which no STAC item is")
        return json.loads(content)
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: cannot be read as JSON: {error}") from None


def _looks_like_item(raw: object) -> bool:
    return isinstance(raw, dict) and raw.get("type") == "Feature" and isinstance(raw.get("stac_version"), str)


def _sensors(item: _Fields, properties: _Fields, product: str) -> tuple[str, ...]:
    missions = {(properties.text(key) or "").lower() for key in ("platform", "constellation")}
    products = [text.lower() for text in (item.text("collection"), *map(properties.text, _PRODUCT_FIELDS)) if text]
    stated = {
        sensor
        for mission, level, sensor in _SENSORS
        if any(re.fullmatch(mission, text) for text in missions) and any(re.search(level, text) for text in products)
    }
    # the product's own name settles what a mission and a collection leave open
    stated = stated or {sensor for sensor in (product_sensor(Path("/", product)),) if sensor is not None}
    return tuple(sorted(stated))


def _holds_data(asset: _Fields, key: str) -> bool:
    """Whether an asset is a raster of data: by role, media type and ending."""
    roles = {role.lower() for role in asset.texts("roles")}
    media = (asset.text("type") or _MEDIA_TYPES[0]).split(";")[0].strip().lower()
    return not _NO_DATA_ROLES & {*roles, key.lower()} and (not roles or "data" in roles) and media in _MEDIA_TYPES


def _asset(key: str, asset: _Fields, properties: _Fields) -> ItemAsset:
    href = asset.text("href")
    if href is None:
        raise DataError(f"{asset.path}: {asset.place} has no 'href'; correct the item")
    listed = _entries(asset) or [entry for entry in _entries(properties) if entry.text("name") == key]
    bare = _Fields(asset.path, asset.place, {})
    sizes = [owner.number(name) for owner in (asset, *listed) for name in ("gsd", "raster:spatial_resolution", "spatial_resolution")]
    return ItemAsset(
        key=key,
        href=href,
        original=not {"sampling:upsampled", "sampling:downsampled"} & set(asset.texts("roles")),
        gsd_m=min((size for size in sizes if size is not None), default=float("inf")),
        bands=tuple(_band(entry, asset, properties) for entry in listed or [bare]),
        listed=bool(listed),
    )


def _entries(owner: _Fields) -> list[_Fields]:
    """Return the entries of `bands`, or of `eo:bands` and `raster:bands` joined by their index."""
    optical, raster = owner.objects("eo:bands"), owner.objects("raster:bands")
    if optical and raster and len(optical) != len(raster):
        raise DataError(f"{owner.path}: {owner.place} has {len(optical)} eo:bands but {len(raster)} raster:bands; correct the item")
    return owner.objects("bands") or [
        _Fields(owner.path, (first or second).place, {**(first.raw if first else {}), **(second.raw if second else {})})
        for first, second in zip_longest(optical, raster)
    ]


def _band(band: _Fields, asset: _Fields, properties: _Fields) -> ItemBand:
    def stated(field: str) -> tuple[_Fields, str]:
        """Return the first of band, asset and item that has the field, and the field's name there."""
        places = [(band, field), (band, field.split(":")[-1]), (asset, field), (properties, field)]
        return next(((owner, name) for owner, name in places if owner.value(name) is not None), places[0])

    def number(field: str) -> float | None:
        owner, name = stated(field)
        return owner.number(name)

    def text(field: str) -> str | None:
        owner, name = stated(field)
        return owner.text(name)

    owner, name = stated("sar:polarizations")
    polarizations = owner.texts(name)
    owner, name = stated("nodata")
    nodata = owner.nodata(name)
    scale = number("raster:scale")
    if scale is not None and abs(scale) < 1 / _LARGEST:
        raise band.wrong("raster:scale", scale, "a number to multiply with")
    return ItemBand(
        name=band.text("name"),
        common_name=text("eo:common_name"),
        center_wavelength_um=number("eo:center_wavelength"),
        fwhm_um=number("eo:full_width_half_max"),
        polarization=polarizations[0] if len(polarizations) == 1 else None,
        scale=scale,
        offset=number("raster:offset"),
        nodata=nodata,
        unit=text("unit"),
    )


def _short(value: object) -> str:
    # repr also keeps line breaks and half characters out of the message
    return repr(value)[:60] if not isinstance(value, int) or abs(value) < _LARGEST else "a huge number"
