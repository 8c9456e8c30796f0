"""The progress bar of a run: how far, how long still, how fast, and how much of the time the data was waited for."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from geolangbind.train.run_settings import RunSettings

_RECENT_STEPS = 50
_SPEED_PERIOD_S = 600.0  # rich forgets steps older than this when it estimates the remaining time; its 30 s are less than a large step


class ProgressBar:
    """A bar on the terminal.

    Args:
        settings: of the run.
        step: steps done when it starts.
        active: whether this process shows it; `settings.progress` must be on too.
    """

    def __init__(self, settings: RunSettings, step: int, active: bool) -> None:
        left = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._progress = Progress(
            *left, TextColumn("{task.fields[told]}"), speed_estimate_period=_SPEED_PERIOD_S, disable=not (settings.progress and active)
        )
        name = f"{settings.title:>6}"
        self._task = self._progress.add_task(name, total=settings.steps, completed=step, told="")
        self._recent: deque[Mapping[str, Any]] = deque(maxlen=_RECENT_STEPS)

    def __enter__(self) -> ProgressBar:
        self._progress.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._progress.stop()

    def update(self, row: Mapping[str, Any]) -> None:
        """Show the row of a step that was done."""
        self._recent.append(row)
        self._progress.update(self._task, completed=row["step"], told=told(self._recent))


def told(rows: Iterable[Mapping[str, Any]]) -> str:
    """Mean loss, speed and waiting over some rows of `metrics.jsonl`, for the end of the bar."""
    rows = list(rows)
    samples_per_s, data_wait = rates(rows)
    return f"loss {sum(row['loss'] for row in rows) / len(rows):.3f}  {samples_per_s:.0f}/s  data wait {data_wait:.0%}"


def rates(rows: Iterable[Mapping[str, Any]]) -> tuple[float, float]:
    """Samples per second and share of time spent waiting for data over rows of `metrics.jsonl`, which are of equal batches.

    Times are summed before they are divided: a slow step weighs as much as it lasted. (0, 0) for no rows.
    """
    times = [(1 / row["samples_per_s"], row["data_wait"] / row["samples_per_s"]) for row in rows if row["samples_per_s"] > 0]
    total = sum(per_sample for per_sample, _ in times)
    return (len(times) / total, sum(waited for _, waited in times) / total) if times else (0.0, 0.0)
