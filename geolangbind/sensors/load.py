"""Read a sensor's YAML file into a `Sensor`, refusing what is unknown, missing or out of range."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import yaml

from geolangbind.errors import SensorError, UnitError
from geolangbind.sensors.records import CARRIERS, MODALITIES, PRODUCT_LEVELS, Band, ScaleRule, Sensor, band_key, nearest
from geolangbind.sensors.units import Unit

WAVELENGTH_RANGE_UM = (0.3, 20.0)
_WIDTH_RANGE_UM = (0.0005, 10.0)
_FREQUENCY_RANGE_GHZ = (0.2, 100.0)
_POLARIZATIONS = ("VV", "VH", "HH", "HV")
_NANOMETRES_PER_UM = 1000.0

_REQUIRED = ("name", "title", "modality", "product_level", "unit", "bands", "sources")
_SENSOR_KEYS = (*_REQUIRED, "aliases", "scale", "offset", "rule", "nodata", "carrier", "platforms")
_BAND_KEYS = tuple(field.name for field in fields(Band))
_PLATFORM_BAND_KEYS = ("center_wavelength_um", "fwhm_um")
# libyaml where the wheel has it: EnMAP's 224 bands then parse in milliseconds
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load_sensor_file(path: Path | str, platform: str | None = None) -> Sensor:
    """Read a sensor record.

    Args:
        path: YAML file; the keys are the fields of `Sensor` and `Band`, see the catalog folder for examples.
        platform: which satellite's centre wavelengths to use; the first of the file if None.

    Raises:
        SensorError: the file cannot be read, a key or value is unknown, missing or out of range.
        UnitError: a unit is unknown.
    """
    path = Path(path)
    try:
        return parse_sensor(path.read_text(encoding="utf-8"), platform)
    except OSError as error:
        raise SensorError(f"{path}: cannot read the sensor file: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SensorError(f"{path}: not a YAML file: {' '.join(str(error).split())}") from error
    except UnitError as error:
        raise UnitError(f"{path}: {error}") from error
    except SensorError as error:
        raise SensorError(f"{path}: {error}") from error


def parse_sensor(text: str, platform: str | None = None) -> Sensor:
    """Read a sensor record from the content of its file; see `load_sensor_file` for arguments and failures."""
    try:
        content = yaml.load(text, Loader=_LOADER)
    except yaml.YAMLError as error:
        raise SensorError(f"not a YAML file: {' '.join(str(error).split())}") from error
    return _parse_sensor(content, platform)


def _parse_sensor(content: object, platform: str | None) -> Sensor:
    record = _mapping(content, "the file", _SENSOR_KEYS)
    missing = [key for key in _REQUIRED if key not in record]
    if missing:
        raise SensorError(f"needs {', '.join(missing)}")
    if not isinstance(record["bands"], list) or not record["bands"]:
        raise SensorError("bands must be a list with at least one band")
    scale, offset = _number(record, "scale", "the sensor"), _number(record, "offset", "the sensor")
    rule = ScaleRule(_choice(record.get("rule", ScaleRule.FIXED.value), "rule", tuple(ScaleRule)))
    if rule is ScaleRule.FIXED and (scale is None or offset is None):
        raise SensorError("needs scale and offset (stored * scale + offset = unit), or a rule other than fixed")
    bands = tuple(_parse_band(entry, number) for number, entry in enumerate(record["bands"], start=1))
    _check_unique(bands)
    sensor = Sensor(
        name=str(record["name"]),
        title=str(record["title"]),
        modality=_choice(record["modality"], "modality", MODALITIES),
        product_level=_choice(record["product_level"], "product_level", PRODUCT_LEVELS),
        unit=Unit.parse(str(record["unit"])),
        scale=scale,
        offset=offset,
        bands=bands,
        sources=_texts(record["sources"], "sources"),
        aliases=_texts(record.get("aliases", []), "aliases"),
        rule=rule,
        nodata=_number(record, "nodata", "the sensor"),
        carrier=None if record.get("carrier") is None else _choice(record["carrier"], "carrier", CARRIERS),
    )
    if not sensor.sources:
        raise SensorError("sources must name where the numbers come from")
    return _with_platform(sensor, record.get("platforms", {}), platform)


def _parse_band(entry: object, number: int) -> Band:
    record = _mapping(entry, f"band {number}", _BAND_KEYS)
    if "name" not in record:
        raise SensorError(f"band {number} needs a name")
    where = f"band {record['name']}"
    polarization = record.get("polarization")
    good = record.get("good", True)
    if not isinstance(good, bool):
        raise SensorError(f"{where}: good must be true or false, got '{good}'")
    return Band(
        name=str(record["name"]),
        aliases=_texts(record.get("aliases", []), f"{where}: aliases"),
        common_name=None if record.get("common_name") is None else str(record["common_name"]),
        center_wavelength_um=_wavelength(record, "center_wavelength_um", where, WAVELENGTH_RANGE_UM),
        fwhm_um=_wavelength(record, "fwhm_um", where, _WIDTH_RANGE_UM),
        gsd_m=_number(record, "gsd_m", where, above=0),
        frequency_ghz=_frequency(record, where),
        polarization=None if polarization is None else _choice(polarization, f"{where}: polarization", _POLARIZATIONS),
        good=good,
        unit=None if record.get("unit") is None else Unit.parse(str(record["unit"])),
        scale=_number(record, "scale", where),
        offset=_number(record, "offset", where),
    )


def _with_platform(sensor: Sensor, platforms: object, wanted: str | None) -> Sensor:
    table = _mapping(platforms, "platforms", None)
    if not table:
        if wanted is not None:
            raise SensorError(f"{sensor.name} has one band table for all satellites; leave the platform '{wanted}' out")
        return sensor
    by_key = {str(name).lower(): str(name) for name in table}
    chosen = next(iter(by_key.values())) if wanted is None else by_key.get(wanted.lower())
    if chosen is None:
        hint = nearest(str(wanted), list(by_key.values()))
        raise SensorError(f"{sensor.name} has no platform '{wanted}'{hint}; platforms are {', '.join(by_key.values())}")
    overrides = _mapping(table[chosen], f"platform {chosen}", tuple(band.name for band in sensor.bands))
    bands = []
    for band in sensor.bands:
        where = f"platform {chosen}, band {band.name}"
        values = _mapping(overrides.get(band.name, {}), where, _PLATFORM_BAND_KEYS)
        if values:
            # the width of another satellite is not taken over: a platform that states a centre states its width or has none
            centre = _wavelength(values, "center_wavelength_um", where, WAVELENGTH_RANGE_UM)
            band = replace(band, center_wavelength_um=centre, fwhm_um=_wavelength(values, "fwhm_um", where, _WIDTH_RANGE_UM))
        bands.append(band)
    return replace(sensor, bands=tuple(bands), platform=chosen, platforms=tuple(by_key.values()))


def _mapping(value: object, where: str, allowed: tuple[str, ...] | None) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise SensorError(f"{where} must hold 'key: value' lines, got {type(value).__name__}")
    unknown = [str(key) for key in value if allowed is not None and key not in allowed]
    if unknown and allowed is not None:
        raise SensorError(f"{where} has an unknown key '{unknown[0]}'{nearest(unknown[0], allowed)}; keys are {', '.join(allowed)}")
    return value


def _number(record: Mapping[str, Any], key: str, where: str, above: float | None = None) -> float | None:
    value = record.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SensorError(f"{where}: {key} must be a number, got '{value}' (write 0.0001 rather than 1e-4)")
    if above is not None and value <= above:
        raise SensorError(f"{where}: {key} must be above {above:g}, got {value:g}")
    return float(value)


def _wavelength(record: Mapping[str, Any], key: str, where: str, limits: tuple[float, float]) -> float | None:
    value = _number(record, key, where)
    low, high = limits
    if value is None or low <= value <= high:
        return value
    in_um = value / _NANOMETRES_PER_UM
    hint = f"; did you mean {in_um:g} µm?" if low <= in_um <= high else ""
    raise SensorError(f"{where}: {key} {value:g} lies outside {low:g} to {high:g} µm{hint}")


def _frequency(record: Mapping[str, Any], where: str) -> float | None:
    value = _number(record, "frequency_ghz", where)
    low, high = _FREQUENCY_RANGE_GHZ
    if value is not None and not low <= value <= high:
        raise SensorError(f"{where}: frequency_ghz {value:g} lies outside {low:g} to {high:g} GHz")
    return value


def _choice(value: object, where: str, valid: tuple[str, ...]) -> str:
    if str(value) not in valid:
        raise SensorError(f"{where} '{value}' is unknown{nearest(str(value), valid)}; choose from {', '.join(valid)}")
    return str(value)


def _texts(value: object, where: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise SensorError(f"{where} must be a list")
    return tuple(str(item) for item in value)


def _check_unique(bands: tuple[Band, ...]) -> None:
    seen: dict[str, str] = {}
    for band in bands:
        for name in {band_key(band.name), *map(band_key, band.aliases)}:
            if name in seen:
                raise SensorError(f"bands {seen[name]} and {band.name} share the name '{name}'")
            seen[name] = band.name
