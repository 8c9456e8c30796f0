"""What the demo measures: zero-shot accuracy of every model in every modality, and merges at other coefficients."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.progress import track

from geolangbind.demo.profile import Profile
from geolangbind.demo.stages import GENERATOR_FROM_OTHERS, merge
from geolangbind.evaluate.embedder import Ours
from geolangbind.evaluate.results import ResultRow, append_rows
from geolangbind.evaluate.run import run_suite
from geolangbind.evaluate.suite import Labelled
from geolangbind.planet.groups import CLASSES, MODALITIES, ceiling, chance

Table = dict[str, dict[str, ResultRow]]
"""Result rows by model and modality."""


def score_models(profile: Profile, out: Path) -> Table:
    """Zero-shot accuracy on the held-out scenes; rows are also kept in `results.jsonl`."""
    names = ["base", "rgb", "others", "merged", GENERATOR_FROM_OTHERS]
    names += ["joint"] * bool(profile.joint_steps)
    table = {name: _score(out, name, "planet-val") for name in track(names, "zero-shot")}
    (out / "results.jsonl").unlink(missing_ok=True)
    append_rows(out / "results.jsonl", [row for rows in table.values() for row in rows.values()])
    return table


def sweep(profile: Profile, out: Path) -> dict[str, dict[str, float]]:
    """Six-modality mean of merges over m2, on the tuning scenes: coefficients are never chosen on the held-out ones.

    Returns:
        For "all weights" and "generator from others", top-1 by m2.
    """
    found: dict[str, dict[str, float]] = {"all weights": {}, "generator from others": {}}
    for m2 in track(profile.m2_grid, "sweep of m2"):
        for kind, parts in (("all weights", {}), ("generator from others", {"generator": [0.9, 1.0]})):
            merge(out, m2, parts, "sweep")
            rows = _score(out, "sweep", "planet-tune")
            found[kind][f"{m2:g}"] = sum(row.value for row in rows.values()) / len(rows)
    return found


def score_best(out: Path, swept: dict[str, dict[str, float]]) -> tuple[str, dict[str, ResultRow]]:
    """Score the best merge of the sweep on the held-out scenes; returns what it is and its rows."""
    kind, m2 = max(((kind, m2) for kind, row in swept.items() for m2 in row), key=lambda pair: swept[pair[0]][pair[1]])
    merge(out, float(m2), {"generator": [0.9, 1.0]} if kind != "all weights" else {}, "merged-best")
    return f"{kind}, m2 = {m2}", _score(out, "merged-best", "planet-val")


def _score(out: Path, name: str, data: str) -> dict[str, ResultRow]:
    suite = Labelled("zero_shot", str(out / data), "scene_class").suite()
    return {row.modality: row for row in run_suite(Ours.open(str(out / name)), suite).rows}


def write_report_json(
    path: Path, profile: Profile, table: Table, swept: dict[str, Any], best: str, seconds: dict[str, float]
) -> dict[str, Any]:
    """Write `report.json` and return its content."""
    report = {
        "synthetic": True,
        "profile": asdict(profile),
        "classes": len(CLASSES),
        "chance": chance(),
        "ceiling": {modality: ceiling(modality) for modality in MODALITIES},
        "n": {modality: row.n for modality, row in table["merged"].items()},
        "zero_shot": {name: {modality: row.value for modality, row in rows.items()} for name, rows in table.items()},
        "interval": {name: {modality: [row.low, row.high] for modality, row in rows.items()} for name, rows in table.items()},
        "sweep_m2": swept,
        "best_merge": best,
        "seconds": seconds,
    }
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return report
