"""Sensors, bands, units and channels: the physics every other part leans on. Importable without torch.

This package is the one door: `get_sensor("sentinel-2-l2a").select(near=[0.665, 0.56, 0.49])`.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from geolangbind.errors import SensorError
from geolangbind.sensors.channels import KINDS, ChannelSet, channel_set, modality_of
from geolangbind.sensors.load import load_sensor_file, parse_sensor
from geolangbind.sensors.records import Band, ScaleRule, Sensor, nearest
from geolangbind.sensors.units import Unit

__all__ = [
    "KINDS",
    "Band",
    "ChannelSet",
    "ScaleRule",
    "Sensor",
    "Unit",
    "add_sensor",
    "channel_set",
    "get_sensor",
    "list_sensors",
    "load_sensor_file",
    "modality_of",
]

_ADDED: dict[str, str] = {}
"""Files of sensors that are not in the catalog, by name: those of shards that were opened, see `add_sensor`."""
_CATALOG = Path(__file__).with_name("catalog")
_CACHED_SENSORS = 64


def get_sensor(name: str | Path, platform: str | None = None) -> Sensor:
    """Return a sensor by name, by alias, or from a user's own YAML file.

    Args:
        name: registry key ("sentinel-2-l2a"), alias ("s2-l2a"; case and underscores do not matter) or path of a `.yaml` file.
        platform: satellite whose centre wavelengths to use ("S2B"), for sensors that differ between satellites.

    Raises:
        SensorError: no such sensor (the message has the nearest and all names) or platform, or the file is wrong.
        UnitError: the file names an unknown unit.
    """
    if str(name).lower().endswith((".yaml", ".yml")):
        return load_sensor_file(name, platform)
    if str(name) in _ADDED:
        return _parse(_ADDED[str(name)], platform)
    key = _key(str(name))
    path = _aliases().get(key) if key not in _names() else _CATALOG / f"{key}.yaml"
    if path is None:
        raise SensorError(
            f"unknown sensor '{name}'{nearest(key, [*_names(), *_aliases()])}; sensors are {', '.join(_names())}, "
            "or give the path of your own sensor's .yaml file"
        )
    return _load(path, platform)


def add_sensor(text: str) -> Sensor:
    """Make a sensor of the user's own known to this process by its name. Shards keep the file of such a sensor, and so bring it along.

    Args:
        text: content of its YAML file.

    Raises:
        SensorError: the file is wrong, or the name is taken by another sensor.
        UnitError: the file names an unknown unit.
    """
    sensor = _parse(text, None)
    if _key(sensor.name) in (*_names(), *_aliases()) or _ADDED.get(sensor.name, text) != text:
        raise SensorError(f"sensor '{sensor.name}' is known already, with another record; give yours another name")
    _ADDED[sensor.name] = text
    return sensor


def list_sensors() -> list[Sensor]:
    """Return every sensor of the catalog, in the order of their names."""
    return [_load(_CATALOG / f"{name}.yaml", None) for name in _names()]


@lru_cache(maxsize=_CACHED_SENSORS)
def _load(path: Path, platform: str | None) -> Sensor:
    return load_sensor_file(path, platform)


@lru_cache(maxsize=_CACHED_SENSORS)
def _parse(text: str, platform: str | None) -> Sensor:
    return parse_sensor(text, platform)


@lru_cache(maxsize=1)
def _names() -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in _CATALOG.glob("*.yaml")))


@lru_cache(maxsize=1)
def _aliases() -> dict[str, Path]:
    return {_key(alias): _CATALOG / f"{sensor.name}.yaml" for sensor in list_sensors() for alias in sensor.aliases}


def _key(name: str) -> str:
    return name.strip().lower().replace("_", "-").replace(" ", "-")
