"""One training step against the published work order, and the share of a training that waits for data: ratios of medians, arms in turn.

    python benchmarks/train.py                  # two threads, bf16, 3 and 202 channels, Markdown on the terminal, some minutes
    python benchmarks/train.py --quick          # the same on toy sizes, to see that it runs
    python benchmarks/train.py --device cuda    # b-224, batch 256, bf16, with and without torch.compile: images/s, memory, MFU

The published work order is written here from its description: everything under autocast; three teachers run in every step, each on its
own channel-sampled and resized copy of the input; the frozen text tower runs in every step; kernels are generated under autocast and
permuted for a convolution; AdamW parameter by parameter. Both sides use the same sizes, weights at random, losses and projectors;
"text vectors cached" are the arms of ours that do not run the text tower in every step.
Images come augmented on both sides (the published loader's workers do it); ours also normalises, checks and clips within the step.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geolangbind.data.batch import Batch, describe
from geolangbind.losses import feature_matching, sigmoid_contrastive
from geolangbind.model import GeoLangBind
from geolangbind.models import zoo
from geolangbind.models.encoder import VisionConfig, VisionEncoder
from geolangbind.models.maka import Projector
from geolangbind.models.text import TextConfig, build_text_tower
from geolangbind.models.two_tower import TwoTower
from geolangbind.models.wavelength import KERNEL_SCALE
from geolangbind.planet.write import write_planet
from geolangbind.sensors import get_sensor
from geolangbind.sensors.channels import ChannelSet
from geolangbind.sensors.units import Unit
from geolangbind.statistics import Measured, measure
from geolangbind.teachers import Teacher, load_teacher, save_teacher, see_all
from geolangbind.tokenizer import TextTokenizer, clip_tokenizer
from geolangbind.train.guard import clip_gradients
from geolangbind.train.loop import short_attention
from geolangbind.train.optim import build_optimizer
from geolangbind.train.run import train
from geolangbind.train.settings import TrainSettings, from_config
from geolangbind.train.tasks import AlignmentTask

GOALS = {"live teachers": 0.75, "teacher features cached": 0.55, "text vectors cached too": 0.45}
STILL = {"flips": False, "image_gain": 0.0, "band_gain": 0.0, "contrast": 0.0}
WEIGHTS = {"siglip": 2.0, "dinov2": 1.0, "vit": 1.0}
PEAK_TFLOPS = {"A100": 312.0, "H100": 989.0, "H200": 989.0, "L40S": 362.0, "B200": 2250.0}  # dense bf16, NVIDIA's data sheets


@dataclass(frozen=True)
class Scale:
    """Sizes of one run: student and text tower, side and batch, depth and width of the teachers, rounds and steps of training."""

    width: int
    depth: int
    side: int
    batch: int
    rounds: int
    steps: int

    @property
    def heads(self) -> int:
        """Heads of 64 dimensions, as in SigLIP."""
        return self.width // 64


SMALL, QUICK = Scale(384, 12, 96, 32, 7, 40), Scale(64, 1, 32, 4, 2, 8)


def make_model(scale: Scale) -> GeoLangBind:
    """A student of ViT-S size and a text tower like SigLIP's, random weights."""
    vision = VisionConfig(scale.side, 16, scale.width, scale.depth, scale.heads, 4 * scale.width)
    towers = TwoTower(vision, TextConfig(8192, 64, scale.width, scale.depth, scale.heads, 4.0, scale.width))
    return GeoLangBind(towers, TextTokenizer("clip-bpe-8192", clip_tokenizer(7678), 64, "canonicalize"), measure([]))


def make_teachers(scale: Scale, folder: Path) -> dict[str, Teacher]:
    """SigLIP's, DINOv2's and the supervised ViT's architecture at the student's size, random weights."""
    common = {"embed_dim": scale.width, "depth": scale.depth, "num_heads": scale.heads}
    plain = {"class_token": False, "global_pool": "avg"}
    wanted: Mapping[str, tuple[str, int, dict[str, Any]]] = {
        "siglip": ("vit_small_patch16_224", scale.side, plain),
        "dinov2": ("vit_small_patch14_reg4_dinov2", 14 * max(1, round(scale.side / 14)), {}),
        "vit": ("vit_small_patch16_224", scale.side, {}),
    }
    for name, (architecture, side, more) in wanted.items():
        arguments = {"img_size": side, **common, **more}
        facts = {"size_px": side, "mean": (0.5,) * 3, "std": (0.5,) * 3}
        model = timm.create_model(architecture, num_classes=0, **arguments)
        save_teacher(folder / name, model, {"timm": architecture, "arguments": arguments, **facts})
    return {name: load_teacher(name, str(folder / name)) for name in wanted}


def make_batch(bands: int, scale: Scale) -> Batch:
    """Random images: display RGB, or EnMAP reflectance."""
    sensor, unit = ("aerial-rgb", Unit.DISPLAY_U8) if bands == 3 else ("enmap", Unit.REFLECTANCE)
    names = tuple(band.name for band in get_sensor(sensor).bands)[:bands]
    channels, canonical, modality = describe(sensor, names, unit)
    image = torch.rand(scale.batch, len(names), scale.side, scale.side)
    keys = tuple(f"s{number}" for number in range(scale.batch))
    captions = tuple(
        (f"an aerial view of field number {number} beside a river, with a road to the north of it",) for number in range(len(keys))
    )
    return Batch(image, None, channels, sensor, names, canonical, modality, (1.0,) * len(keys), keys, captions)


class Published(nn.Module):
    """The published step, in our words."""

    def __init__(self, scale: Scale, teachers: Mapping[str, Teacher], tokenizer: TextTokenizer) -> None:
        super().__init__()
        config = VisionConfig(scale.side, 16, scale.width, scale.depth, scale.heads, 4 * scale.width, kinds=False, mean_over_channels=False)
        self.vision, self.tokenizer, self.teachers = VisionEncoder(config), tokenizer, dict(teachers)
        self.text = (
            build_text_tower(TextConfig(8192, 64, scale.width, scale.depth, scale.heads, 4.0, scale.width)).requires_grad_(False).eval()
        )
        projected = {name: teacher for name, teacher in teachers.items() if name != "siglip"}
        self.maka = nn.ModuleDict({name: Projector(scale.width, t.width, t.grid, kinds=False) for name, t in projected.items()})
        self.scale, self.bias = nn.Parameter(torch.tensor(2.3)), nn.Parameter(torch.tensor(-10.0))

    def patches(self, image: Tensor, channels: ChannelSet) -> Tensor:
        """Generate, permute, convolve."""
        embed = self.vision.patch_embed
        generator, k = embed.weight_generator, embed.patch_size
        code = embed.fclayer(embed.channel_code(channels))
        mixed = generator.transformer_encoder(torch.cat([generator.weight_tokens, code, generator.bias_token]))
        weight = generator.fc_weight(mixed[len(generator.weight_tokens) : -1] + code).view(len(channels), k, k, embed.width)
        kernel = weight.permute(3, 0, 1, 2) * KERNEL_SCALE
        return F.conv2d(image, kernel, generator.fc_bias(mixed[-1]) * KERNEL_SCALE, stride=k).permute(0, 2, 3, 1)

    def seen_by(self, teacher: Teacher, image: Tensor) -> Tensor:
        """Tokens of a teacher from its own three channels at its own size."""
        with torch.no_grad():
            three = image[:, [47, 29, 8]] if image.shape[1] == 202 else image
            return teacher.tokens(F.interpolate(three, (teacher.size_px,) * 2, mode="bilinear"))

    def forward(self, image: Tensor, channels: ChannelSet, captions: Sequence[str]) -> Tensor:
        """The loss of one batch."""
        output = self.vision.encode_patches(self.patches(image, channels))
        with torch.no_grad():
            text = F.normalize(self.text(self.tokenizer(captions)), dim=-1)
        loss = sigmoid_contrastive(F.normalize(output.embedding, dim=-1).float(), text.float(), self.scale.exp(), self.bias)
        for name, teacher in self.teachers.items():
            tokens = self.maka[name](output.features, channels) if name in self.maka else output.features
            loss = loss + WEIGHTS[name] * feature_matching(tokens, self.seen_by(teacher, image))
        return loss


def published_step(model: Published, optimizer: torch.optim.Optimizer, batch: Batch) -> None:
    """Forward, backward, update."""
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(batch.image, batch.channels, [texts[0] for texts in batch.captions])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def our_step(task: AlignmentTask, optimizer: torch.optim.Optimizer, batch: Batch, *, keep_text: bool) -> None:
    """Forward, backward, clipping, update, as in `train.loop`."""
    if not keep_text:
        task._text_cache.clear()
    with short_attention(batch.image.device):
        with torch.autocast(batch.image.device.type, torch.bfloat16):
            losses = task(lambda: batch, torch.Generator().manual_seed(0))
        optimizer.zero_grad(set_to_none=True)
        losses["loss"].backward()
    clip_gradients([parameter for parameter in task.parameters() if parameter.requires_grad], 1.0)
    optimizer.step()
    task.clamp_temperature()


def our_settings(**more: Any) -> TrainSettings:  # noqa: ANN401
    """Settings of our arms: the published weights and projectors."""
    common = {"data": "shards", "run_dir": "run", "sensor_group": {"name": "all", "modalities": {"rgb": 1}}}
    return from_config({**common, **more})


def make_arms(scale: Scale, teachers: Mapping[str, Teacher], batch: Batch) -> dict[str, Callable[[], None]]:
    """Every arm as a function of nothing."""
    model = make_model(scale)
    model.statistics = measure([Measured(batch.sensor, batch.bands, batch.image, batch.channels)])
    if model.tokenizer is None:
        raise SystemExit("the model was made without tokenizer")
    choices = {name: {"source": name, "weight": weight, "projector": name != "siglip"} for name, weight in WEIGHTS.items()}
    shapes = {name: (teacher.grid**2, teacher.width) for name, teacher in teachers.items()}
    task = AlignmentTask(model, our_settings(teachers={"choices": choices}, augment=STILL), teachers, shapes).train()
    ours = build_optimizer(task, task.settings.optim)
    stored = {name: tokens.half() for name, tokens in see_all(teachers, batch.image, batch.channels).items()}
    cached = replace(batch, features=stored)
    theirs = Published(scale, teachers, model.tokenizer)
    trained = [parameter for parameter in theirs.parameters() if parameter.requires_grad]
    return {
        "published": partial(published_step, theirs, torch.optim.AdamW(trained, lr=5e-4), batch),
        "live teachers": partial(our_step, task, ours, batch, keep_text=False),
        "teacher features cached": partial(our_step, task, ours, cached, keep_text=False),
        "text vectors cached too": partial(our_step, task, ours, cached, keep_text=True),
        "live teachers, text vectors cached": partial(our_step, task, ours, batch, keep_text=True),
    }


def steps(scale: Scale) -> None:
    """The table of training steps."""
    row("one step, bf16", "channels", "ms", "against published", "goal")
    row(*["---"] * 5)
    with tempfile.TemporaryDirectory() as name:
        teachers = make_teachers(scale, Path(name))
        for bands in (3, 202):
            arms = make_arms(scale, teachers, make_batch(bands, scale))
            times = in_turn(arms, scale.rounds)
            for arm, seconds in times.items():
                row(arm, bands, f"{1e3 * seconds:.0f}", f"{seconds / times['published']:.2f}", GOALS.get(arm, ""))


def in_turn(arms: Mapping[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Median seconds per arm; the first call of each is thrown away."""
    times: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(rounds + 1):
        for name, arm in arms.items():
            began = time.perf_counter()
            arm()
            times[name].append(time.perf_counter() - began)
    return {name: statistics.median(values[1:]) for name, values in times.items()}


def data_wait(scale: Scale, workers: int = 1) -> None:
    """Share of a real training from shards that waits for the next batch: the tiny model, RGB and hyperspectral, worker processes."""
    print()
    row(f"training of the tiny model from shards, {workers} worker", "samples/s", "data wait", "goal")
    row(*["---"] * 4)
    with tempfile.TemporaryDirectory() as name:
        write_planet(Path(name, "planet"), 2 * scale.batch, seed=0, modalities=("rgb", "hsi"), workers=1, progress=False)
        for modality in ("rgb", "hsi"):
            machine = {"accelerator": "cpu", "workers": workers}
            group = {"name": modality, "modalities": {modality: 1}}
            facts = {"data": str(Path(name, "planet")), "run_dir": str(Path(name, modality)), "batch_size": scale.batch, "progress": False}
            train(our_settings(**facts, steps=scale.steps, machine=machine, sensor_group=group))
            lines = Path(name, modality, "metrics.jsonl").read_text(encoding="utf-8").splitlines()[scale.steps // 4 :]
            rows = [json.loads(line) for line in lines]  # the first quarter starts the workers and warms caches
            wait, rate = (statistics.mean(found[key] for found in rows) for key in ("data_wait", "samples_per_s"))
            row(modality, f"{rate:.0f}", f"{100 * wait:.1f} %", "5 %")


def gpu(batch_size: int) -> None:
    """b-224 without teachers on a GPU: images per second, memory and share of the peak (three forward passes' work per step)."""
    device, name = torch.device("cuda"), torch.cuda.get_device_name()
    peak = next((value for key, value in PEAK_TFLOPS.items() if key in name), None)
    row("b-224, RGB, bf16, no teachers", "batch", "images/s", "memory, GB", "MFU", "goal")
    row(*["---"] * 6)
    batch = make_batch(3, Scale(768, 12, 224, batch_size, 0, 0)).to(device)
    for compiled in (False, True):
        model = zoo.build("b-224", tokenizer=TextTokenizer("clip-bpe-8192", clip_tokenizer(7678), 64, "canonicalize"))
        model.statistics = measure([Measured(batch.sensor, batch.bands, batch.image.cpu(), batch.channels)])
        task = AlignmentTask(model, our_settings(), {}, {}).train().to(device)
        if compiled:
            task.towers.vision.compile(dynamic=False)
        optimizer = build_optimizer(task, task.settings.optim)
        torch.cuda.reset_peak_memory_stats()
        times = []
        for _ in range(25):
            torch.cuda.synchronize()
            began = time.perf_counter()
            our_step(task, optimizer, replace(batch, image=batch.image.clone()), keep_text=True)
            torch.cuda.synchronize()
            times.append(time.perf_counter() - began)
        rate = batch_size / statistics.median(times[5:])
        used = 3 * zoo.cost("b-224", (3,)).gflops[3] * rate / 1e3
        share = f"{100 * used / peak:.0f} %" if peak else f"{used:.0f} TFLOP/s, peak of {name} unknown"
        row("compiled" if compiled else "eager", batch_size, f"{rate:.0f}", f"{torch.cuda.max_memory_allocated() / 1e9:.1f}", share, "45 %")


def row(*cells: object) -> None:
    """Print one row of a Markdown table."""
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="toy sizes, to see that it runs")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--batch", type=int, default=256, help="of --device cuda")
    told = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(told.threads)
    machine = torch.cuda.get_device_name() if told.device == "cuda" else f"{platform.machine()}, {told.threads} threads"
    print(f"{datetime.now(UTC):%Y-%m-%d}, {machine}, torch {torch.__version__}, timm {timm.__version__}\n")
    if told.device == "cuda":
        gpu(told.batch)
        return
    scale = QUICK if told.quick else SMALL
    steps(scale)
    data_wait(scale)


if __name__ == "__main__":
    main()
