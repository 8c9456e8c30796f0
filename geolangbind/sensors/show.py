"""Sensors as tables for the terminal: `geolangbind sensors` and `geolangbind sensors show NAME`."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from geolangbind.sensors import list_sensors
from geolangbind.sensors.records import Band, ScaleRule, Sensor

_RULES = {
    ScaleRule.SENTINEL2_BASELINE: "{unit} = stored * {scale:g} + offset; the offset is -0.1 from processing baseline 04.00 on, 0 before",
    ScaleRule.LANDSAT_MTL: "{unit} with the constants of the scene's *_MTL.txt",
    ScaleRule.SCALE_VARIES: "{unit} = stored * --scale + --offset, to be said",
    ScaleRule.UNIT_VARIES: "--unit is to be said ({unit} or another)",
}


def render_sensors(sensors: Sequence[Sensor] | None = None) -> Table:
    """Return one line per sensor.

    Args:
        sensors: what to list; the whole catalog if None.
    """
    table = Table(title="Sensors", title_justify="left")
    for header in ("name", "modality", "bands", "wavelengths", "unit", "also called"):
        table.add_column(header, justify="right" if header == "bands" else "left", overflow="fold", no_wrap=header == "name")
    for sensor in list_sensors() if sensors is None else sensors:
        table.add_row(
            sensor.name, sensor.modality, _count(sensor), _extent(sensor.bands), sensor.unit.value, ", ".join(sensor.aliases)
        )  # fmt: skip
    return table


def render_sensor(sensor: Sensor) -> Group:
    """Return a sensor's title, unit rule, band table and sources."""
    platform = f", wavelengths of {sensor.platform} (also {', '.join(p for p in sensor.platforms if p != sensor.platform)})"
    head = Text(f"{sensor.name}: {sensor.title}", style="bold")
    facts = Text(f"modality {sensor.modality}, product level {sensor.product_level}{platform if sensor.platforms else ''}\n{_rule(sensor)}")
    sources = Text("Sources:\n" + "\n".join(f"  - {source}" for source in sensor.sources))
    return Group(head, facts, _band_table(sensor), sources)


def _band_table(sensor: Sensor) -> Table:
    table = Table()
    for header in ("band", "aliases", "common name", "centre µm", "width µm", "pixel m", "radar", "unit", "good"):
        table.add_column(header, justify="right" if header.endswith((" µm", " m")) else "left")
    for band in sensor.bands:
        radar = f"{band.frequency_ghz:g} GHz {band.polarization or ''}" if band.frequency_ghz is not None else ""
        table.add_row(
            band.name, ", ".join(band.aliases), band.common_name or "", _number(band.center_wavelength_um), _number(band.fwhm_um),
            _number(band.gsd_m), radar, sensor.unit_of(band).value, "" if band.good else "no",
        )  # fmt: skip
    return table


def _rule(sensor: Sensor) -> str:
    text = _RULES.get(sensor.rule, "{unit} = stored * {scale:g} + {offset:g}")
    rule = text.format(unit=sensor.unit.value, scale=sensor.scale or 0.0, offset=sensor.offset or 0.0)
    return rule if sensor.nodata is None else f"{rule}; no data where stored = {sensor.nodata:g}"


def _count(sensor: Sensor) -> str:
    good = len(sensor.good_bands)
    return str(good) if good == len(sensor.bands) else f"{good} of {len(sensor.bands)}"


def _extent(bands: Sequence[Band]) -> str:
    centres = [band.center_wavelength_um for band in bands if band.center_wavelength_um is not None]
    if centres:
        low, high = f"{min(centres):.3g}", f"{max(centres):.3g}"
        return f"{low} µm" if low == high else f"{low} to {high} µm"
    frequencies = {band.frequency_ghz for band in bands if band.frequency_ghz is not None}
    return ", ".join(f"{frequency:g} GHz" for frequency in sorted(frequencies))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"
