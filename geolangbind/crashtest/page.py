"""The pages of a crash test: one per model, as HTML that needs no other file and as Markdown, and a table across models."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import chain, count
from pathlib import Path
from typing import Any

from geolangbind.checkpoint import atomic_path
from geolangbind.crashtest.pictures import picture
from geolangbind.crashtest.run import CrashTest
from geolangbind.evaluate.measure import Measure

_LEVELS = ((0.8, "good", "#0072B2", "●"), (0.4, "fair", "#E69F00", "▲"), (float("-inf"), "poor", "#D55E00", "✕"))
"""Least share of the way from chance to ideal, word, colour (Okabe and Ito's palette, safe for colour-blind readers) and sign."""
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 1080px; margin: 2em auto; padding: 0 1em; color: #1a1a1a; }
h1 { font-size: 1.5em; } h2 { font-size: 1.15em; margin-top: 2em; }
table { border-collapse: collapse; width: 100%; font-size: .92em; }
th, td { text-align: left; padding: .3em .6em; border-bottom: 1px solid #ddd; vertical-align: top; }
.bar { position: relative; width: 170px; height: 14px; background: #ececec; margin-top: .25em; }
.bar b { position: absolute; left: 0; top: 0; bottom: 0; }
.bar i { position: absolute; top: 6px; height: 2px; background: #1a1a1a; }
.small { color: #555; font-size: .88em; } img { max-width: 100%; }
td.number { white-space: nowrap; font-variant-numeric: tabular-nums; }
"""
_UNSEEN = "cannot see these sensors"
_HOW_TO_READ = (
    "Bars run from chance (empty) to ideal (full), the line on a bar is the 95 % interval (bootstrap over places). Drift is how far a "
    "vector moves, as a share of the mean distance between two places: 0 is ideal, 1 is as far as another place. "
    "● good, from 80 % of the way to the ideal; ▲ fair, from 40 %; ✕ poor."
)


def write_pages(tests: Mapping[str, Sequence[CrashTest]], failed: Mapping[str, str], out: Path, notes: Mapping[str, str]) -> Path:
    """Write `crashtest.json`, `index.html`, `index.md` and one page per model into `out`.

    Args:
        tests: by model, one per stack set.
        failed: why a model could not be opened, by what was asked for.
        out: folder; made if absent, files of the same names are replaced.
        notes: what the adapters assumed, by model.

    Returns:
        The index page.
    """
    out.mkdir(parents=True, exist_ok=True)
    for (model, found), name in zip(tests.items(), file_names(tests).values(), strict=True):
        pictures = [picture(test) for test in found]
        for test, image in zip(found, pictures, strict=True):
            with atomic_path(out / _picture_name(name, test)) as part:
                part.write_bytes(image)
        _write(out / f"{name}.html", model_html(found, pictures, notes.get(model, "")))
        _write(out / f"{name}.md", model_markdown(found, notes.get(model, ""), name))
    _write(out / "crashtest.json", json.dumps(to_json(tests, failed, notes), indent=1, ensure_ascii=False) + "\n")
    _write(out / "index.md", index_markdown(tests, failed))
    _write(out / "index.html", index_html(tests, failed))
    return out / "index.html"


def slug(name: str) -> str:
    """A file name for a model's name."""
    return re.sub(r"[^A-Za-z0-9.-]+", "-", name).strip("-.") or "model"


def file_names(models: Iterable[str]) -> dict[str, str]:
    """File names without their ends by model; numbered where names reduce to the same, or to the index's, whatever the case of letters."""
    names: dict[str, str] = {}
    taken = {"index"}
    for model in models:
        tried = chain([slug(model)], (f"{slug(model)}-{number}" for number in count(2)))
        names[model] = next(name for name in tried if name.lower() not in taken)
        taken.add(names[model].lower())
    return names


def reached(measure: Measure) -> float:
    """How much of the way from chance to ideal was made, in [0, 1]."""
    ideal = float(measure.details["ideal"])
    return min(max((measure.value - measure.chance) / (ideal - measure.chance), 0.0), 1.0)


def level(share: float) -> tuple[str, str, str]:
    """Word, colour and sign of a share of the way."""
    return next((word, colour, sign) for least, word, colour, sign in _LEVELS if share >= least)


def scores(test: CrashTest) -> list[Measure]:
    """The scorecard's measures: those that are no single pair."""
    return [measure for measure in test.measures if measure.metric != "same_place_auc_pair"]


def to_json(tests: Mapping[str, Sequence[CrashTest]], failed: Mapping[str, str], notes: Mapping[str, str]) -> dict[str, Any]:
    """Everything that was measured, as plain JSON."""
    runs = [
        {
            "model": test.model, "sha256": test.sha256, "assumed": notes.get(model, ""), "stacks": test.stacks.name,
            "synthetic": test.stacks.synthetic, "about": test.stacks.about, "places": len(test.stacks.places),
            "views": list(test.stacks.views), "refused": dict(test.refused),
            "measures": [asdict(measure) for measure in test.measures],
        }
        for model, found in tests.items()
        for test in found
    ]  # fmt: skip
    return {"format": "geolangbind-crashtest-1", "runs": runs, "failed": dict(failed)}


def model_html(tests: Sequence[CrashTest], pictures: Sequence[bytes], note: str) -> str:
    """One model's page; every name and message is escaped."""
    parts = [f"<h1>Crash test of {html.escape(tests[0].model)}</h1>", f"<p>{html.escape(_HOW_TO_READ)}</p>"]
    if note:
        parts.append(f"<p class=small>The adapter's assumptions: {html.escape(note)}.</p>")
    for test, image in zip(tests, pictures, strict=True):
        body = "".join(_score_row(measure) for measure in scores(test))
        parts.append(f"<h2>{html.escape(_heading(test))}</h2><p>{html.escape(test.stacks.about)}.</p><table>{body}</table>")
        if test.refused:
            told = "".join(f"<li>{html.escape(name)}: {html.escape(why)}</li>" for name, why in test.refused.items())
            parts.append(f"<p>Cannot see:</p><ul class=small>{told}</ul>")
        encoded = base64.b64encode(image).decode()
        parts.append(f'<p><img alt="same place across sensors" src="data:image/png;base64,{encoded}"></p>')
    return _page(f"Crash test: {tests[0].model}", "".join(parts))


def model_markdown(tests: Sequence[CrashTest], note: str, name: str) -> str:
    """One model's page as Markdown, beside its pictures, whose names begin with `name`."""
    lines = [f"# Crash test of {_cell(tests[0].model)}", "", _HOW_TO_READ, ""]
    lines += [f"The adapter's assumptions: {note}.", ""] if note else []
    for test in tests:
        lines += [f"## {_heading(test)}", "", f"{test.stacks.about}.", "", "| score | chance to ideal | value | worst | what it says |"]
        lines += ["| --- | --- | --- | --- | --- |"]
        for measure in scores(test):
            share = reached(measure)
            bar = "█" * round(10 * share) + "░" * (10 - round(10 * share))
            cells = (
                measure.details["title"],
                f"{level(share)[2]} {bar}",
                _value(measure),
                _cell(_worst(measure)),
                measure.details["means"],
            )
            lines.append(f"| {' | '.join(cells)} |")
        lines += ["", *(f"- cannot see {_cell(name)}: {_cell(why)}" for name, why in test.refused.items())]
        lines += ["", f"![same place across sensors]({_picture_name(name, test)})", ""]
    return "\n".join(lines)


def index_markdown(tests: Mapping[str, Sequence[CrashTest]], failed: Mapping[str, str]) -> str:
    """The table across models as Markdown: a row per score, a column per model."""
    lines, names = ["# Crash test: the same place through any sensor", "", _HOW_TO_READ, ""], file_names(tests)
    for found in _by_stacks(tests).values():
        models = " | ".join(f"[{_cell(test.model)}]({names[test.model]}.md)" for test in found)
        lines += [f"## {_heading(found[0])}", "", f"{found[0].stacks.about}.", "", f"| score | {models} |"]
        lines.append("| --- " * (len(found) + 1) + "|")
        lines += [f"| {title} | {' | '.join(_short(test, metric) for test in found)} |" for metric, title in _titles(found).items()]
        lines.append("")
    return "\n".join([*lines, *(f"- {_cell(model)} could not be opened: {_cell(why)}" for model, why in failed.items())]) + "\n"


def index_html(tests: Mapping[str, Sequence[CrashTest]], failed: Mapping[str, str]) -> str:
    """The table across models: a row per score, a column per model."""
    parts, names = ["<h1>Crash test: the same place through any sensor</h1>", f"<p>{html.escape(_HOW_TO_READ)}</p>"], file_names(tests)
    for found in _by_stacks(tests).values():
        head = "".join(f'<th><a href="{names[test.model]}.html">{html.escape(test.model)}</a></th>' for test in found)
        body = ""
        for metric, title in _titles(found).items():
            body += f"<tr><td>{html.escape(title)}</td>" + "".join(f"<td>{_bar(test, metric)}</td>" for test in found) + "</tr>"
        parts.append(f"<h2>{html.escape(_heading(found[0]))}</h2><p>{html.escape(found[0].stacks.about)}.</p>")
        parts.append(f"<table><tr><th></th>{head}</tr>{body}</table>")
    if failed:
        told = "".join(f"<li>{html.escape(model)}: {html.escape(why)}</li>" for model, why in failed.items())
        parts.append(f"<p>Could not be opened:</p><ul>{told}</ul>")
    return _page("Crash test", "".join(parts))


def _by_stacks(tests: Mapping[str, Sequence[CrashTest]]) -> dict[str, list[CrashTest]]:
    found: dict[str, list[CrashTest]] = {}
    for test in (test for runs in tests.values() for test in runs):
        found.setdefault(test.stacks.name, []).append(test)
    return found


def _titles(tests: Sequence[CrashTest]) -> dict[str, str]:
    return {measure.metric: str(measure.details["title"]) for test in tests for measure in scores(test)}


def _heading(test: CrashTest) -> str:
    return f"{test.stacks.name} ({'synthetic' if test.stacks.synthetic else 'real'}, {len(test.stacks.places)} places)"


def _picture_name(name: str, test: CrashTest) -> str:
    return f"{name}-{slug(test.stacks.name)}.png"


def _value(measure: Measure) -> str:
    ends = "" if measure.low is None or measure.high is None else f" [{measure.low:.2f}, {measure.high:.2f}]"
    return f"{measure.value:.2f}{ends}"


def _worst(measure: Measure) -> str:
    """The view that is farthest from the ideal, where views differ."""
    values = {name: value[0] if isinstance(value, Sequence) else value for name, value in measure.details["views"].items()}
    name = max(values, key=lambda view: abs(values[view] - float(measure.details["ideal"])))
    return f"{name} {values[name]:.2f}" if max(values.values()) - min(values.values()) > 0.005 else ""


def _short(test: CrashTest, metric: str) -> str:
    for measure in scores(test):
        if measure.metric == metric:
            return f"{level(reached(measure))[2]} {_value(measure)}"
    return _UNSEEN


def _bar(test: CrashTest, metric: str) -> str:
    for measure in scores(test):
        if measure.metric == metric:
            return _bar_of(measure) + f"<span class=small>{_value(measure)}</span>"
    return f"<span class=small>{_UNSEEN}</span>"


def _bar_of(measure: Measure) -> str:
    share = reached(measure)
    word, colour, sign = level(share)
    ends = sorted(_share_at(measure, end) for end in (measure.low, measure.high) if end is not None)
    line = f'<i style="left:{100 * ends[0]:.1f}%;width:{100 * (ends[1] - ends[0]):.1f}%"></i>' if len(ends) == 2 else ""
    return f'{sign} <div class=bar title="{word}"><b style="width:{100 * share:.1f}%;background:{colour}"></b>{line}</div>'


def _share_at(measure: Measure, value: float) -> float:
    return min(max((value - measure.chance) / (float(measure.details["ideal"]) - measure.chance), 0.0), 1.0)


def _score_row(measure: Measure) -> str:
    title, means, worst = (html.escape(text) for text in (measure.details["title"], measure.details["means"], _worst(measure)))
    told = f"<br>worst: {worst}" if worst else ""
    return (
        f"<tr><td><b>{title}</b><br><span class=small>{means}</span></td><td>{_bar_of(measure)}</td>"
        f"<td class=number>{_value(measure)}<span class=small>{told}</span></td></tr>"
    )


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())


def _page(title: str, body: str) -> str:
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body>{body}</body></html>\n"
    )


def _write(path: Path, text: str) -> None:
    with atomic_path(path) as part:
        part.write_text(text, encoding="utf-8")
