"""What else the merged model can do: retrieval, masks, alignment, heatmaps and the crash test, on the held-out scenes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from geolangbind.crashtest.page import scores, write_pages
from geolangbind.crashtest.planet import planet_stacks
from geolangbind.crashtest.run import CrashTest, crash_test
from geolangbind.demo.profile import Profile
from geolangbind.evaluate.embedder import Ours
from geolangbind.evaluate.pictures.draw import draw_pictures
from geolangbind.evaluate.report import write_report
from geolangbind.evaluate.results import ResultRow
from geolangbind.evaluate.run import run_suite
from geolangbind.evaluate.suite import parse_suite
from geolangbind.planet.groups import MODALITIES

FOLDER, CRASHTEST = "evaluation", "crashtest"
"""Where the pages go, below the demo's folder."""

_WORDS = ("open water", "trees", "buildings", "crop fields")


def look(profile: Profile, out: Path, seed: int) -> list[str]:
    """Measure, draw, and write the pages; returns the sections of the demo's report as Markdown lines."""
    model = Ours.open(str(out / "merged"))
    tasks = [
        {"task": "retrieval"},
        {"task": "cross_sensor"},
        {"task": "segmentation", "head": "linear", "steps": profile.head_steps},
        {"task": "open_vocabulary"},
    ]
    held_out = {"shards": str(out / "planet-val"), "bank": {"shards": str(out / "planet")}, "tasks": tasks}
    pictures = {"dataset": "held-out", "words": [f"a satellite image of {word}" for word in _WORDS]}
    suite = parse_suite({"name": "demo", "datasets": {"held-out": held_out}, "pictures": pictures})
    found = run_suite(model, suite, out / FOLDER, bar=True)
    with Console(stderr=True).status("drawing"):
        streams = {modality: cell.streams for modality, cell in found.pictured.items()}
        encoded = {modality: cell.encoded for modality, cell in found.pictured.items()}
        before = Ours.open(str(out / "base"))
        draw_pictures(out / FOLDER, model, streams, pictures["words"], before=before, encoded=encoded, about="harbour")
        page = write_report(out / FOLDER)
    with Console(stderr=True).status("crash test"):
        test = crash_test(model, planet_stacks(profile.crash_places, seed), seed)
        card = write_pages({model.name: [test]}, {}, out / CRASHTEST, {})
    return _sections(found.rows, test, page.relative_to(out), card.relative_to(out))


def _sections(rows: Sequence[ResultRow], test: CrashTest, page: Path, card: Path) -> list[str]:
    by = {(row.task, row.metric, row.modality): row for row in rows}
    return [
        "## What else the merged model can do",
        "",
        f"On the same held-out scenes, in percent with 95 % intervals; [{page}]({page.as_posix()}) has every figure. Linear heads learn "
        "masks on the training scenes, with the model frozen; masks from words learn nothing.",
        "",
        "### Retrieval",
        "",
        *_table(by, {"image to text, first": ("retrieval", "image_to_text_r1"), "among ten": ("retrieval", "image_to_text_r10"),
                     "text to image, first": ("retrieval", "text_to_image_r1"), "mean recall": ("retrieval", "mean_recall")}),
        "",
        "The same place seen by another sensor, found first (row asks, column is searched):",
        "",
        *_pairs(by),
        "",
        "### Segmentation",
        "",
        *_table(by, {"linear head, mIoU": ("segmentation", "linear_miou"), "from words alone, mIoU": ("open_vocabulary", "miou")}),
        "",
        "### Alignment of sensors and text, before the branches (base) and after (merged)",
        "",
        f"![alignment]({page.parent.as_posix()}/pictures/alignment.png)",
        "",
        "### Where it sees words",
        "",
        f"![heatmaps]({page.parent.as_posix()}/pictures/heatmaps.png)",
        "",
        "### Crash test: is the same place the same vector?",
        "",
        "| score | value | 95 % interval |",
        "| --- | ---: | --- |",
        *(f"| {one.details['title']} | {one.value:.2f} | {_span(one.low, one.high)} |" for one in scores(test)),
        "",
        f"What each score means: [{card}]({card.as_posix()}).",
    ]  # fmt: skip


def _table(by: Mapping[tuple[str, str, str], ResultRow], lines: Mapping[str, tuple[str, str]]) -> list[str]:
    told = ["| | " + " | ".join(MODALITIES) + " | chance |", "| --- |" + " ---: |" * (len(MODALITIES) + 1)]
    for name, (task, metric) in lines.items():
        found = [by.get((task, metric, modality)) for modality in MODALITIES]
        cells = [f"{100 * row.value:.1f} ({_span(row.low, row.high, 100)})" if row else "" for row in found]
        chances = [row.chance for row in found if row and row.chance is not None]
        told.append(f"| {name} | " + " | ".join(cells) + f" | {100 * sum(chances) / max(1, len(chances)):.1f} |")
    return told


def _pairs(by: Mapping[tuple[str, str, str], ResultRow]) -> list[str]:
    told = ["| | " + " | ".join(MODALITIES) + " |", "| --- |" + " ---: |" * len(MODALITIES)]
    for asks in MODALITIES:
        found = [by.get(("cross_sensor", "r1", f"{asks}->{searched}")) for searched in MODALITIES]
        told.append(f"| {asks} | " + " | ".join("" if row is None else f"{100 * row.value:.1f}" for row in found) + " |")
    return told


def _span(low: float | None, high: float | None, factor: float = 1) -> str:
    if low is None or high is None:
        return ""
    return f"{factor * low:.0f}-{factor * high:.0f}" if factor > 1 else f"{low:.2f} to {high:.2f}"
