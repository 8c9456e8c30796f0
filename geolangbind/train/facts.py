"""What a run is, in a few lines: shown when it starts, repeated in its report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.table import Table

from geolangbind.train.settings import TrainSettings

if TYPE_CHECKING:
    from torch import nn

    from geolangbind.data.shards import Stream
    from geolangbind.train.validate import Validator


@dataclass(frozen=True)
class Facts:
    """What the settings do not say by themselves.

    Attributes:
        sensors: modality, sensor, samples and share of the steps.
        processes: how many.
        trained: parameters that are trained.
        frozen: parameters of the model that are not; teachers do not count.
        live: teachers that run with the training.
        validation: samples per modality.
    """

    sensors: tuple[tuple[str, str, int, float], ...]
    processes: int
    trained: int
    frozen: int
    live: tuple[str, ...] = ()
    validation: tuple[tuple[str, int], ...] = ()


def gather(
    module: nn.Module,
    streams: Sequence[Stream],
    weights: Sequence[float],
    live: Iterable[str],
    processes: int,
    validator: Validator | None = None,
) -> Facts:
    """Count.

    Args:
        module: what is trained, frozen parts included.
        streams: of the run.
        weights: their shares of the steps, any positive scale.
        live: teachers that run with the training.
        processes: how many.
        validator: measures on the way, or None.
    """
    sensors: dict[tuple[str, str], tuple[int, float]] = {}
    for stream, weight in zip(streams, weights, strict=True):
        samples, share = sensors.get(name := (stream.modality, stream.sensor), (0, 0.0))
        sensors[name] = (samples + len(stream), share + weight / sum(weights))
    counts = [sum(p.numel() for p in module.parameters() if p.requires_grad == trained) for trained in (True, False)]
    held = {} if validator is None else {modality: sum(map(len, found)) for modality, found in validator.streams.items()}
    most = 0 if validator is None else validator.settings.validation.samples
    sizes = tuple((modality, min(count, most)) for modality, count in held.items())
    return Facts(tuple((*name, *told) for name, told in sensors.items()), processes, counts[0], counts[1], tuple(live), sizes)


def facts_rows(settings: TrainSettings, facts: Facts) -> list[tuple[str, str]]:
    """Name and value of everything worth knowing at a glance."""
    cached = [name for name in settings.teachers.choices if name not in facts.live]
    teachers = ", ".join([*(f"{name} (live)" for name in facts.live), *(f"{name} (cached)" for name in cached)])
    sensors = "; ".join(
        f"{modality}: {sensor}, {count:,} samples, {share:.0%} of steps" for modality, sensor, count, share in facts.sensors
    )
    rows = [
        ("start", settings.model),
        ("data", settings.data),
        ("sensors", sensors),
        ("global batch", batch_words(settings, facts.processes)),
        ("steps", f"{settings.steps:,}, of which {settings.optim.warmup_steps:,} warm-up"),
        ("parameters", f"{facts.trained:,} trained, {facts.frozen:,} frozen"),
        ("precision", settings.machine.precision),
        ("optimiser", f"AdamW, learning rate {settings.optim.lr:g}, clipping at {settings.optim.clip_norm:g}"),
        ("weights saved", f"average with decay {settings.ema_decay:g}" if settings.ema_decay else "of the last step"),
        ("teachers", teachers or "none"),
    ]
    if facts.validation:
        sizes = ", ".join(f"{modality} {count}" for modality, count in facts.validation)
        when = f"every {settings.validation.every:,} steps and at the end" if settings.validation.every else "at the end"
        rows.append(("validation", f"{settings.validation.data}, {when}: {sizes}"))
    return [*rows, ("writes to", settings.run_dir)]


def batch_words(settings: TrainSettings, processes: int) -> str:
    """How the global batch comes about: processes, the share of each, and the chunks it is cut into to save memory."""
    share = settings.batch_size // processes
    chunk = settings.memory_chunk
    chunks = f", in {-(-share // chunk)} chunks of up to {chunk}" if 0 < chunk < share else ""
    return f"{settings.batch_size:,} = {processes} process{'es' * (processes > 1)} x {share:,}{chunks}"


def facts_table(settings: TrainSettings, facts: Facts) -> Table:
    """The same for the terminal."""
    table = Table(show_header=False, box=None, title=f"run '{settings.sensor_group.name}'", title_justify="left", title_style="bold")
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    for name, value in facts_rows(settings, facts):
        for number, part in enumerate(value.split("; ")):
            table.add_row(name if number == 0 else "", part)
    return table
