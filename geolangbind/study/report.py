"""The study's tables and pictures: means over seeds, and differences between arms of the same seed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from geolangbind.checkpoint import atomic_path
from geolangbind.errors import SettingsError
from geolangbind.planet.groups import MODALITIES
from geolangbind.study.arms import BASE, Arm
from geolangbind.study.cells import MEASURES, cell_folder, is_done

Cells = Mapping[str, Sequence[Mapping[str, Any]]]
"""Measures by arm, one per seed."""

ACCURACY, KEPT = "study.png", "unseen.png"
_COMPARISONS = (
    ("joint", "merged", "joint mixing over progressive merging"),
    ("joint", "sequential", "joint mixing over sequential groups"),
    ("merged-cross", "merged", "the cross-sensor term, in the merged model"),
    ("joint-cross", "joint", "the cross-sensor term, in the joint model"),
    ("joint-cross", "merged-cross", "joint over merged, both with the cross-sensor term"),
    ("joint", "joint-no-maka", "MaKA"),
    ("joint-virtual", "joint", "virtual sensors and dropped bands, on trained sensors"),
    ("joint-robust", "joint", "the same with wavelength jitter, on trained sensors"),
    ("sar-codes", "sar-no-codes", "a code per polarisation (radar only)"),
)


def collect(out: Path, seeds: int, arms: Sequence[Arm]) -> dict[str, list[dict[str, Any]]]:
    """Read the finished cells."""
    found = {}
    for name in (BASE, *(arm.name for arm in arms)):
        places = [cell_folder(out, name, seed) / MEASURES for seed in range(1 if name == BASE else seeds) if is_done(out, name, seed)]
        if places:
            found[name] = [json.loads(place.read_text(encoding="utf-8")) for place in places]
    return found


def write(out: Path, seeds: int, arms: Sequence[Arm]) -> Path:
    """Write `report.md`, `report.json` and the pictures; returns the path of the first."""
    from geolangbind.study import plots

    cells = collect(out, seeds, arms)
    plots.accuracy(cells, out / ACCURACY)
    plots.kept(cells, out / KEPT)
    with atomic_path(out / "report.json") as part:
        part.write_text(json.dumps(cells, indent=1) + "\n", encoding="utf-8")
    with atomic_path(out / "report.md") as part:
        part.write_text(f"# The study on the planet (synthetic)\n\n{body(cells)}\n", encoding="utf-8")
    return out / "report.md"


def body(cells: Cells, pictures: str = "") -> str:
    """Text and tables; `pictures` is the folder of the pictures as seen from the text, with its slash."""
    seeds = max(len(found) for found in cells.values())
    parts = [
        f"{date.today().isoformat()}, {seeds} seeds of data order and augmentation; all arms start from one base and see as many images "
        "(the radar arms: from random weights). "
        "Zero-shot top-1 in percent on held-out scenes, mean +- standard deviation over seeds:",
        zero_shot_table(cells),
        f"![zero-shot top-1 by arm]({pictures}{ACCURACY})",
        "Differences between arms of the same seed, in points of the six-modality mean:",
        comparison_table(cells),
        "MaKA by measure (mean of six modalities, percent; neighbours among 480 training scenes, land cover of patches by a linear probe):",
        probe_table(cells),
        "Sensors never seen in training: top-1, and the share kept of what the trained sensor it is held against reads on the same scenes:",
        unseen_table(cells),
        f"![accuracy kept on sensors never seen]({pictures}{KEPT})",
    ]
    return "\n\n".join(parts)


def insert(out: Path, document: Path, seeds: int, arms: Sequence[Arm]) -> None:
    """Put text, tables and pictures into a document, between its marker lines `<!-- study -->` and `<!-- end of study -->`.

    Raises:
        SettingsError: the document lacks the markers.
    """
    insert_between(document, "study", body(collect(out, seeds, arms), "images/"))
    (document.parent / "images").mkdir(exist_ok=True)
    for name in (ACCURACY, KEPT):
        shutil.copyfile(out / name, document.parent / "images" / name)


def insert_between(document: Path, name: str, text: str) -> None:
    """Replace what stands in a document between its lines `<!-- NAME -->` and `<!-- end of NAME -->`.

    Raises:
        SettingsError: the document lacks them.
    """
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    head, begins, rest = document.read_text(encoding="utf-8").partition(begin)
    _, ends, tail = rest.partition(end)
    if not begins or not ends:
        raise SettingsError(f"{document} has no lines '{begin}' and '{end}'; add them where the tables belong")
    with atomic_path(document) as part:
        part.write_text(f"{head}{begin}\n\n{text}\n\n{end}{tail}", encoding="utf-8")


def values(cells: Cells, arm: str, measure: str, modality: str | None = None) -> list[float]:
    """Percent per seed: of one modality, or the mean over all that were measured."""
    rows = [cell[measure] for cell in cells.get(arm, []) if measure in cell and modality in (None, *cell[measure])]
    return [100 * (row[modality]["value"] if modality else mean(entry["value"] for entry in row.values())) for row in rows]


def zero_shot_table(cells: Cells) -> str:
    """Arms by modality."""
    lines = [f"| arm | {' | '.join(MODALITIES)} | mean |", f"| --- | {'---: | ' * (len(MODALITIES) + 1)}".rstrip()]
    for arm in cells:
        row = [_spread(values(cells, arm, "zero_shot", modality)) for modality in MODALITIES]
        lines.append(f"| {arm} | {' | '.join(row)} | {_spread(values(cells, arm, 'zero_shot'))} |")
    return "\n".join(lines)


def comparison_table(cells: Cells) -> str:
    """What each ingredient adds, paired by seed."""
    lines = ["| what is added | arms | six-modality mean | by modality |", "| --- | --- | ---: | --- |"]
    for better, worse, what in _COMPARISONS:
        if better in cells and worse in cells:
            one = ("sar",) if better.startswith("sar-") else MODALITIES
            by_modality = {m: _difference(cells, better, worse, m) for m in one}
            total = _spread([mean(by_modality[m][seed] for m in one) for seed in range(len(next(iter(by_modality.values()))))], sign=True)
            told = ", ".join(f"{m} {mean(found):+.1f}" for m, found in by_modality.items())
            lines.append(f"| {what} | {better} - {worse} | {total} | {told} |")
    return "\n".join(lines)


def probe_table(cells: Cells) -> str:
    """Zero-shot, kNN and mask probe of the arms that have all three."""
    measures = ("zero_shot", "knn", "mask_miou")
    lines = ["| arm | zero-shot | kNN | mask probe, mIoU |", "| --- | ---: | ---: | ---: |"]
    for arm in cells:
        row = [values(cells, arm, measure) for measure in measures]
        if all(row):
            lines.append(f"| {arm} | {' | '.join(map(_spread, row))} |")
    return "\n".join(lines)


def unseen_table(cells: Cells) -> str:
    """Accuracy kept on sensors that no training saw."""
    arms = [arm for arm in cells if any("unseen" in cell for cell in cells[arm])]
    if not arms:
        return ""
    sensors = cells[arms[0]][0]["unseen"]
    lines = [f"| sensor | compared with | {' | '.join(arms)} |", f"| --- | --- | {'---: | ' * len(arms)}".rstrip()]
    for sensor, about in sensors.items():
        row = []
        for arm in arms:
            found = [cell["unseen"][sensor] for cell in cells[arm]]
            top1 = mean(100 * entry["unseen"]["value"] for entry in found)
            row.append(f"{top1:.1f} ({mean(100 * entry['kept'] for entry in found):.0f} %)")
        lines.append(f"| {sensor} | {about['against']} | {' | '.join(row)} |")
    return "\n".join(lines)


def _difference(cells: Cells, better: str, worse: str, modality: str) -> list[float]:
    pairs = zip(values(cells, better, "zero_shot", modality), values(cells, worse, "zero_shot", modality), strict=False)
    return [a - b for a, b in pairs]


def _spread(found: Sequence[float], sign: bool = False) -> str:
    if not found:
        return ""
    middle = f"{mean(found):+.1f}" if sign else f"{mean(found):.1f}"
    return middle if len(found) < 2 else f"{middle} +- {stdev(found):.1f}"
