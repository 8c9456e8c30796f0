"""The interleaved encoder of a seed: its training, what that took in operations, and the encoder as rankings ask it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from geolangbind.checkpoint import CONFIG, file_sha256
from geolangbind.demo_interleaved.fit import flops_of
from geolangbind.instruct import cache
from geolangbind.instruct.cache import ensure_features, eye_identity, open_features
from geolangbind.instruct.images import Images, samples_seen
from geolangbind.instruct.order import BlockOrder
from geolangbind.instruct.ranking import SequenceModel, rendering_hash
from geolangbind.instruct.reading import InstructBatch, Reader, batches
from geolangbind.instruct.rows import Pairs
from geolangbind.instruct.run import PROJECTOR, choose_sources, start_encoder
from geolangbind.instruct.segments_json import Sequence as Segments
from geolangbind.instruct.settings import InterleavedSettings, from_config
from geolangbind.instruct.task import InterleavedTask
from geolangbind.interleaved.encoder import InterleavedEncoder
from geolangbind.interleaved.folder import load_interleaved

_COUNTED = 8
"""Steps, spread over the training, whose operations are counted."""
_AT_ONCE = 256


def settings_for(recipe: Mapping[str, Any], pairs: Pairs, features: Path, run_dir: Path, seed: int, threads: int) -> InterleavedSettings:
    """Settings of a run after a recipe; sources that a small world does not have are left out."""
    sources = {name: choice for name, choice in recipe["sources"].items() if name in pairs.sources}
    machine = {**recipe["machine"], "threads": threads}
    places = {"pairs": str(pairs.folder), "feature_cache": str(features), "run_dir": str(run_dir)}
    return from_config({**recipe, "sources": sources, "machine": machine, **places, "seed": seed})


def images_of(pairs: Pairs, encoder: InterleavedEncoder, features: Path, *, progress: bool = True) -> Images:
    """The images of pairs as the encoder's tower sees them, on disk below `features`; what is not there yet is computed."""
    ensure_features(features, encoder, pairs.shard_sets, progress=progress)
    identity = eye_identity(encoder)
    return Images(pairs, encoder, {name: open_features(features, identity, held) for name, held in pairs.shard_sets.items()})


def has_features(pairs: Sequence[Pairs], encoder: InterleavedEncoder, features: Path) -> bool:
    """Whether all that `images_of` computes is there."""
    identity = eye_identity(encoder)
    return all(cache.has_features(features, identity, held) for one in pairs for held in one.shard_sets.values())


def steps_done(run_dir: Path) -> int:
    """Steps that a run has written down by now; it does so some tens of them at a time."""
    logs = (folder / "metrics.jsonl" for folder in (run_dir / PROJECTOR, run_dir))
    return sum(log.read_bytes().count(b"\n") for log in logs if log.is_file())


def training_flops(settings: InterleavedSettings) -> float:
    """Operations that a run takes: those of its steps, forward and backward, and of seeing each image once."""
    torch.manual_seed(settings.seed)
    pairs, encoder = Pairs.open(settings.pairs), start_encoder(settings)
    images = images_of(pairs, encoder, Path(settings.feature_cache), progress=settings.progress)
    sources = choose_sources(pairs, settings.sources, settings.fraction)
    sizes, weights = [len(source.rows) for source in sources], [source.weight for source in sources]
    together = [source.together for source in sources]
    order = BlockOrder(sizes, weights, settings.batch_size, settings.block or settings.batch_size, settings.seed, together)
    task, reader = InterleavedTask(encoder.model, settings).train(), Reader(images, settings.hard_negatives, settings.memory_chunk)
    counted = sorted({settings.steps * place // _COUNTED for place in range(_COUNTED)})
    found = 0
    for step in counted:
        (batch,) = batches(reader, sources, order, range(step, step + 1))
        found += flops_of(partial(_loss, task, batch))
    steps = settings.steps + settings.projector_steps
    return steps * found / len(counted) + _seeing_flops(images)


def _loss(task: InterleavedTask, batch: InstructBatch) -> Tensor:
    found: Tensor = task(lambda: batch, torch.Generator())["loss"]
    return found


@torch.no_grad()
def _seeing_flops(images: Images) -> int:
    found = 0
    for shards in images.pairs.shard_sets.values():
        for stream in shards.streams:
            seen = samples_seen([stream.read(0)], images.encoder)
            with FlopCounterMode(display=False) as counter:
                images.encoder.model.vision_features(seen.pixels, seen.channels, seen.valid)
            found += counter.get_total_flops() * len(stream)
    return found


def as_ranked(folder: Path, pairs: Pairs, features: Path, *, progress: bool = True) -> SequenceModel:
    """A trained encoder as `ranking.rank` takes it, for rows of these pairs."""
    encoder = load_interleaved(folder)
    reader = Reader(images_of(pairs, encoder, features, progress=progress))

    @torch.no_grad()
    def embed(sequences: Sequence[Segments], instruction: str) -> Tensor:
        found = []
        for first in range(0, len(sequences), _AT_ONCE):
            written = [reader.write(sequence, instruction) for sequence in sequences[first : first + _AT_ONCE]]
            parts, place = reader.layout(written)
            vectors = torch.cat([encoder.model(part) for part in parts])
            found.append(vectors[[place[one] for one in written]])
        return torch.cat(found)

    # config.json names the hash of every file with weights: two models may differ in their adapters or towers alone
    return SequenceModel(str(folder), file_sha256(folder / CONFIG), rendering_hash(encoder.rendering), embed)
