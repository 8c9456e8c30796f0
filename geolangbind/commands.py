"""Entry points of the Hydra commands. Light to import: `--help` and `--cfg job` answer without loading torch."""

from __future__ import annotations

from typing import Any

from geolangbind import hydra_entry
from geolangbind.errors import SettingsError


def train() -> None:
    """`geolangbind-train [task=interleaved] key=value ...`."""
    tasks = {"alignment": ("train", _train), "interleaved": ("interleaved", _train_interleaved)}
    task = hydra_entry.typed("task", "alignment")
    if task not in tasks:
        hydra_entry.fail(SettingsError(f"task is '{task}'; use one of {', '.join(tasks)}"))
    hydra_entry.run(*tasks[task])


def evaluate() -> None:
    """`geolangbind-evaluate key=value ...`."""
    hydra_entry.run("evaluate", _evaluate)


def _train(config: dict[str, Any]) -> None:
    from geolangbind.train.run import train as run_training
    from geolangbind.train.settings import from_config

    folder = run_training(from_config(config))
    _tell(f"model in [bold]{folder}[/]; next: geolangbind-evaluate model={folder} suite=zero_shot")


def _train_interleaved(config: dict[str, Any]) -> None:
    from geolangbind.instruct.run import train as run_training
    from geolangbind.instruct.settings import from_config

    folder = run_training(from_config(config))
    _tell(f'model in [bold]{folder}[/]; next: geolangbind.load_interleaved("{folder}")')


def _tell(words: str) -> None:
    """Print a line, on one process of several."""
    from rich.console import Console

    from geolangbind.train.distributed import processes

    others = processes()
    Console(highlight=False, quiet=not (others is None or others.rank() == 0)).print(words)


def _evaluate(config: dict[str, Any]) -> None:
    from rich.console import Console

    from geolangbind.evaluate.report_tables import averages_of
    from geolangbind.evaluate.results import render
    from geolangbind.evaluate.run import evaluate as run_evaluation
    from geolangbind.evaluate.run import results_file

    found = run_evaluation(config)
    rows, console = found.rows, Console(highlight=False)
    console.print(render(rows, f"{rows[0].suite}, {config['model']}" + (" (synthetic data)" if all(row.synthetic for row in rows) else "")))
    for (_, name), mean in averages_of(rows, config["suite"].get("averages", {})).items():
        interval = "" if mean.low is None or mean.high is None else f" [{100 * mean.low:.2f}, {100 * mean.high:.2f}]"
        console.print(f"average {name}: {100 * mean.value:.2f} %{interval}", markup=False)
    for line in found.missing:
        console.print(f"not measured: {line}", markup=False)
    kept = f"; {found.kept} of {len(rows)} were there already" if found.kept else ""
    file = results_file(config)
    console.print(f"rows appended to {file}{kept}; report: {file.with_name('report.html')}")
