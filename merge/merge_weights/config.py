"""The `config.json` of model folders: what must agree between the inputs, what is united, what the merge adds."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from merge_weights.errors import MergeError
from merge_weights.inputs import Source

Config = dict[str, Any]

FORMAT = "geolangbind-model"
FORMAT_VERSION = 1
CONFIG_NAME = "config.json"
TOKENIZER_NAME = "tokenizer.json"

_UNITED = ("statistics", "trained_sensors", "trained_words")
_OWN = ("parents", "provenance")
_HEADS = "maka"
_TRAINED_GSD = "gsd_m"
_SHOWN_CHARACTERS = 60
_SHOWN_DIFFERENCES = 12


def read_config(folder: Path) -> Config:
    """Read the configuration of a model folder.

    Raises:
        MergeError: missing, no JSON, or another format.
    """
    path = folder / CONFIG_NAME
    try:
        config = json.loads(path.read_bytes())
    except OSError as error:
        raise MergeError(f"cannot read {path}: {error.strerror}; to merge bare weights give the .safetensors files") from error
    except (ValueError, RecursionError) as error:
        raise MergeError(f"{path} is no JSON: {error}") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise MergeError(f"{path} is not the configuration of a geolangbind model; to merge bare weights give the .safetensors files")
    if config.get("format_version") != FORMAT_VERSION:
        raise MergeError(f"{path} has format version {config.get('format_version')}, this tool knows {FORMAT_VERSION}; update geolangbind")
    if not _has_tables(config.get("statistics", {})):
        raise MergeError(f"{path} is damaged: statistics must hold kinds by name, and bands by sensor and name")
    return config


def _has_tables(statistics: object) -> bool:
    if not isinstance(statistics, dict):
        return False
    bands = statistics.get("bands", {})
    return isinstance(statistics.get("kinds", {}), dict) and isinstance(bands, dict) and all(isinstance(t, dict) for t in bands.values())


def unite(sources: Sequence[Source], *, keep_heads: bool = False) -> Config:
    """Make the configuration of the merged model out of the inputs' ones, without parents and provenance.

    Args:
        sources: inputs with a folder, base first.
        keep_heads: keep the description of the MaKA projectors, which must then agree too.

    Raises:
        MergeError: the inputs disagree; the message names each entry that differs.
    """
    configs = [read_config(source.folder) for source in sources if source.folder is not None]
    apart = (*_UNITED, *_OWN, *(() if keep_heads else (_HEADS,)))
    trained_gsd_m = [_take_gsd_m(config) for config in configs]
    shared = [{key: value for key, value in config.items() if key not in apart} for config in configs]
    for source, config in zip(sources[1:], shared[1:], strict=True):
        if found := list(differences(config, shared[0])):
            more = f" and {len(found) - _SHOWN_DIFFERENCES} more" if len(found) > _SHOWN_DIFFERENCES else ""
            listed = "; ".join(found[:_SHOWN_DIFFERENCES])
            both = f"{source.role} ({source.given}) and base ({sources[0].given})"
            raise MergeError(f"{both} cannot be merged, they differ in {listed}{more}")
    merged: Config = dict(shared[0])
    if any(found is not None for found in trained_gsd_m):
        merged["preprocessing"][_TRAINED_GSD] = sorted({gsd_m for found in trained_gsd_m for gsd_m in found or ()})
    merged["statistics"] = _unite_statistics(sources, configs)
    for key in ("trained_sensors", "trained_words"):
        merged[key] = sorted({item for config in configs for item in config.get(key, ())})
    return merged


def _take_gsd_m(config: Config) -> list[float] | None:
    """Take `preprocessing.gsd_m` out of a configuration: pixel sizes seen in training, a record to be united and not a setting."""
    preprocessing = config.get("preprocessing")
    found = preprocessing.pop(_TRAINED_GSD, None) if isinstance(preprocessing, dict) else None
    return found if isinstance(found, list) else None


def differences(left: object, right: object, path: str = "") -> Iterator[str]:
    """Yield "a.b.c: x != y" for every entry in which two JSON values differ."""
    if isinstance(left, dict) and isinstance(right, dict):
        for key in sorted({*left, *right}):
            where = f"{path}.{key}" if path else key
            if key not in left or key not in right:
                sides = (_short(side[key]) if key in side else "absent" for side in (left, right))
                yield f"{where}: {' != '.join(sides)}"
            else:
                yield from differences(left[key], right[key], where)
    elif left != right:
        yield f"{path}: {_short(left)} != {_short(right)}"


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 3] + "..."


def _unite_statistics(sources: Sequence[Source], configs: Sequence[Config]) -> Config:
    """Unite statistics: `kinds` by name, `bands` by sensor and band; the same entry must have the same numbers everywhere."""
    united: Config = {"kinds": {}, "bands": {}}
    origin: dict[str, str] = {}

    def take(target: Config, entries: Mapping[str, Any], path: str, role: str) -> None:
        for name, value in entries.items():
            where = f"{path}.{name}"
            if name in target and target[name] != value:
                raise MergeError(
                    f"{role} and {origin[where]} were normalised differently: {where}: {_short(value)} != {_short(target[name])}; "
                    "train branches with the statistics of their base"
                )
            target[name] = value
            origin.setdefault(where, role)

    for source, config in zip(sources, configs, strict=True):
        statistics = config.get("statistics", {})
        take(united["kinds"], statistics.get("kinds", {}), "statistics.kinds", source.role)
        for sensor, bands in statistics.get("bands", {}).items():
            take(united["bands"].setdefault(sensor, {}), bands, f"statistics.bands.{sensor}", source.role)
    return united


def read_tokenizer(sources: Sequence[Source]) -> bytes | None:
    """Return the bytes of `tokenizer.json`, which must be the same in all model folders; None if no folder has one.

    Raises:
        MergeError: they differ, or only some folders have one.
    """
    found: list[bytes | None] = []
    for source in sources:
        if source.folder is None:
            continue
        path = source.folder / TOKENIZER_NAME
        try:
            found.append(path.read_bytes() if path.exists() else None)
        except OSError as error:
            raise MergeError(f"cannot read {path}: {error.strerror}") from error
        if found[-1] != found[0]:
            raise MergeError(f"{TOKENIZER_NAME} of {source.role} ({source.given}) differs from that of base ({sources[0].given})")
    return found[0] if found else None
