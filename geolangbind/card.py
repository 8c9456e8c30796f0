"""The model card: README.md of a model folder, for people and for the hub. It says what config.json says, and nothing beyond."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import chain
from typing import Any

import yaml

from geolangbind.errors import SensorError
from geolangbind.sensors import Band, Sensor, get_sensor

UNKNOWN, INHERITED = "unknown", "that of its own parents"
KNOWN_LICENCES = {"earthflow/GeoLB-*": "cc-by-nc-4.0", "timm/ViT-*-SigLIP*": "apache-2.0"}
"""Licences of released weights by hub repository, under the hub's identifiers."""

_UNITS = {
    "reflectance": "reflectance",
    "display": "display_u8",
    "sigma0": "sigma0_db",
    "gamma0": "gamma0_db",
    "brightness": "brightness_temperature_k",
    "surface": "surface_temperature_k",
    "elevation": "elevation_m",
    "height": "height_m",
}
"""By the first word of the physical kind."""
_LISTED_BANDS = 16  # a hyperspectral sensor becomes one row
_SHA_LETTERS = 12

Json = Mapping[str, Any]


def model_card(config: Json, *, results: Sequence[Json] | None = None, licence: str | None = None, source: str = "FOLDER") -> str:
    """Write the card of a model.

    Args:
        config: content of config.json, of this or an older release: what is absent is left out or called unknown.
        results: rows of results.jsonl measured on these weights, see `evaluate.results.ResultRow`.
        licence: of these weights, as the hub spells licences; by default the parents', if they agree.
        source: what `geolangbind.load` is given in the example.

    Returns:
        Markdown with the hub's YAML header.
    """
    sensors = [str(name) for name in config.get("trained_sensors") or ()]
    parents = lineage(config)
    sections = [
        _header(config, sensors, parents, licence),
        "# A geolangbind model\n\nImages of many Earth-observation sensors and text, encoded to unit vectors of one space.",
        _usage(config, sensors, source),
        _sensors(config, sensors),
        _kinds(config),
        _parents(parents, licence),
        _provenance(config),
        _results(results or ()),
        _limits(config, results or ()),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def lineage(config: Json) -> list[dict[str, Any]]:
    """The parents a configuration names, each with its `licence`: its own entry, else that of a known release, else unknown."""
    named = [dict(parent) for parent in config.get("parents") or () if isinstance(parent, Mapping)]
    return [{**parent, "licence": str(parent.get("licence") or _released(parent) or UNKNOWN)} for parent in named]


def hub_name(parent: Json) -> str | None:
    """The hub repository `owner/name` of a parent, if its path names one or lies in the hub's cache."""
    path = str(parent.get("path", ""))
    found = re.match(r"hf-hub:([\w.-]+/[\w.-]+)", path)
    cached = re.search(r"models--([\w.-]+?)--([\w.-]+)/snapshots/", path)
    return found[1] if found else f"{cached[1]}/{cached[2]}" if cached else None


def forbids_commerce(licence: str) -> bool:
    """Whether a licence is of the non-commercial Creative Commons family."""
    return "-nc" in licence.lower()


def _released(parent: Json) -> str | None:
    name = hub_name(parent)
    return next((licence for pattern, licence in KNOWN_LICENCES.items() if name and fnmatchcase(name, pattern)), None)


def _licence(parents: Sequence[Json], licence: str | None) -> str:
    """What the header says. A licence that drops a parent's ban on commerce is not repeated."""
    theirs = {parent["licence"] for parent in parents if parent["licence"] != INHERITED}
    if licence and (forbids_commerce(licence) or not any(map(forbids_commerce, theirs))):
        return licence.lower()
    if licence or len(theirs) > 1:
        return "other"
    return theirs.pop().lower() if theirs else UNKNOWN


def _header(config: Json, sensors: Sequence[str], parents: Sequence[Json], licence: str | None) -> str:
    modalities = sorted({record.modality for name in sensors if (record := _record(name))})
    header: dict[str, Any] = {
        "license": _licence(parents, licence),
        "library_name": "geolangbind",
        "pipeline_tag": "zero-shot-image-classification" if config.get("tokenizer") else "image-feature-extraction",
        "tags": ["earth-observation", "remote-sensing", *modalities],
    }
    if base := list(dict.fromkeys(name for parent in parents if (name := hub_name(parent)))):
        header["base_model"] = base
        if (config.get("provenance") or {}).get("tool") == "merge-weights":
            header["base_model_relation"] = "merge"
    return f"---\n{yaml.safe_dump(header, sort_keys=False, allow_unicode=True)}---"


def _usage(config: Json, sensors: Sequence[str], source: str) -> str:
    lines = ["```python", "import geolangbind", "", f'model = geolangbind.load("{source}")']
    lines.append(f"images = model.encode_image(image, {_example(config, sensors)})")
    if config.get("tokenizer"):
        lines.append('words = model.encode_text(["a satellite image of a harbour"])')
    told = "`image` is an array (bands, rows, columns) or a batch of them."
    return "\n".join(["## Load it", "", *lines, "```", "", told])


def _example(config: Json, sensors: Sequence[str]) -> str:
    """Arguments of encode_image that this model takes: bands of one unit, of a sensor seen in training where there is one."""
    known = {name: seen for name in sensors if _record(name) and (seen := _seen(config, name))}
    for name in sorted(known, key=lambda name: not 3 <= len(known[name]) <= _LISTED_BANDS):  # several bands, but few enough to read
        unit = next(iter(known[name].values()))[0]
        bands = [band for band, units in known[name].items() if unit in units]
        chosen = bands if len(bands) <= _LISTED_BANDS else bands[:3]
        return f"sensor={json.dumps(name)}, bands={json.dumps(chosen)}, unit={json.dumps(unit)}"
    if "display" in ((config.get("statistics") or {}).get("kinds") or {}):
        return 'sensor="aerial-rgb", bands=["R", "G", "B"], unit="display_u8"'
    return "wavelengths_um=[0.665, 0.56, 0.49]"


def _record(name: str) -> Sensor | None:
    """The catalogue's record of a sensor. A configuration names sensors; it must not make this read files."""
    try:
        return None if name.lower().endswith((".yaml", ".yml")) else get_sensor(name)
    except SensorError:
        return None


def _seen(config: Json, sensor: str) -> dict[str, list[str]]:
    """Units by band name, of the bands of a sensor that were seen in training."""
    found: dict[str, list[str]] = {}
    for key, rows in ((config.get("statistics") or {}).get("bands") or {}).items():
        name, _, kind = key.rpartition("/")
        if name == sensor:
            for band in rows:
                found.setdefault(band, []).append(_UNITS.get(kind.split("_")[0], kind))
    return found


def _sensors(config: Json, sensors: Sequence[str]) -> str:
    rows = list(chain.from_iterable(_sensor_rows(config, name) for name in sensors))
    listed = f"Sensors seen in training: {', '.join(sensors) or 'none recorded'}."
    return f"## Sensors\n\n{listed}" + (f"\n\n{_table(('sensor', 'band', 'wavelength µm', 'unit'), rows)}" if rows else "")


def _sensor_rows(config: Json, name: str) -> list[tuple[str, ...]]:
    record, seen = _record(name), _seen(config, name)
    if record is None:
        return [(name, "not in the catalogue", "", "")]
    if not seen:
        return [(name, "not recorded", "", "")]
    found = {band.name: band for band in record.bands}
    groups: dict[str, list[str]] = {}
    for band, units in seen.items():
        groups.setdefault(", ".join(dict.fromkeys(units)), []).append(band)
    rows: list[tuple[str, ...]] = []
    for unit, bands in groups.items():
        if len(bands) > _LISTED_BANDS:
            centres = [um for band in bands if band in found and (um := found[band].center_wavelength_um)]
            rows.append((name, f"{bands[0]} ... {bands[-1]} ({len(bands)} bands)", _range(centres), unit))
        else:
            rows += [(name, band, _place(found.get(band)), unit) for band in bands]
    return rows


def _place(band: Band | None) -> str:
    if band is not None and band.frequency_ghz:
        return f"radar, {band.frequency_ghz:g} GHz"
    return "" if band is None or band.center_wavelength_um is None else f"{band.center_wavelength_um:g}"


def _range(values: Sequence[float]) -> str:
    low, high = (f"{bound(values):.4g}" for bound in (min, max)) if values else ("", "")
    return low if low == high else f"{low} to {high}"


def _kinds(config: Json) -> str:
    kinds = (config.get("statistics") or {}).get("kinds") or {}
    rows = [
        (kind, str(entry.get("transform", UNKNOWN)), _range([um for um in entry.get("wavelengths_um", ()) if um]))
        for kind, entry in kinds.items()
    ]
    gsd_m = (config.get("preprocessing") or {}).get("gsd_m") or ()
    pixels = f"Pixel sizes seen in training: {', '.join(f'{value:g}' for value in gsd_m)} m." if gsd_m else "Pixel sizes are not recorded."
    table = _table(("physical kind at the input", "transform before normalisation", "wavelengths µm"), rows) + "\n\n" if rows else ""
    return f"## Input\n\n{table}{pixels}"


def _parents(parents: Sequence[Json], licence: str | None) -> str:
    text = f"## Parents and licences\n\nLicence of these weights: {_licence(parents, licence)}."
    if licence and _licence(parents, licence) == "other":
        text += f" They were declared {licence}; a parent forbids commercial use, which that would drop."
    if not parents:
        return f"{text} No parents are recorded."
    rows = [
        (
            str(parent.get("role", "")),
            str(parent.get("path", UNKNOWN)),
            str(parent.get("sha256", ""))[:_SHA_LETTERS],
            "" if parent.get("coefficient") is None else f"{parent['coefficient']:g}",
            parent["licence"] + (" (no commercial use)" if forbids_commerce(parent["licence"]) else ""),
        )
        for parent in parents
    ]
    return f"{text}\n\n{_table(('role', 'path', 'SHA-256', 'coefficient', 'licence'), rows)}"


def _provenance(config: Json) -> str:
    told = {key: value for key, value in (config.get("provenance") or {}).items() if key not in ("assumed", "tokenizer_missing")}
    rows = [(key, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)) for key, value in told.items()]
    return "## How it was made\n\n" + (_table(("what", "value"), rows) if rows else "Not recorded.")


def _results(rows: Sequence[Json]) -> str:
    if not rows:
        return ""
    columns = ("suite", "dataset", "modality", "metric", "value", "95 % interval", "n", "chance")
    table = [
        (
            str(row.get("suite", "")),
            f"{row.get('dataset', UNKNOWN)}{' (synthetic)' * bool(row.get('synthetic'))}",
            str(row.get("modality", "")),
            str(row.get("metric", "")),
            _number(row.get("value")),
            f"{_number(row.get('low'))} to {_number(row.get('high'))}",
            str(row.get("n", "")),
            _number(row.get("chance")),
        )
        for row in rows
    ]
    commands = dict.fromkeys(str(row["command"]) for row in rows if row.get("command"))
    return f"## Results\n\n{_table(columns, table)}" + "".join(f"\n\n    {' '.join(command.split())}" for command in commands)


def _limits(config: Json, results: Sequence[Json]) -> str:
    vision = (config.get("architecture") or {}).get("vision") or {}
    words, convention = config.get("trained_words") or (), (config.get("channel_code") or {}).get("convention", UNKNOWN)
    told = []
    if convention == "wavelengths-only":
        number = f"{vision['radar_um']:g}" if vision.get("radar_um") else "0"
        told.append(
            f"Channels are told apart by wavelength alone (convention wavelengths-only): radar is given as {number}, elevation as 0."
        )
    else:
        told.append(f"Channel convention: {convention}. Physical kinds that are not listed under Input are refused.")
    if words:
        told.append(f"The text tower was trained from scratch on {len(words)} words; labels with other words are guesses.")
    if not config.get("tokenizer"):
        told.append("There is no tokenizer with these weights: they encode images only.")
    told += [f"Assumed: {line}." for line in (config.get("provenance") or {}).get("assumed") or ()]
    if any(row.get("synthetic") for row in results):
        told.append("Results marked synthetic were measured on drawn scenes, not on satellite images.")
    if not results:
        told.append("No results are recorded on this card.")
    return "## Limits\n\n" + "\n".join(f"- {line}" for line in told)


def _number(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, int | float) else ""


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in line) + " |" for line in lines)
