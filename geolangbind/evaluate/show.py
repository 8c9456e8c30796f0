"""Guesses as a table, and what they add up to."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.table import Table

from geolangbind.checkpoint import atomic_path
from geolangbind.evaluate.classify import Guess
from geolangbind.evaluate.metrics import wilson_interval

_ROWS = 40


def render_guesses(guesses: Sequence[Guess], classes: Sequence[str]) -> Table:
    """One row per image or window (the first 40), with the three likeliest classes."""
    windows, truths = any(guess.window for guess in guesses), any(guess.truth for guess in guesses)
    table = Table()
    for column in ("image", *["window (x, y, w, h)"] * windows, "label", "probability", "then", *["truth"] * truths):
        table.add_column(column)
    for guess in guesses[:_ROWS]:
        order = sorted(range(len(classes)), key=lambda i: -guess.scores[i])
        then = ", ".join(f"{classes[i]} {guess.scores[i]:.2f}" for i in order[1:3])
        window = [", ".join(map(str, guess.window)) if guess.window else ""] * windows
        style = None if guess.truth is None else "green" if guess.truth == guess.label else "red"
        table.add_row(guess.path.name, *window, guess.label, f"{max(guess.scores):.2f}", then, *[guess.truth or ""] * truths, style=style)
    if len(guesses) > _ROWS:
        table.caption = f"... and {len(guesses) - _ROWS} more; --json keeps them all"
    return table


def write_json(path: Path, model: str, guesses: Sequence[Guess], classes: Sequence[str]) -> None:
    """Write every guess with all its scores."""
    rows = [
        {
            "path": str(guess.path),
            "window": guess.window,
            "label": guess.label,
            "truth": guess.truth,
            "scores": dict(zip(classes, guess.scores, strict=True)),
            "notes": guess.notes,
        }
        for guess in guesses
    ]
    with atomic_path(path) as part:
        part.write_text(json.dumps({"model": model, "guesses": rows}, indent=1) + "\n", encoding="utf-8")


def summary(guesses: Sequence[Guess]) -> Iterator[str]:
    """How the first image was read, the shares of labels over windows, and the accuracy where the truth is known."""
    yield "read as: " + "; ".join(guesses[0].notes)
    if len(guesses) > 1:
        counts = Counter(guess.label for guess in guesses)
        yield "labels: " + ", ".join(f"{label} {count / len(guesses):.0%}" for label, count in counts.most_common())
    known = [guess for guess in guesses if guess.truth is not None]
    if known:
        right = sum(guess.truth == guess.label for guess in known)
        low, high = wilson_interval(right / len(known), len(known))
        yield f"accuracy {right / len(known):.1%} ({right} of {len(known)}), 95 % Wilson interval {low:.1%} to {high:.1%}"
