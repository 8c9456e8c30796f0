"""The assembly drawing of a training run. Settings in; a run folder with its model out."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from geolangbind.checkpoint import atomic_path, file_sha256
from geolangbind.data.loader import iterate_all, make_loader
from geolangbind.data.order import MixtureOrder
from geolangbind.data.shards import ShardSet, Stream
from geolangbind.errors import DataError, SettingsError
from geolangbind.model import GeoLangBind
from geolangbind.models import zoo
from geolangbind.statistics import Measured, Statistics, measure
from geolangbind.teachers import Teacher, load_teacher
from geolangbind.train.loop import Progressed, fit
from geolangbind.train.optim import build_optimizer
from geolangbind.train.settings import SensorGroup, TrainSettings
from geolangbind.train.state import load_state, newest_state
from geolangbind.train.tasks import AlignmentTask
from geolangbind.weights.bundled import BUNDLED
from geolangbind.weights.load import load
from geolangbind.weights.source import HUB, find_source
from geolangbind.weights.tokenizers import size_tokenizer

_MEASURED_SAMPLES = 256


def train(settings: TrainSettings) -> Path:
    """Run a training to its end, from its newest checkpoint if it has one.

    Returns:
        The model folder, `run_dir/model`.

    Raises:
        GeoLangBindError: settings, data or checkpoint cannot be used.
    """
    from lightning.fabric import Fabric

    machine, run_dir = settings.machine, Path(settings.run_dir)
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    if machine.threads:
        torch.set_num_threads(machine.threads)
    torch.use_deterministic_algorithms(settings.deterministic)
    fabric = Fabric(
        accelerator=machine.accelerator, devices=machine.devices, num_nodes=machine.num_nodes, precision=machine.precision
    )  # fmt: skip
    fabric.launch()
    torch.manual_seed(settings.seed)

    shards = ShardSet.open(settings.data)
    streams, weights = choose_streams(shards, settings.sensor_group)
    model = start_model(settings.model)
    model.statistics = model.statistics.joined(measure_streams(streams))
    live = {name: choice.source for name, choice in settings.teachers.choices.items() if choice.source}
    teachers = {name: load_teacher(name, source).to(fabric.device) for name, source in live.items()}
    task = AlignmentTask(model, settings, teachers, feature_shapes(settings, streams, teachers))
    task.maka.load_state_dict(_matching_heads(task, model.heads), strict=False)
    task.to(fabric.device)  # before the optimiser, whose restored state goes where the weights are
    optimizer = build_optimizer(task, settings.optim)

    state = _resume(run_dir, settings, shards.fingerprint, task, optimizer)
    _describe(run_dir, settings, shards, teachers)
    order = MixtureOrder([len(stream) for stream in streams], weights, settings.batch_size, settings.seed)
    cached = [name for name in settings.teachers.choices if name not in teachers]
    if state.step == 0 and settings.model in zoo.SIZES:
        stream, samples = order.batch(0)
        labels = [sample.meta.labels.get(settings.label) for sample in streams[stream].read_many(samples)]
        task.calibrate(labels, len(labels))
    if state.step < settings.steps:
        batches = make_loader(
            streams, order, start_step=state.step, stop_step=settings.steps, rank=fabric.global_rank, world_size=fabric.world_size,
            workers=machine.workers, teachers=cached,
        )  # fmt: skip
        fit(task, optimizer, batches, fabric, settings, state)
    if fabric.is_global_zero:
        finish(model, task, settings, streams, shards, state).save(run_dir / "model")
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


def start_model(source: str) -> GeoLangBind:
    """A random model of a named size, or one that `geolangbind.load` finds, ready for training."""
    if source in zoo.SIZES:
        return zoo.build(source, tokenizer=size_tokenizer(source))
    if not Path(source).exists() and not source.startswith(HUB) and source not in BUNDLED:
        raise SettingsError(f"model '{source}' is neither a folder, a file, {HUB}owner/name nor a size; sizes are {', '.join(zoo.SIZES)}")
    model = load(source)
    model.parents = [{"path": source, "sha256": file_sha256(find_source(source).weights), "role": "start"}]
    return model


def measure_streams(streams: tuple[Stream, ...]) -> Statistics:
    """Statistics of the first few hundred samples of each stream (shards are shuffled when written)."""
    measured = []
    for stream in streams:
        batches = list(islice(iterate_all(stream, 64), _MEASURED_SAMPLES // 64))
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
    model: GeoLangBind, task: AlignmentTask, settings: TrainSettings, streams: tuple[Stream, ...], shards: ShardSet, state: Progressed
) -> GeoLangBind:
    """The trained model with its averages applied and its origin written down."""
    with torch.no_grad():
        parameters = dict(task.named_parameters())
        for name, value in state.average.items():
            parameters[name].copy_(value)
    model.heads = {f"maka.{name}": value for name, value in task.maka.state_dict().items()}
    model.trained_sensors = tuple(sorted({*model.trained_sensors, *(stream.sensor for stream in streams)}))
    model.gsd_m = tuple(sorted({*model.gsd_m, *(shard.gsd_m for stream in streams for shard in stream.shards if shard.gsd_m)}))
    model.trained_words = model.trained_words | task.seen_words
    model.provenance = {
        "tool": "geolangbind-train",
        "version": version("geolangbind"),
        "sensor_group": settings.sensor_group.name,
        "steps": state.step,
        "seed": settings.seed,
        "data_fingerprint": shards.fingerprint,
    }
    return model.eval()


def _matching_heads(task: AlignmentTask, heads: Mapping[str, Tensor]) -> dict[str, Tensor]:
    own = task.maka.state_dict()
    found = {name.removeprefix("maka."): value for name, value in heads.items()}
    return {name: value for name, value in found.items() if name in own and own[name].shape == value.shape}


def _resume(run_dir: Path, settings: TrainSettings, fingerprint: str, task: AlignmentTask, optimizer: torch.optim.Optimizer) -> Progressed:
    newest = newest_state(run_dir)
    if newest is None:
        return Progressed(0, {})
    if settings.resume == "never":
        raise SettingsError(f"{run_dir} already holds {newest.name}; continue it (resume=auto), or give another run_dir")
    record = run_dir / "run.json"
    if record.is_file() and (before := json.loads(record.read_text(encoding="utf-8"))["data"]["fingerprint"]) != fingerprint:
        raise SettingsError(
            f"{newest} was trained on other data ({before[:12]}, now {fingerprint[:12]}); give another run_dir, or delete this one"
        )
    told, average = load_state(newest, task, optimizer)
    task.seen_words.update(told["seen_words"])
    return Progressed(int(told["step"]), average)


def _describe(run_dir: Path, settings: TrainSettings, shards: ShardSet, teachers: Mapping[str, Teacher]) -> None:
    """Keep what is needed to repeat the run: settings, versions, data, teachers, command."""
    run_dir.mkdir(parents=True, exist_ok=True)
    packages = ("geolangbind", "torch", "timm", "open_clip_torch", "lightning", "webdataset", "numpy")
    record: dict[str, Any] = {
        "command": " ".join(sys.argv),
        "versions": {"python": sys.version.split()[0], **{name: version(name) for name in packages}},
        "data": {"folder": str(shards.folder), "fingerprint": shards.fingerprint},
        "teachers": {name: teacher.identity for name, teacher in teachers.items()},
    }
    with atomic_path(run_dir / "run.json") as part:
        part.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    with atomic_path(run_dir / "config.yaml") as part:
        part.write_text(yaml.safe_dump(asdict(settings), sort_keys=False), encoding="utf-8")
