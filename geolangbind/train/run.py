"""The assembly drawing of a training run. Settings in; a run folder with its model out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor

from geolangbind.checkpoint import file_sha256
from geolangbind.data.loader import iterate_all, make_loader
from geolangbind.data.order import MixtureOrder
from geolangbind.data.places import Places
from geolangbind.data.replace import read_batch
from geolangbind.data.shards import ShardSet, Stream
from geolangbind.errors import DataError, SettingsError
from geolangbind.model import GeoLangBind
from geolangbind.models import zoo
from geolangbind.models.two_tower import TwoTower
from geolangbind.statistics import Measured, Statistics, measure
from geolangbind.teachers import Teacher, load_teacher
from geolangbind.train.distributed import agree, processes
from geolangbind.train.facts import facts_table, gather
from geolangbind.train.loop import Progressed, fit
from geolangbind.train.optim import build_optimizer
from geolangbind.train.report import write_report
from geolangbind.train.resume import TOOL, claimed, resume
from geolangbind.train.settings import SensorGroup, TrainSettings
from geolangbind.train.sharding import gathered
from geolangbind.train.start import describe, done_before, launch
from geolangbind.train.tasks import AlignmentTask
from geolangbind.train.validate import open_validator
from geolangbind.weights.bundled import BUNDLED
from geolangbind.weights.load import load
from geolangbind.weights.source import HUB, find_source
from geolangbind.weights.tokenizers import size_tokenizer

if TYPE_CHECKING:
    from lightning.fabric import Fabric

_MEASURED_SAMPLES = 256


def train(settings: TrainSettings) -> Path:
    """Run a training to its end, from its newest checkpoint if it has one; a finished one is left as it is, and said to be.

    Returns:
        The model folder, `run_dir/model`.

    Raises:
        GeoLangBindError: settings, data or checkpoint cannot be used, or another process trains in the run folder.
    """
    fabric = launch(settings)
    with claimed(Path(settings.run_dir), fabric.is_global_zero):
        return _train(fabric, Path(settings.run_dir), settings)


def _train(fabric: Fabric, run_dir: Path, settings: TrainSettings) -> Path:
    shards = ShardSet.open(settings.data, "skip" if settings.on_error == "skip" else "raise")
    if done_before(run_dir, settings, shards.fingerprint, fabric.is_global_zero):
        return run_dir / "model"
    streams, weights = choose_streams(shards, settings.sensor_group)
    model = start_model(settings.model)
    places = choose_places(shards, streams, settings)
    max_skipped = settings.max_skipped if settings.on_error == "skip" else 0
    model.statistics = model.statistics.joined(measure_streams(streams if places is None else tuple(places.streams), max_skipped))
    live = {name: choice.source for name, choice in settings.teachers.choices.items() if choice.source}
    teachers = {name: load_teacher(name, source).to(fabric.device) for name, source in live.items()}
    task = AlignmentTask(model, settings, teachers, feature_shapes(settings, streams, teachers))
    task.maka.load_state_dict(_matching_heads(task, model.heads), strict=False)
    task.to(fabric.device)  # before the optimiser, whose restored state goes where the weights are
    module = fabric.setup_module(task)  # before the optimiser, too: FSDP puts parts of the weights in the place of the weights
    optimizer = build_optimizer(task, settings.optim)

    identities = {name: teacher.identity for name, teacher in teachers.items()}
    state = resume(run_dir, settings, identities, task, optimizer, fabric.is_global_zero)
    agree({"step": state.step, "data": shards.fingerprint, "settings": asdict(settings)}, fabric.device, processes())
    validator = open_validator(settings, model)
    facts = gather(task, streams, weights, live, fabric.world_size, validator)
    if fabric.is_global_zero:
        data = {"folder": str(shards.folder), "fingerprint": shards.fingerprint}
        describe(run_dir, settings, {"data": data, "teachers": identities})
        Console(quiet=not settings.progress).print(facts_table(settings, facts))
    order = MixtureOrder([len(stream) for stream in streams], weights, settings.batch_size, settings.seed)
    cached = [name for name in settings.teachers.choices if name not in teachers]
    if state.step == 0 and settings.model in zoo.SIZES:
        stream, samples = order.batch(0)
        labels = read_labels(streams[stream], samples, settings.label, max_skipped)
        task.calibrate(labels, len(labels))
    if state.step < settings.steps:
        batches = make_loader(
            streams, order, start_step=state.step, stop_step=settings.steps, rank=fabric.global_rank, world_size=fabric.world_size,
            workers=settings.machine.workers, teachers=cached, places=places, max_skipped=max_skipped,
        )  # fmt: skip
        fit(module, optimizer, batches, fabric, settings, state, validator)
    trained = gathered({**task.state_dict(), **state.average}, fabric.is_global_zero)
    if fabric.is_global_zero:
        if settings.report:
            write_report(settings, facts, sorted(state.skipped))  # before the model, whose presence says that nothing is left to do
        finish(model, trained, task, settings, streams, shards, state).save(run_dir / "model")
    fabric.barrier()
    return run_dir / "model"


def choose_streams(shards: ShardSet, group: SensorGroup) -> tuple[tuple[Stream, ...], list[float]]:
    """The streams of a sensor group and their shares of the steps.

    Raises:
        DataError: the shards hold nothing of one of the group's modalities.
    """
    streams: list[Stream] = []
    weights: list[float] = []
    for modality, share in group.modalities.items():
        found = shards.select(modalities=[modality])
        total = sum(len(stream) for stream in found)
        streams += found
        weights += [share * len(stream) / total for stream in found]
    return tuple(streams), weights


def choose_places(shards: ShardSet, streams: tuple[Stream, ...], settings: TrainSettings) -> Places | None:
    """Where the second sensor of a step comes from; None where no term needs one.

    Raises:
        SettingsError: no place is seen by two modalities.
        DataError: the shards hold nothing of a modality in `cross_sensor.modalities`.
    """
    cross = settings.cross_sensor
    if not cross.weight:
        return None
    wanted = cross.modalities or list(settings.sensor_group.modalities)
    more = tuple(stream for stream in shards.select(modalities=wanted) if stream not in streams)
    may_partner = [stream.modality in wanted for stream in (*streams, *more)]
    places = Places((*streams, *more), may_partner, cross.share, settings.seed)
    places.require_pairs(len(streams))
    return places


def start_model(source: str) -> GeoLangBind:
    """A random model of a named size, or one that `geolangbind.load` finds, ready for training."""
    if source in zoo.SIZES:
        return zoo.build(source, tokenizer=size_tokenizer(source))
    if not Path(source).exists() and not source.startswith(HUB) and source not in BUNDLED:
        raise SettingsError(f"model '{source}' is neither a folder, a file, {HUB}owner/name nor a size; sizes are {', '.join(zoo.SIZES)}")
    model = load(source)
    model.parents = [{"path": source, "sha256": file_sha256(find_source(source).weights), "role": "start"}]
    return model


def read_labels(stream: Stream, samples: NDArray[np.int64], label: str, max_skipped: int) -> list[Any]:
    """The label of each sample, None where it has none."""
    found: list[Any] = []
    for first in range(0, len(samples), 256):  # in parts, for this is the batch of all processes
        batch, _ = read_batch(stream, samples[first : first + 256], (), max_skipped)
        found += batch.labels.get(label, [None] * len(batch))
    return found


def measure_streams(streams: tuple[Stream, ...], max_skipped: int = 0) -> Statistics:
    """Statistics of the first few hundred samples of each stream (shards are shuffled when written)."""
    measured = []
    for stream in streams:
        batches = list(islice(iterate_all(stream, 64, max_skipped=max_skipped), _MEASURED_SAMPLES // 64))
        image = torch.cat([batch.image for batch in batches])
        valid = torch.cat(
            [torch.ones(batch.image[:, 0].shape, dtype=torch.bool) if batch.valid is None else batch.valid for batch in batches]
        )
        measured.append(Measured(stream.sensor, stream.bands, image, batches[0].channels, None if valid.all() else valid))
    return measure(measured)


def feature_shapes(settings: TrainSettings, streams: tuple[Stream, ...], teachers: Mapping[str, Teacher]) -> dict[str, tuple[int, int]]:
    """(tokens, width) of each chosen teacher, live or stored.

    Raises:
        DataError: a teacher has no source and a stream lacks its features.
    """
    shapes = {name: (teacher.grid**2, teacher.width) for name, teacher in teachers.items()}
    for name in settings.teachers.choices.keys() - shapes.keys():
        for stream in streams:
            if name not in stream.teachers:
                raise DataError(
                    f"the {stream.modality} shards hold no features of teacher '{name}': give teachers.choices.{name}.source, "
                    f"or run `geolangbind shards add-features {settings.data} --teacher {name}=SOURCE`"
                )
        sample = streams[0].read(0, [name])
        shapes[name] = (sample.features[name].shape[0], sample.features[name].shape[1])
    return shapes


def finish(
    model: GeoLangBind,
    weights: Mapping[str, Tensor],
    task: AlignmentTask,
    settings: TrainSettings,
    streams: tuple[Stream, ...],
    shards: ShardSet,
    state: Progressed,
) -> GeoLangBind:
    """The trained model with the weights (averages, where they are kept) of its task and its origin written down."""
    with torch.device("meta"):  # whole weights do not go into towers whose own may be split
        model.towers = TwoTower(model.towers.vision.config, model.towers.text_config)
    model.towers.load_state_dict(_part(weights, "towers."), assign=True)
    model.heads = {f"maka.{name}": value for name, value in _part(weights, "maka.").items()}
    model.trained_sensors = tuple(sorted({*model.trained_sensors, *(stream.sensor for stream in streams)}))
    model.gsd_m = tuple(sorted({*model.gsd_m, *(shard.gsd_m for stream in streams for shard in stream.shards if shard.gsd_m)}))
    model.trained_words = model.trained_words | task.seen_words
    model.provenance = {
        "tool": TOOL,
        "version": version("geolangbind"),
        "sensor_group": settings.sensor_group.name,
        "steps": state.step,
        "seed": settings.seed,
        "data_fingerprint": shards.fingerprint,
        **({"ema_decay": settings.ema_decay} if state.average else {}),
        **({"skipped_samples": len(state.skipped)} if state.skipped else {}),
    }
    return model.eval()


def _part(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}


def _matching_heads(task: AlignmentTask, heads: Mapping[str, Tensor]) -> dict[str, Tensor]:
    own = task.maka.state_dict()
    found = {name.removeprefix("maka."): value for name, value in heads.items()}
    return {name: value for name, value in found.items() if name in own and own[name].shape == value.shape}
