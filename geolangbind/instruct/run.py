"""The assembly drawing of an interleaved run. Settings and pairs in; a run folder with its encoder out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from rich.console import Console
from tokenizers import Tokenizer
from torch import Tensor

from geolangbind.checkpoint import file_sha256
from geolangbind.data.order import FINEST_SHARE
from geolangbind.errors import DataError, SettingsError
from geolangbind.instruct.cache import ensure_features, eye_identity, open_features, sources_of_files
from geolangbind.instruct.images import Images
from geolangbind.instruct.order import BlockOrder, in_fraction
from geolangbind.instruct.reading import Chosen, Reader, batches
from geolangbind.instruct.report import write_report
from geolangbind.instruct.rows import Pairs
from geolangbind.instruct.settings import STOCK, InterleavedSettings, SourceChoice
from geolangbind.instruct.show import render_precision
from geolangbind.instruct.task import InterleavedTask
from geolangbind.instruct.validate import Held
from geolangbind.interleaved.backbone import build_backbone, describe_backbone
from geolangbind.interleaved.encoder import InterleavedEncoder
from geolangbind.interleaved.folder import save_interleaved
from geolangbind.interleaved.lora import LoraSettings, add_lora
from geolangbind.interleaved.render import Rendering
from geolangbind.interleaved.segments import Image
from geolangbind.interleaved.vocabulary import Vocabulary, tiny_vocabulary, vocabulary_of
from geolangbind.models.interleaved import InterleavedConfig
from geolangbind.train.distributed import agree, processes
from geolangbind.train.log import read_rows
from geolangbind.train.loop import Progressed, fit
from geolangbind.train.optim import build_optimizer
from geolangbind.train.resume import TOOL, check_resumable, claimed, resume
from geolangbind.train.start import describe, done_before, launch
from geolangbind.train.state import newest_state
from geolangbind.train.summary import last_validation
from geolangbind.weights.load import load
from geolangbind.weights.source import HUB, find_source

if TYPE_CHECKING:
    from lightning.fabric import Fabric

PROJECTOR = "projector"
"""Folder of the first stage, in the run folder."""
_LEAST_SHARE = 1000


def train(settings: InterleavedSettings) -> Path:
    """Run a training to its end, from its newest checkpoint if it has one; a finished one is left as it is, and said to be.

    Returns:
        The model folder, `run_dir/model`.

    Raises:
        GeoLangBindError: settings, pairs or checkpoint cannot be used, or another process trains in the run folder.
    """
    fabric = launch(settings)
    with claimed(Path(settings.run_dir), fabric.is_global_zero):
        return _train(fabric, Path(settings.run_dir), settings)


def _train(fabric: Fabric, run_dir: Path, settings: InterleavedSettings) -> Path:
    pairs = Pairs.open(settings.pairs)
    encoder = start_encoder(settings)
    fingerprint = data_fingerprint(pairs, encoder)
    if done_before(run_dir, settings, fingerprint, fabric.is_global_zero):
        return run_dir / "model"
    encoder.model.to(fabric.device)
    reader = Reader(_images(fabric, pairs, encoder, settings), settings.hard_negatives, settings.memory_chunk)
    sources = choose_sources(pairs, settings.sources, settings.fraction)
    if settings.feature_cache and fabric.is_global_zero:
        _say_what_is_not_kept(pairs, [source.name for source in sources])
    held = None
    if settings.validation.pairs:
        held = Held(Reader(_images(fabric, Pairs.open(settings.validation.pairs), encoder, settings)), settings)
        held.prepare()
    if settings.projector_steps and newest_state(run_dir) is None:
        _projector_stage(fabric, settings, reader, fingerprint)
    task = InterleavedTask(encoder.model, settings)
    state = _stage(fabric, settings, task, reader, sources, fingerprint, held)
    if fabric.is_global_zero:
        if settings.report:
            write_report(settings, sources)
        _take_over(task, state.average)
        encoder.provenance = {
            "tool": TOOL, "version": version("geolangbind"), "task": settings.task, "steps": state.step, "seed": settings.seed,
            "projector_steps": settings.projector_steps, "data_fingerprint": fingerprint,
            "sources": {name: dict(source.provenance) for name, source in pairs.sources.items()},
            "temperature": float(1 / task.log_scale.detach().exp()),
        }  # fmt: skip
        save_interleaved(encoder, run_dir / "model")
        if held is not None:
            measured = last_validation(read_rows(run_dir / "validation.jsonl"))
            Console(quiet=not settings.progress, highlight=False).print(render_precision(measured))
    fabric.barrier()
    return run_dir / "model"


def _projector_stage(fabric: Fabric, settings: InterleavedSettings, reader: Reader, fingerprint: str) -> None:
    """Train what lies between tower and backbone alone, in a run of its own inside the run folder."""
    pairs, folder = reader.images.pairs, Path(settings.run_dir) / PROJECTOR
    first = replace(settings, run_dir=str(folder), steps=settings.projector_steps, best_metric="")
    check_resumable(folder, first, fingerprint)
    chosen = settings.projector_sources or looking_sources(pairs, settings)
    sources = choose_sources(pairs, {name: settings.sources.get(name, SourceChoice()) for name in chosen}, settings.fraction)
    if not settings.sources:  # as in the second stage
        sources = by_rows(sources)
    task = InterleavedTask(reader.images.encoder.model, first, projector_only=True)
    state = _stage(fabric, first, task, reader, sources, fingerprint, None)
    _take_over(task, state.average)


def _stage(
    fabric: Fabric,
    settings: InterleavedSettings,
    task: InterleavedTask,
    reader: Reader,
    sources: tuple[Chosen, ...],
    fingerprint: str,
    held: Held | None,
) -> Progressed:
    run_dir = Path(settings.run_dir)
    task.to(fabric.device)
    module = fabric.setup_module(task)
    optimizer = build_optimizer(task, settings.optim, {"model.tower.": settings.train_tower} if settings.train_tower else None)
    state = resume(run_dir, settings, {}, task, optimizer, fabric.is_global_zero)
    agree({"step": state.step, "data": fingerprint, "settings": asdict(settings)}, fabric.device, processes())
    if fabric.is_global_zero:
        describe(run_dir, settings, {"data": {"folder": settings.pairs, "fingerprint": fingerprint}}, ("transformers", "peft"))
        Console(quiet=not settings.progress, highlight=False).print(_facts(task, settings, sources))
    weights = [source.weight for source in sources]
    sizes, together = [len(source.rows) for source in sources], [source.together for source in sources]
    order = BlockOrder(sizes, weights, settings.batch_size, settings.block or settings.batch_size, settings.seed, together)
    if state.step < settings.steps:
        steps, workers = range(state.step, settings.steps), settings.machine.workers
        found = batches(reader, sources, order, steps, rank=fabric.global_rank, world_size=fabric.world_size, workers=workers)
        fit(module, optimizer, found, fabric, settings, state, held)
    return state


def start_encoder(settings: InterleavedSettings) -> InterleavedEncoder:
    """Tower, backbone with its adapters, and what lies between them, drawn from torch's global random numbers.

    Raises:
        GeoLangBindError: a part cannot be loaded, or they do not fit together.
    """
    choice, vocabulary = settings.backbone, vocabulary_for(settings.backbone.source)
    tower = None
    if settings.tower != STOCK:
        tower = load(settings.tower)
        tower.parents = [{"path": settings.tower, "sha256": file_sha256(find_source(settings.tower).weights), "role": "start"}]
    config = dict(choice.config) if choice.source else {"vocab_size": vocabulary.size, **choice.config}
    spec = describe_backbone(
        choice.kind, choice.source or None, config or None,
        positions=choice.positions or None, dtype=choice.dtype, vision=settings.tower == STOCK,
    )  # fmt: skip
    backbone = build_backbone(spec)
    if settings.lora.r:
        add_lora(backbone, LoraSettings(**vars(settings.lora)))
    told = vars(settings.rendering)
    rendering = Rendering(**{**told, "image_facts": tuple(told["image_facts"])})
    shape = InterleavedConfig(**vars(settings.model), dims=tuple(settings.matryoshka.dims))
    return InterleavedEncoder.create(tower or backbone.take_vision(), backbone, vocabulary, rendering, shape)


def vocabulary_for(source: str) -> Vocabulary:
    """The vocabulary of a backbone: its own `tokenizer.json`, or the tiny one for random weights.

    Raises:
        SettingsError: there is no `tokenizer.json`.
        CheckpointError: it lacks the tokens that sequences are made with.
    """
    if not source:
        return tiny_vocabulary()
    from geolangbind.weights.hub import fetch

    path = (fetch(source) if source.startswith(HUB) else Path(source)) / "tokenizer.json"
    if not path.is_file():
        raise SettingsError(f"backbone.source {source} holds no tokenizer.json; copy the one that belongs to these weights")
    return vocabulary_of(source, Tokenizer.from_file(str(path)))


def data_fingerprint(pairs: Pairs, encoder: InterleavedEncoder) -> str:
    """Identity of rows, images and of the weights that the run starts from."""
    told = {
        "rows": {name: source.sha256 for name, source in pairs.sources.items()},
        "images": {name: held.fingerprint for name, held in pairs.shard_sets.items()},
        "eye": eye_identity(encoder),
        "backbone": encoder.backbone.spec.sha256,
    }
    return sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def choose_sources(pairs: Pairs, sources: Mapping[str, SourceChoice], fraction: float) -> tuple[Chosen, ...]:
    """The sources of a run, in the order of the pairs folder, with the rows that `fraction` leaves; without `sources`, all `by_rows`.

    Raises:
        SettingsError: a source that the folder does not have, or a weight that is too small beside the others.
        DataError: a source has no row left.
    """
    if unknown := sorted(set(sources) - set(pairs.sources)):
        raise SettingsError(f"sources: {pairs.folder} has no '{unknown[0]}'; it has {', '.join(pairs.sources)}")
    chosen = []
    for name, source in pairs.sources.items():
        if sources and (name not in sources or sources[name].weight == 0):
            continue
        rows = np.arange(len(source), dtype=np.int64)
        if fraction < 1:
            rows = rows[[in_fraction(row.id, fraction) for row in pairs.read(name, rows)]]
        if not len(rows):
            raise DataError(f"source '{name}' of {pairs.folder} has no row in a fraction of {fraction:g}; take more, or leave it out")
        choice = sources.get(name, SourceChoice())
        chosen.append(Chosen(name, rows, choice.weight, choice.together))
    if not sources:
        return by_rows(chosen)
    total = sum(one.weight for one in chosen)
    for one in chosen:
        if one.weight * FINEST_SHARE < total:
            told = f"sources.{one.name}.weight is {one.weight:g}, {one.weight / total:.1g} of all weights"
            raise SettingsError(f"{told}; the finest share is 1/{FINEST_SHARE}: raise it, or leave the source out with 0")
    return tuple(chosen)


def by_rows(sources: Sequence[Chosen]) -> tuple[Chosen, ...]:
    """Sources whose weights are their numbers of rows, but at least a thousandth of all rows: a small one beside large ones counts too."""
    least = sum(len(source.rows) for source in sources) / _LEAST_SHARE
    return tuple(replace(source, weight=max(float(len(source.rows)), least)) for source in sources)


def looking_sources(pairs: Pairs, settings: InterleavedSettings) -> list[str]:
    """Sources whose first row has images in its query and none in its target.

    Raises:
        SettingsError: there is none.
    """

    def looks(name: str) -> bool:
        (row,) = pairs.read(name, [0])
        return any(isinstance(s, Image) for s in row.query) and not any(isinstance(s, Image) for s in row.target)

    on = [name for name in pairs.sources if not settings.sources or (name in settings.sources and settings.sources[name].weight > 0)]
    if found := [name for name in on if looks(name)]:
        return found
    raise SettingsError(f"projector_steps needs a source that looks from images to words; {pairs.folder} has none: projector_steps=0")


def _images(fabric: Fabric, pairs: Pairs, encoder: InterleavedEncoder, settings: InterleavedSettings) -> Images:
    if not settings.feature_cache:
        return Images(pairs, encoder)
    root, shards = Path(settings.feature_cache), pairs.shard_sets
    if fabric.is_global_zero:
        ensure_features(root, encoder, shards, progress=settings.progress)
    fabric.barrier()
    identity = eye_identity(encoder)
    return Images(pairs, encoder, {name: open_features(root, identity, held) for name, held in shards.items()})


def _say_what_is_not_kept(pairs: Pairs, names: Sequence[str]) -> None:
    if files := sources_of_files(pairs, names):
        told = f"feature_cache keeps what is in shards; the tower sees the image files of {', '.join(files)} anew in every step"
        way_out = "to have them kept too, write them to shards and build the pairs from those"
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"{told}; {way_out}", markup=False)


@torch.no_grad()
def _take_over(task: InterleavedTask, average: Mapping[str, Tensor]) -> None:
    """Let the running averages, where they are kept, be the weights."""
    parameters = dict(task.named_parameters())
    for name, value in average.items():
        parameters[name].copy_(value)


def _facts(task: InterleavedTask, settings: InterleavedSettings, sources: tuple[Chosen, ...]) -> str:
    trained, all_of_it = (sum(p.numel() for p in task.parameters() if p.requires_grad or not only) for only in (True, False))
    total = sum(source.weight for source in sources)
    told = ", ".join(f"{source.name} ({len(source.rows):,} rows, {source.weight / total:.0%})" for source in sources)
    block = settings.block or settings.batch_size
    return (
        f"{settings.run_dir}: {settings.steps:,} steps of {settings.batch_size:,} draws in blocks of {block:,}; "
        f"{trained:,} of {all_of_it:,} parameters trained; sources {told}"
    )
