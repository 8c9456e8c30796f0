"""Which band of the sensor each channel of a raster is: from descriptions, wavelengths, file names, or what the user says.

An equal number of channels and bands is never taken as an order: thirteen channels of a Sentinel-2 file may have B8A last.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rasterio.enums import ColorInterp

from geolangbind.data.raster_source import FOLDER_SUFFIXES, FileBand, Source, inspect, product_sensor
from geolangbind.errors import DataError, SensorError
from geolangbind.sensors.records import Band, Sensor, band_key, find_band, names

_GENERIC = re.compile(r"(band|layer|channel|gray|grey|b)?[\s_\-#]*\d*$", flags=re.IGNORECASE)
"""Descriptions that number the channels and name nothing."""
_NUMBERED = re.compile(r"band\s*(\d+)\b", flags=re.IGNORECASE)
_COLORS = {ColorInterp.red: "red", ColorInterp.green: "green", ColorInterp.blue: "blue"}
WAVELENGTH_TOL_UM = 0.01
"""A wavelength in the file further than this from every band of the sensor is another sensor's."""


@dataclass(frozen=True)
class Layer:
    """One wanted channel: where it is stored and which band it is."""

    source: Source
    stored: FileBand
    band: Band


def layers_of_file(source: Source, sensor: Sensor, wanted: Sequence[str] | None) -> tuple[tuple[Layer, ...], tuple[str, ...]]:
    """Assign the channels of one file to bands.

    Args:
        source: the inspected file.
        sensor: the sensor it is from.
        wanted: `--bands`: a selection where the file names its bands, else the order of all channels.

    Returns:
        The layers in the order wanted (else of the file), and notes on how the bands were found.

    Raises:
        SensorError: the bands are not known, or the file contradicts what was said.
    """
    known, note = _known_bands(source, sensor)
    if known is None:
        return _said_bands(source, sensor, wanted)
    layers = {band.name: Layer(source, stored, band) for stored, band in zip(source.bands, known, strict=True) if band is not None}
    if wanted is not None:
        return tuple(_pick(layers, sensor, name, f"{source.path}") for name in _distinct(sensor, wanted)), (note,)
    strangers = [stored.description or f"channel {stored.index}" for stored, band in zip(source.bands, known, strict=True) if band is None]
    if strangers:
        raise SensorError(
            f"{source.path}: {', '.join(strangers)} is no band of {sensor.name}; choose from the others with --bands {','.join(layers)}"
        )
    chosen = tuple(layer for layer in layers.values() if layer.band.good)
    if len(chosen) in (0, len(layers)):
        return tuple(layers.values()), (note,)
    return chosen, (note, f"{len(layers) - len(chosen)} bands left out that are on the bad-band list")


def layers_of_folder(folder: Path, sensor: Sensor, wanted: Sequence[str] | None) -> tuple[tuple[Layer, ...], tuple[str, ...]]:
    """Assign the single-band GeoTIFFs of a folder to bands by the token in their names (`..._B8A.tif`).

    Files of other sensors and files that name no band (labels, masks) are passed over.

    Returns:
        The layers in the order wanted (else of the sensor), and notes.

    Raises:
        DataError: a file cannot be read or holds several channels.
        SensorError: no file names a band, two files name the same one, or a wanted band is missing.
    """
    found: dict[str, Path] = {}
    for path in raster_files(folder):
        stated = product_sensor(Path(path.name))
        band = _token_band(path, sensor) if stated in (None, sensor.name) else None
        if band is None:
            continue
        if band.name in found:
            raise SensorError(f"{folder}: {found[band.name].name} and {path.name} are both {band.name}; keep one scene in a folder")
        found[band.name] = path
    if not found:
        raise SensorError(
            f"{folder}: no GeoTIFF there is named after a band of {sensor.name} (as in *_{sensor.bands[0].name}.tif); "
            f"bands are {names(sensor.bands)}"
        )
    layers = {}
    for name in found if wanted is None else [sensor.band(name).name for name in wanted if sensor.band(name).name in found]:
        source = inspect(found[name])
        if len(source.bands) != 1:
            raise DataError(f"{found[name]}: has {len(source.bands)} channels where a folder holds one band a file; give the file itself")
        layers[name] = Layer(source, source.bands[0], sensor.band(name))
    note = "bands from the file names"
    if wanted is not None:
        return tuple(_pick(layers, sensor, name, str(folder)) for name in _distinct(sensor, wanted)), (note,)
    missing = [band.name for band in sensor.good_bands if band.name not in layers]
    chosen = tuple(layers[band.name] for band in sensor.good_bands if band.name in layers) or tuple(layers.values())
    return chosen, (note, *([f"not in the folder: {', '.join(missing)}"] if missing else []))


def raster_files(folder: Path) -> list[Path]:
    """Return the GeoTIFFs of a folder in the order of their names."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in FOLDER_SUFFIXES and path.is_file())


def _known_bands(source: Source, sensor: Sensor) -> tuple[list[Band | None] | None, str]:
    """Return the band of each channel as far as the file says, or None if it does not; and where that was found."""
    if source.is_picture and len(source.bands) == 3 and source.colors[:3] == tuple(_COLORS):
        by_color = {band.common_name: band for band in sensor.bands}
        found = [by_color.get(_COLORS[color]) for color in source.colors[:3]]
        if None not in found:
            return found, f"red, green, blue as the {source.driver} format states"
    if any(stored.wavelength_um is not None for stored in source.bands):
        return _bands_by_wavelength(source, sensor), "bands from the wavelengths in the file"
    described = [None if _is_generic(stored.description, sensor) else stored.description for stored in source.bands]
    if any(described):
        found = [find_band(sensor.bands, text) if text else None for text in described]
        if not any(found):
            raise SensorError(
                f"{source.path}: calls its channels {', '.join(text for text in described if text)[:200]}, which are no bands of "
                f"{sensor.name} ({names(sensor.bands)}); choose another --sensor, or describe yours in a YAML file with these aliases"
            )
        _refuse_twice(source, found)
        return found, "bands from the descriptions in the file"
    if len(source.bands) == 1:
        token = _token_band(source.path, sensor)
        if token is not None:
            return [token], f"band {token.name} from the file name"
        if len(sensor.bands) == 1:
            return [sensor.bands[0]], f"{sensor.name} has one band"
    return None, ""


def _said_bands(source: Source, sensor: Sensor, wanted: Sequence[str] | None) -> tuple[tuple[Layer, ...], tuple[str, ...]]:
    count = len(source.bands)
    if wanted is None:
        order = names(sensor.bands) if count == len(sensor.bands) else f"{sensor.bands[0].name},..."
        raise SensorError(
            f"{source.path}: does not say which of its {count} channels is which band, and a count is no order; "
            f"say it in the order of the file, for example --bands {order}"
        )
    if len(wanted) != count:
        raise SensorError(
            f"{source.path}: has {count} channels without names, but bands (--bands) has {len(wanted)} names; "
            "name all of them in the order of the file"
        )
    bands = sensor.select(bands=wanted)
    return tuple(Layer(source, stored, band) for stored, band in zip(source.bands, bands, strict=True)), ("bands in the order said",)


def _bands_by_wavelength(source: Source, sensor: Sensor) -> list[Band | None]:
    """Match channels to bands by wavelength; the records then carry the file's own wavelengths and bad-band list."""
    optical = [band for band in sensor.bands if band.center_wavelength_um is not None]
    found: list[Band | None] = []
    for stored in source.bands:
        if stored.wavelength_um is None:
            found.append(find_band(sensor.bands, stored.description) if stored.description else None)
            continue
        close = [band for band in optical if abs((band.center_wavelength_um or 0.0) - stored.wavelength_um) <= WAVELENGTH_TOL_UM]
        if not close:
            raise SensorError(
                f"{source.path}: channel {stored.index} has the wavelength {stored.wavelength_um:g} µm, where {sensor.name} has no band; "
                "the sensor is another one"
            )
        named = _named_among(stored, sensor, close, source.path)
        nearest = min(close, key=lambda band: abs((band.center_wavelength_um or 0.0) - (stored.wavelength_um or 0.0)))
        found.append(
            replace(
                named or nearest,
                center_wavelength_um=stored.wavelength_um,
                fwhm_um=stored.fwhm_um or (named or nearest).fwhm_um,
                good=(named or nearest).good and stored.good,
            )
        )
    _refuse_twice(source, found)
    return found


def _named_among(stored: FileBand, sensor: Sensor, close: Sequence[Band], path: Path) -> Band | None:
    """Return the band that the description names, which must be one of those `close` to the stored wavelength.

    Needed where spectrometers overlap: two bands of EnMAP then lie nearer to each other than wavelengths differ between scenes.
    """
    if stored.description is None:
        return None
    named = find_band(sensor.bands, stored.description)
    if named is None and (numbered := _NUMBERED.match(stored.description)) is not None:
        # "band 12 (473 Nanometers)" counts channels, so it is a name only where the wavelength confirms it
        counted = find_band(sensor.bands, f"B{numbered[1]}")
        return counted if counted in close else None
    if named is not None and named not in close:
        raise SensorError(
            f"{path}: channel {stored.index} is called {named.name} but has the wavelength {stored.wavelength_um:g} µm, "
            f"and {named.name} of {sensor.name} lies at {named.center_wavelength_um:g} µm; correct one of the two"
        )
    return named


def _token_band(path: Path, sensor: Sensor) -> Band | None:
    """Return the one band that a part of the file name ("..._VV_...") names, or None."""
    parts = re.split(r"[_.\-\s]+", path.stem)
    found = {band.name: band for part in parts if (band := find_band(sensor.bands, part)) is not None}
    if len(found) > 1:
        raise SensorError(f"{path}: its name holds several bands of {sensor.name} ({', '.join(found)}); rename it or say --bands")
    return next(iter(found.values()), None)


def _is_generic(description: str | None, sensor: Sensor) -> bool:
    if description is None:
        return True
    # "B1" numbers channels in some tools and names the band in others: a name if the sensor has it
    return _GENERIC.match(description) is not None and find_band(sensor.bands, description) is None


def _refuse_twice(source: Source, found: Sequence[Band | None]) -> None:
    listed = [band.name for band in found if band is not None]
    twice = sorted({name for name in listed if listed.count(name) > 1})
    if twice:
        raise SensorError(f"{source.path}: two channels are {', '.join(twice)}; its names are wrong, or the sensor is another one")


def _distinct(sensor: Sensor, wanted: Sequence[str]) -> list[str]:
    return [band.name for band in sensor.select(bands=wanted)]


def _pick(layers: Mapping[str, Layer], sensor: Sensor, name: str, where: str) -> Layer:
    by_key = {band_key(key): layer for key, layer in layers.items()}
    layer = by_key.get(band_key(name))
    if layer is None:
        raise SensorError(f"{where}: has no band {name} of {sensor.name}; it has {','.join(layers)}")
    return layer
