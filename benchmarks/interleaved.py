"""The interleaved encoder: speed and memory by sequence length, and what cached features and shared beginnings bring; arms in turn.

    python benchmarks/interleaved.py            # one thread, Markdown on the terminal, some minutes
    python benchmarks/interleaved.py --quick    # few rounds and rows, to see that it runs

The language model is the tiny one (hidden 192, four layers), random weights. Sequences are embedded through the public `embed` with the
tower of planet-tiny: arrays in, vectors out. A training step reads its rows and images, computes the loss in bf16 as the trainer does,
and updates projector and language model. Times are processor times, which other programs disturb little. Peak memory is that of
processes forked before anything is computed (Linux), above what they hold with the model loaded.
"""

from __future__ import annotations

import argparse
import datetime as dt
import multiprocessing
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
import transformers
from torch.nn.attention import SDPBackend, sdpa_kernel

from geolangbind.data.sample import Sample, SampleMeta
from geolangbind.data.write import write_index, write_shard
from geolangbind.instruct.cache import ensure_features, eye_identity, open_features
from geolangbind.instruct.images import Images
from geolangbind.instruct.reading import InstructBatch, Reader
from geolangbind.instruct.row import Row
from geolangbind.instruct.rows import Pairs, StoredImage, write_pairs
from geolangbind.instruct.settings import InterleavedSettings
from geolangbind.instruct.task import InterleavedTask
from geolangbind.interleaved.backbone import build_backbone, describe_backbone
from geolangbind.interleaved.collate import collate
from geolangbind.interleaved.encoder import InterleavedEncoder
from geolangbind.interleaved.prompts import Prompts
from geolangbind.interleaved.render import Rendering
from geolangbind.interleaved.segments import Image, PixelBox, Text
from geolangbind.interleaved.vocabulary import tiny_vocabulary
from geolangbind.model import GeoLangBind
from geolangbind.models import zoo
from geolangbind.models.interleaved import InterleavedConfig, InterleavedModel
from geolangbind.models.text import TextConfig
from geolangbind.models.two_tower import TwoTower
from geolangbind.physical import physical_image
from geolangbind.sensors import get_sensor
from geolangbind.sensors.units import Unit
from geolangbind.statistics import Measured, measure
from geolangbind.train.guard import clip_gradients
from geolangbind.train.loop import short_attention
from geolangbind.train.optim import build_optimizer
from geolangbind.weights.load import load

RGB, SIDE, GOAL = ("R", "G", "B"), 128, "3"
SENSORS = {3: ("aerial-rgb", Unit.DISPLAY_U8, 1.0), 12: ("sentinel-2-l2a", Unit.REFLECTANCE, 1e-4), 202: ("enmap", Unit.REFLECTANCE, 1e-4)}
LONG = Rendering(image_facts=(), max_length=2048)


@dataclass(frozen=True)
class Case:
    """A sequence: so many images of (enlarge 8 / factor)^2 tokens each, and about so many tokens of words."""

    images: int
    words: int
    factor: int = 2
    enlarge: int = 1

    def sequences(self, count: int) -> list[tuple[Image | Text, ...]]:
        """So many of them, all of different images of 64 px."""
        rng = np.random.default_rng(0)
        pixels = rng.integers(1, 255, (count, self.images, 3, 64, 64), dtype=np.uint8)
        words = Text("field " * self.words)
        return [(*(Image(one, "aerial-rgb", RGB, Unit.DISPLAY_U8) for one in row), words) for row in pixels]

    def encoder(self) -> InterleavedEncoder:
        """The encoder that gives them these tokens."""
        return make_encoder(load("planet-tiny"), self.factor, self.enlarge)


CASES = (
    Case(0, 16), Case(0, 64), Case(0, 256), Case(1, 16), Case(1, 16, factor=1), Case(1, 16, factor=1, enlarge=2), Case(1, 256),
    Case(2, 16), Case(4, 16), Case(4, 16, factor=1),
)  # fmt: skip


def make_encoder(tower: GeoLangBind, factor: int = 2, enlarge: int = 1) -> InterleavedEncoder:
    """The tiny language model behind a tower."""
    vocabulary = tiny_vocabulary()
    backbone = build_backbone(describe_backbone("tiny", config={"vocab_size": vocabulary.size}))
    return InterleavedEncoder.create(tower, backbone, vocabulary, LONG, InterleavedConfig(factor=factor, enlarge=enlarge))


def embedding(count: int, rounds: int) -> None:
    """The table of sequence lengths."""
    row("images x tokens", "tokens in all", "embeddings/s", "of the time in opening, writing, collating", "in the tower", "peak memory, MB")
    row("---", *["---:"] * 5)
    with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as fresh:
        peaks = fresh.starmap(peak_mb, [(case, count) for case in CASES], chunksize=1)
    for case, peak in zip(CASES, peaks, strict=True):
        encoder, sequences = case.encoder(), case.sequences(count)
        written = [encoder._render(sequence, "", {}) for sequence in sequences]
        batch = collate([prompt for prompt, _ in written], [refs for _, refs in written], encoder.vocabulary.pad)
        with torch.inference_mode():
            arms: dict[str, Callable[[], object]] = {
                "whole": partial(encoder.embed, sequences),
                "laid out": partial(lay_out, encoder, sequences),
            }
            arms["tower"] = partial(see, encoder.model, batch)
            times = in_turn(arms, rounds)
        tokens = case.images and encoder.model.grid_of(64, 64)[0] ** 2
        shares = (f"{100 * times[name] / times['whole']:.0f} %" for name in ("laid out", "tower"))
        row(f"{case.images} x {tokens}", batch.ids.shape[1], f"{count / times['whole']:.0f}", *shares, f"{peak:.0f}")


def lay_out(encoder: InterleavedEncoder, sequences: Sequence[Sequence[Any]]) -> Prompts:
    """What `embed` does before the model."""
    written = [encoder._render(sequence, "", {}) for sequence in sequences]
    return collate([prompt for prompt, _ in written], [refs for _, refs in written], encoder.vocabulary.pad)


def see(model: InterleavedModel, batch: Prompts) -> None:
    """What the tower does."""
    for group in batch.groups:
        model._features(group)


def peak_mb(case: Case, count: int) -> float:
    """Peak memory of embedding in this process, in MB above what it held before."""
    encoder = case.encoder()
    encoder.embed(case.sequences(1))  # what libraries keep from their first call is not the sequences'
    sequences = case.sequences(count)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # Linux: the peak starts again from here
    before = peak_kb()
    encoder.embed(sequences)
    return (peak_kb() - before) * 1024 / 1e6


def peak_kb() -> int:
    """Peak memory of this process."""
    return int(Path("/proc/self/status").read_text(encoding="ascii").partition("VmHWM:")[2].split()[0])


def large_tower(bands: int) -> GeoLangBind:
    """A tower of b-224 size, random weights, that knows the images of so many bands."""
    name, unit, scale = SENSORS[bands]
    names = tuple(band.name for band in get_sensor(name).bands)[:bands]
    seen = physical_image(torch.rand(bands, 16, 16) * 255 * scale, sensor=name, bands=names, unit=str(unit))
    towers = TwoTower(zoo.SIZES["b-224"].vision, TextConfig(64, 8, 64, 1, 1, 4.0, 768))
    return GeoLangBind(towers, None, measure([Measured(name, names, seen.image, seen.channels)]))


def write_rows(folder: Path, bands: int, images: int, boxes: int) -> Pairs:
    """Rows that ask what is in a box: so many boxes of each image, images of 128 px in shards."""
    name, unit, scale = SENSORS[bands]
    names = tuple(band.name for band in get_sensor(name).bands)[:bands]
    meta = SampleMeta(name, names, unit, 10.0, ("a field",), scale=scale)
    rng = np.random.default_rng(0)
    dtype, top = ("uint8", 255) if bands == 3 else ("uint16", 4000)
    samples = [Sample(f"s{number}", rng.integers(1, top, (bands, SIDE, SIDE)).astype(dtype), meta) for number in range(images)]
    write_index(folder / "chips", [write_shard(folder / "chips" / "s-000000.tar", samples)], {})
    rows = (
        Row(
            f"r{image}-{box}", "Name what is in the box.",
            (Image(StoredImage("chips", f"s{image}")), Text("What is in"), PixelBox(8 * box, 4, 8 * box + 20, 40)),
            (Text(f"the field number {image * boxes + box} beside a river"),),
        )
        for image, box in product(range(images), range(boxes))
    )  # fmt: skip
    return write_pairs(folder / "pairs", {"chips": folder / "chips"}, {"boxes": (rows, {})})


def cached(pairs: Pairs, encoder: InterleavedEncoder, root: Path) -> Reader:
    """Rows and images with their features on disk."""
    ensure_features(root, encoder, pairs.shard_sets, progress=False)
    identity = eye_identity(encoder)
    return Reader(Images(pairs, encoder, {name: open_features(root, identity, held) for name, held in pairs.shard_sets.items()}))


class Trainer:
    """Steps over all rows of a folder, as `train.loop` takes them."""

    def __init__(self, encoder: InterleavedEncoder) -> None:
        self.task = InterleavedTask(encoder.model, InterleavedSettings(pairs="pairs", run_dir="run")).train()
        self.optimizer = build_optimizer(self.task, self.task.settings.optim)

    def step(self, batch: InstructBatch) -> None:
        """Forward, backward, clipping, update."""
        with short_attention(torch.device("cpu")):
            with torch.autocast("cpu", torch.bfloat16):
                losses = self.task(lambda: batch, torch.Generator().manual_seed(0))
            self.optimizer.zero_grad(set_to_none=True)
            losses["loss"].backward()
        clip_gradients([parameter for parameter in self.task.parameters() if parameter.requires_grad], 1.0)
        self.optimizer.step()
        self.task.clamp_temperature()

    def read_and_step(self, reader: Reader) -> None:
        """The same from rows on."""
        self.step(whole_batch(reader))


def whole_batch(reader: Reader) -> InstructBatch:
    """All rows of a folder as one batch; images are read anew, rows are rendered once."""
    count = len(reader.images.pairs.sources["boxes"])
    return reader.batch(reader.rows("boxes", range(count)), [0] * count, ["boxes"])


def caching(count: int, rounds: int) -> None:
    """Training steps with features on disk and with the tower in every step."""
    print()
    row("one step, bf16, image of its own per row", "bands", "tower every step, ms", "features on disk, ms", "ratio", "goal")
    row("---", *["---:"] * 5)
    for size, bands in product(("planet-tiny", "b-224"), SENSORS):
        with tempfile.TemporaryDirectory() as name:
            encoder = make_encoder(load(size) if size == "planet-tiny" else large_tower(bands))
            pairs = write_rows(Path(name), bands, count, boxes=1)
            trainer, seen = Trainer(encoder), cached(pairs, encoder, Path(name) / "features")
            live = partial(trainer.read_and_step, Reader(Images(pairs, encoder)))
            times = in_turn({"live": live, "cached": partial(trainer.read_and_step, seen)}, rounds)
        milliseconds = (f"{1e3 * seconds:.0f}" for seconds in times.values())
        row(f"{size}, {count} rows", bands, *milliseconds, f"{times['live'] / times['cached']:.1f}", GOAL)


def beginnings(count: int, rounds: int) -> None:
    """Training steps on eight boxes per image, with what the prompts share computed once and not."""
    print()
    told = f"one step, bf16, features on disk, {count} images x 8 boxes"
    row(told, "image tokens", "apart, ms", "shared, ms", "shared / apart", "reading")
    row("---", *["---:"] * 5)
    for factor in (2, 1):
        with tempfile.TemporaryDirectory() as name:
            encoder = make_encoder(load("planet-tiny"), factor)
            reader = cached(write_rows(Path(name), 3, count, boxes=8), encoder, Path(name) / "features")
            trainer, batch = Trainer(encoder), whole_batch(reader)
            jobs: dict[str, Callable[[], object]] = {
                "apart": partial(apart, trainer, batch),
                "shared": partial(trainer.step, batch),
                "read": partial(whole_batch, reader),
            }
            times = in_turn(jobs, rounds)
        milliseconds = (f"{1e3 * times[arm]:.0f}" for arm in ("apart", "shared"))
        reading = f"{100 * times['read'] / (times['shared'] + times['read']):.0f} %"
        row("planet-tiny", (8 // factor) ** 2, *milliseconds, f"{times['shared'] / times['apart']:.2f}", reading)


def apart(trainer: Trainer, batch: InstructBatch) -> None:
    """A step that computes each sequence whole."""
    with patch("geolangbind.models.interleaved.shared_beginnings", return_value=None):
        trainer.step(batch)


def attention(rounds: int) -> None:
    """Forward and backward of the tiny language model, by precision and attention kernel."""
    print()
    row(
        "language model, forward + backward, 4096 tokens",
        *(f"{kind}, {how}, ms" for kind in ("float32", "bf16") for how in ("plain", "fused")),
    )
    row("---", *["---:"] * 4)
    backbone = build_backbone(describe_backbone("tiny", config={"vocab_size": 64})).train()
    for length in (16, 32, 64, 128, 256):
        batch = tokens_of(4096 // length, length, 192)
        arms = {
            f"{low}{plain}": partial(pass_through, backbone, *batch, low, plain) for low, plain in product((False, True), (True, False))
        }
        row(f"{len(batch[0])} x {length}", *(f"{1e3 * seconds:.0f}" for seconds in in_turn(arms, rounds).values()))


def tokens_of(count: int, length: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings and mask of sequences of three quarters of the length up to the whole."""
    lengths = torch.linspace(0.75 * length, length, count).long()
    return torch.randn(count, length, width, requires_grad=True), torch.arange(length) < lengths[:, None]


def pass_through(backbone: torch.nn.Module, embeds: torch.Tensor, mask: torch.Tensor, low: bool, plain: bool) -> None:
    """One pass forward and back."""
    slots = torch.zeros(mask.shape, dtype=torch.int64)
    with sdpa_kernel(SDPBackend.MATH) if plain else nullcontext():
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            states = backbone(embeds, mask, slots, [])
        states[torch.arange(len(mask)), mask.sum(1) - 1].float().square().sum().backward()
    backbone.zero_grad(set_to_none=True)


def in_turn(arms: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median processor seconds per arm; the first call of each is thrown away."""
    times: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(rounds + 1):
        for name, arm in arms.items():
            began = time.process_time()
            arm()
            times[name].append(time.process_time() - began)
    return {name: statistics.median(kept[1:]) for name, kept in times.items()}


def row(*cells: object) -> None:
    """Print one row of a Markdown table."""
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="few rounds and rows, to see that it runs")
    told = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(told.threads)
    load_now = ", ".join(f"{minutes:.1f}" for minutes in os.getloadavg())
    machine = f"{platform.machine()}, {told.threads} threads, load {load_now} before"
    print(f"{dt.datetime.now(dt.UTC):%Y-%m-%d}, {machine}, torch {torch.__version__}, transformers {transformers.__version__}\n")
    count, rounds = (4, 1) if told.quick else (16, told.rounds)
    embedding(count, rounds)
    caching(count, rounds)
    beginnings(count, rounds)
    attention(rounds)


if __name__ == "__main__":
    main()
