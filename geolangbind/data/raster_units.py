"""How the stored numbers of a raster become physical ones: what was said, then the file, then the sensor's rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geolangbind.data.landsat_mtl import ThermalConstants, find_mtl, radiance_gain, read_mtl, reflectance_gain
from geolangbind.data.raster_bands import Layer
from geolangbind.data.raster_source import product_baseline
from geolangbind.errors import UnitError
from geolangbind.sensors.records import ScaleRule, Sensor
from geolangbind.sensors.units import Unit

_BASELINE_OFFSET_DN = -1000.0
_OFFSET_BASELINE = 4.0
"""Sentinel-2 products carry the offset from this processing baseline on (Sentinel-2 Products Specification Document)."""

_UNITS_OF_MODALITY: dict[str, frozenset[Unit]] = {
    "sar": frozenset(unit for unit in Unit if unit.startswith(("sigma0", "gamma0"))),
    "dem": frozenset({Unit.ELEVATION_M, Unit.HEIGHT_M}),
}
_OPTICAL_UNITS = frozenset({Unit.REFLECTANCE, Unit.DISPLAY_U8, Unit.BRIGHTNESS_TEMPERATURE_K, Unit.SURFACE_TEMPERATURE_K, Unit.CELSIUS})
_FEET = ("ft", "feet", "foot", "us survey foot", "ftus")


@dataclass(frozen=True)
class Calibration:
    """value = stored * scale + offset, in `unit`; then to kelvin where `thermal` is set."""

    unit: Unit
    scale: float
    offset: float
    thermal: ThermalConstants | None = None
    guarded: bool = False
    """True if the scale is the sensor's rule and the file holds floats: they may be scaled already."""

    def apply(self, stored: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the physical values, float32, same shape."""
        # float64 keeps 4e-5 and large DNs exact before the rounding to float32
        values = (stored.astype(np.float64) * self.scale + self.offset).astype(np.float32)
        return values if self.thermal is None else self.thermal.brightness_temperature(values)


@dataclass(frozen=True)
class Said:
    """What the user said about units: `--unit`, `--scale`, `--offset`."""

    unit: Unit | None = None
    scale: float | None = None
    offset: float | None = None


def calibrate(layer: Layer, sensor: Sensor, said: Said, where: Path) -> tuple[Calibration, str]:
    """Decide the unit, scale and offset of one channel: what was said, then the file's tags, then the sensor's rule.

    Args:
        layer: the channel.
        sensor: its sensor.
        said: what the user said.
        where: the raster or folder the user named, for messages and the MTL file.

    Returns:
        The calibration and a note on what was decided and why.

    Raises:
        UnitError: unit, scale or offset are unknown or contradict each other.
        DataError: the Landsat MTL file is not usable.
    """
    unit = _unit(layer, sensor, said, where)
    _check_family(unit, sensor, where)
    if said.scale is not None and said.offset is not None:
        return Calibration(unit, said.scale, said.offset), f"{unit} = stored * {said.scale:g} + {said.offset:g}, as said"
    scale = said.scale if said.scale is not None else layer.stored.scale
    offset = said.offset if said.offset is not None else layer.stored.offset
    if layer.source.is_picture or unit is not sensor.unit_of(layer.band) or sensor.rule is ScaleRule.UNIT_VARIES:
        plain = Calibration(unit, 1.0 if scale is None else scale, offset or 0.0)
        return plain, f"values are {unit} (stored * {plain.scale:g} + {plain.offset:g})"
    if sensor.rule is ScaleRule.LANDSAT_MTL:
        return _from_mtl(layer, unit, where)
    calibration, note = _by_rule(layer, sensor, unit, scale, offset, where)
    if said.scale is not None or said.offset is not None:
        note = "as said"
    elif scale is not None:
        by = layer.stored.stated_by
        note = f"scale of the {by}, {note}" if offset is None else f"scale and offset of the {by}"
    return calibration, f"{unit} = stored * {calibration.scale:g} + {calibration.offset:g} ({note})"


def _by_rule(layer: Layer, sensor: Sensor, unit: Unit, scale: float | None, offset: float | None, where: Path) -> tuple[Calibration, str]:
    """Fill in the scale and offset that neither the user nor the file said."""
    rule_scale, rule_offset = sensor.scale_of(layer.band)
    guarded = not layer.source.is_integer and scale is None and rule_scale != 1
    note = f"rule of {sensor.name}"
    if scale is None:
        scale = rule_scale
    if scale is None or (offset is None and sensor.rule is ScaleRule.SCALE_VARIES):
        raise UnitError(
            f"{where}: {sensor.name} is calibrated differently in every order; give --scale and --offset ({unit} = stored * scale + offset)"
        )
    if offset is None and sensor.rule is ScaleRule.SENTINEL2_BASELINE:
        offset, note = _baseline_offset(layer, scale, where)
    elif offset is None:
        # the record's offset belongs to the record's scale
        offset = rule_offset if scale == rule_scale else None
    return Calibration(unit, scale, offset or 0.0, guarded=guarded), note


def _unit(layer: Layer, sensor: Sensor, said: Said, where: Path) -> Unit:
    if said.unit is not None:
        return said.unit
    if layer.source.is_picture:
        return Unit.DISPLAY_U8
    rule_unit = sensor.unit_of(layer.band)
    tag = (layer.stored.unit or "").strip().lower()
    if tag in _FEET and rule_unit in (Unit.ELEVATION_M, Unit.HEIGHT_M) and said.scale is None:
        raise UnitError(f"{where}: is in feet ('{tag}'); say --scale 0.3048 --offset 0 to have metres")
    if tag in tuple(Unit):
        return Unit(tag)
    if tag in ("c", "°c", "degc", "celsius", "degrees celsius") and sensor.modality == "ir":
        return Unit.CELSIUS
    if tag in ("k", "kelvin") and rule_unit in (Unit.BRIGHTNESS_TEMPERATURE_K, Unit.SURFACE_TEMPERATURE_K):
        return rule_unit
    if sensor.rule is ScaleRule.UNIT_VARIES:
        units = sorted(_UNITS_OF_MODALITY.get(sensor.modality, _OPTICAL_UNITS - {Unit.REFLECTANCE, Unit.DISPLAY_U8}))
        raise UnitError(f"{where}: does not say its unit, and {sensor.name} comes in several; say --unit {' or '.join(units)}")
    return rule_unit


def _possible_units(sensor: Sensor) -> frozenset[Unit]:
    return _UNITS_OF_MODALITY.get(sensor.modality, _OPTICAL_UNITS) | {sensor.unit}


def _check_family(unit: Unit, sensor: Sensor, where: Path) -> None:
    if unit is Unit.DN:
        raise UnitError(f"{where}: numbers without a physical meaning cannot be used; say what they become: --unit, --scale, --offset")
    possible = _possible_units(sensor)
    if unit not in possible:
        raise UnitError(f"{where}: {sensor.name} cannot be in {unit}; its units are {', '.join(sorted(possible))}")


def _from_mtl(layer: Layer, unit: Unit, where: Path) -> tuple[Calibration, str]:
    path = find_mtl(where)
    constants = read_mtl(path)
    if unit is Unit.BRIGHTNESS_TEMPERATURE_K:
        scale, offset, thermal = radiance_gain(constants, layer.band.name, path)
        return Calibration(unit, scale, offset, thermal), f"brightness temperature with the constants of {path.name}"
    scale, offset = reflectance_gain(constants, layer.band.name, path)
    return Calibration(unit, scale, offset), f"top-of-atmosphere reflectance with gains and sun elevation of {path.name}"


def _baseline_offset(layer: Layer, scale: float, where: Path) -> tuple[float, str]:
    """Return the Sentinel-2 offset in reflectance and why it is that."""
    tags = {**layer.source.tags, **layer.stored.tags}
    stated = next((tags[key] for key in ("BOA_ADD_OFFSET", "RADIO_ADD_OFFSET") if key in tags), None)
    if stated is not None:
        return _tag_number(stated, "BOA_ADD_OFFSET or RADIO_ADD_OFFSET", where) * scale, f"offset of {stated} in the file's tags"
    text = tags.get("PROCESSING_BASELINE")
    baseline = product_baseline(layer.source.path) if text is None else _tag_number(text, "PROCESSING_BASELINE", where)
    if baseline is None:
        raise UnitError(
            f"{where}: whether the Sentinel-2 offset of processing baseline 04.00 is in these numbers is unknown; say --offset 0 for "
            "products before baseline 04.00 (or harmonised ones), --offset -0.1 for 04.00 and after (early 2022 on, and reprocessed ones)"
        )
    baseline = baseline / 100 if baseline >= 100 else baseline  # "0400", as in product names
    if baseline >= _OFFSET_BASELINE:
        return _BASELINE_OFFSET_DN * scale, f"baseline {baseline:05.2f} offset of {_BASELINE_OFFSET_DN:g} applied"
    return 0.0, f"baseline {baseline:05.2f} has no offset"


def _tag_number(text: str, key: str, where: Path) -> float:
    try:
        return float(text)
    except ValueError:
        raise UnitError(f"{where}: its tag {key} is '{text}', not a number; say --offset") from None


def refuse_mixed_units(layers: Sequence[Layer], calibrations: Sequence[Calibration], where: Path) -> None:
    """Refuse channels of different units in one image.

    Raises:
        UnitError: shows one `--bands` line per unit.
    """
    groups: dict[Unit, list[str]] = {}
    for layer, calibration in zip(layers, calibrations, strict=True):
        groups.setdefault(calibration.unit, []).append(layer.band.name)
    if len(groups) > 1:
        lines = " or ".join(f"--bands {','.join(bands)} ({unit})" for unit, bands in groups.items())
        raise UnitError(f"{where}: the bands have different units; read them apart with {lines}")
