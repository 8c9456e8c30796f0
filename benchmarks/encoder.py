"""The encoder against timm's SigLIP ViT and against the published patch embedding: ratios of medians, measured in turn in one process.

    python benchmarks/encoder.py            # two threads, batch 1 and 8, Markdown on the terminal
    python benchmarks/encoder.py --gpu      # bf16, torch.compile, batch 256, images per second, on the CUDA device there is

The published way is written here from its description (docs/architecture.md): the generator runs in every forward pass, its kernels are
permuted to a convolution's order, and the image is convolved.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial

import numpy as np
import timm
import torch
from torch import Tensor
from torch.nn import functional as F

from geolangbind.models import zoo
from geolangbind.models.encoder import VisionEncoder
from geolangbind.models.wavelength import KERNEL_SCALE, WavelengthPatchEmbed
from geolangbind.sensors.channels import ChannelSet

WIDTH, PATCH, SIDE = 768, 16, 224
GOALS = {3: 1.03, 12: 1.10, 202: 1.45}


def channels(count: int) -> ChannelSet:
    """A channel set of `count` wavelengths in the solar range; three are RGB."""
    return ChannelSet((0.665, 0.560, 0.490) if count == 3 else tuple(np.linspace(0.42, 2.45, count).tolist()))


def published(embed: WavelengthPatchEmbed, image: Tensor, wanted: ChannelSet) -> Tensor:
    """The published patch embedding with the weights of ours: (B, C, H, W) to (B, N, D)."""
    generator, k = embed.weight_generator, embed.patch_size
    code = embed.fclayer(embed.channel_code(wanted))
    mixed = generator.transformer_encoder(torch.cat([generator.weight_tokens, code, generator.bias_token]))
    weight = generator.fc_weight(mixed[len(generator.weight_tokens) : -1] + code).view(len(wanted), k, k, embed.width)
    bias = generator.fc_bias(mixed[-1]) * KERNEL_SCALE
    return F.conv2d(image, weight.permute(3, 0, 1, 2) * KERNEL_SCALE, bias, stride=k).flatten(2).transpose(1, 2)


def published_encoder(encoder: VisionEncoder, image: Tensor, wanted: ChannelSet) -> object:
    """Our tower behind the published patch embedding."""
    tokens = published(encoder.patch_embed, image, wanted)
    return encoder.encode_patches(tokens.view(len(image), SIDE // PATCH, SIDE // PATCH, -1))


def last_layer(embed: WavelengthPatchEmbed) -> Tensor:
    """The generator's last layer as one matrix (k*k*(n + 1), D), bias included; would be cached."""
    layer, area = embed.weight_generator.fc_weight, embed.patch_size**2
    both = torch.cat([layer.weight, layer.bias[:, None]], dim=1).view(area, embed.width, -1)
    return both.transpose(1, 2).reshape(-1, embed.width) * KERNEL_SCALE


def factored(embed: WavelengthPatchEmbed, image: Tensor, seen: Tensor, last: Tensor, bias: Tensor) -> Tensor:
    """Through the code dimensions: mix channels to 128 + 1 maps first, then one product with the generator's last layer."""
    k = embed.patch_size
    batch, count, height, width = image.shape
    rows, columns = height // k, width // k
    patches = image.reshape(batch, count, rows, k, columns, k).permute(0, 2, 4, 3, 5, 1).reshape(-1, k * k, count)
    mixed = patches @ seen  # (N, k*k, n + 1)
    return torch.addmm(bias, mixed.flatten(1), last).view(batch, rows, columns, embed.width)


def convolved(image: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    """An ordinary convolution with kernels at hand."""
    return F.conv2d(image, kernel, bias, stride=PATCH).permute(0, 2, 3, 1)


def in_turn(*jobs: Callable[[], object], seconds: float = 6.0) -> list[float]:
    """Median seconds of each job, run in turn so that a slow moment hits all."""
    for job in jobs:
        job()
        job()
    times: list[list[float]] = [[] for _ in jobs]
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[0]) < 5:
        for kept, job in zip(times, jobs, strict=True):
            began = time.perf_counter()
            job()
            kept.append(time.perf_counter() - began)
    return [statistics.median(kept) for kept in times]


@torch.inference_mode()
def whole_encoder() -> None:
    """Forward pass of B/16 with cached kernels against timm's ViT on RGB, and the published way against it."""
    row("case", "batch", "timm RGB, ms", "ours, ms", "ours / timm", "goal", "published / timm")
    row(*["---"] * 7)
    vit = timm.create_model("vit_base_patch16_siglip_224", num_classes=0).eval()
    ours = VisionEncoder(zoo.SIZES["b-224"].vision).eval()
    for count in (3, 12, 202):
        for batch in (1, 8):
            rgb, image, wanted = torch.randn(batch, 3, SIDE, SIDE), torch.randn(batch, count, SIDE, SIDE), channels(count)

            jobs = partial(vit, rgb), partial(ours, image, channels=wanted), partial(published_encoder, ours, image, wanted)
            reference, mine, theirs = in_turn(*jobs, seconds=12)
            ratios = f"{mine / reference:.2f}", GOALS[count], f"{theirs / reference:.2f}"
            row(f"B/16, {count} bands", batch, f"{1e3 * reference:.0f}", f"{1e3 * mine:.0f}", *ratios)


@torch.inference_mode()
def first_call() -> None:
    """A channel set never seen: kernels and patch tokens, without the cache, against the published embedding."""
    print()
    row("first call for a channel set", "published, ms", "ours, ms", "ours / published", "goal")
    row(*["---"] * 5)
    embed = WavelengthPatchEmbed(WIDTH, PATCH).eval()
    for count in (3, 12, 202):
        image, wanted = torch.randn(1, count, SIDE, SIDE), channels(count)

        theirs, mine = in_turn(partial(published, embed, image, wanted), partial(fresh, embed, image, wanted))
        row(f"{count} bands, batch 1", f"{1e3 * theirs:.1f}", f"{1e3 * mine:.1f}", f"{mine / theirs:.2f}", "1.00")


def fresh(embed: WavelengthPatchEmbed, image: Tensor, wanted: ChannelSet) -> Tensor:
    """Our patch embedding as if it had never seen the channel set."""
    embed.forget_kernels()
    tokens: Tensor = embed(image, wanted)
    return tokens


def training_step(embed: WavelengthPatchEmbed, image: Tensor, wanted: ChannelSet, how: str) -> None:
    """Forward and backward of the patch embedding alone."""
    tokens = published(embed, image, wanted) if how == "published" else embed(image, wanted)
    tokens.square().mean().backward()
    embed.zero_grad(set_to_none=True)


def training() -> None:
    """Forward and backward of the patch embedding, 202 bands, batch 8, time and peak memory."""
    print()
    row("training, patch embedding, 202 bands, batch 8", "published", "ours", "ours / published", "goal")
    row(*["---"] * 5)
    embed, image, wanted = WavelengthPatchEmbed(WIDTH, PATCH), torch.randn(8, 202, SIDE, SIDE), channels(202)
    theirs, mine = in_turn(*(partial(training_step, embed, image, wanted, how) for how in ("published", "ours")), seconds=20)
    row("forward + backward, ms", f"{1e3 * theirs:.0f}", f"{1e3 * mine:.0f}", f"{mine / theirs:.2f}", 0.85)
    theirs, mine = (peak_gb(how) for how in ("published", "ours"))
    row("peak memory, GB (own process)", f"{theirs:.2f}", f"{mine:.2f}", f"{mine / theirs:.2f}", "1.00")


def peak_gb(how: str) -> float:
    """Peak resident memory of one training step in a process of its own."""
    done = subprocess.run([sys.executable, __file__, "--memory", how], capture_output=True, text=True, check=True, env=os.environ)
    return float(done.stdout)


@torch.inference_mode()
def ways() -> None:
    """Cached kernels: direct product, convolution, factored through the code; and that all three agree."""
    print()
    row("patch embedding alone, cached, batch 8", "convolution, ms", "direct, ms", "factored, ms", "largest difference")
    row(*["---"] * 5)
    embed = WavelengthPatchEmbed(WIDTH, PATCH, kinds=False, mean_over_channels=False).eval()
    last = last_layer(embed)
    for count in (1, 2, 3, 12, 64, 128, 202):
        image, wanted = torch.randn(8, count, SIDE, SIDE), channels(count)
        weight, bias = embed.kernels(wanted)
        kernel = weight.reshape(WIDTH, count, PATCH, PATCH).contiguous()
        seen, _ = embed.weight_generator.mix(embed.fclayer(embed.channel_code(wanted)))
        jobs: Sequence[Callable[[], Tensor]] = (
            partial(convolved, image, kernel, bias),
            partial(embed, image, wanted),
            partial(factored, embed, image, torch.cat([seen, torch.ones(count, 1)], dim=1), last, bias),
        )
        first, *rest = (job() for job in jobs)
        difference = max(float((other - first).abs().max()) for other in rest)
        row(f"{count} bands", *(f"{1e3 * seconds:.1f}" for seconds in in_turn(*jobs, seconds=4)), f"{difference:.1e}")


@torch.inference_mode()
def gpu() -> None:
    """Images per second under bf16 autocast and torch.compile, batch 256, against timm's SigLIP of the same size."""
    row("GPU, bf16, compiled, batch 256", "timm RGB, images/s", "ours RGB", "ours 12 bands", "ours 202 bands", "RGB ours / timm")
    row(*["---"] * 6)
    for name, architecture in (("b-224", "vit_base_patch16_siglip_224"), ("l-384", "vit_so400m_patch14_siglip_384")):
        side = zoo.SIZES[name].vision.image_size
        with torch.device("cuda"):
            vit = torch.compile(timm.create_model(architecture, num_classes=0).eval())
            ours = VisionEncoder(zoo.SIZES[name].vision).eval()
        ours.compile(dynamic=False)
        found = [images_per_s(vit, torch.randn(256, 3, side, side, device="cuda"))]
        for count in (3, 12, 202):
            image = torch.randn(256 if count < 202 else 64, count, side, side, device="cuda")
            found.append(images_per_s(partial(ours, channels=channels(count)), image))
        row(name, *(f"{value:.0f}" for value in found), f"{found[1] / found[0]:.3f}")


def images_per_s(job: Callable[[Tensor], object], image: Tensor) -> float:
    """Median rate of 20 calls after 5."""
    times = []
    for _ in range(25):
        torch.cuda.synchronize()
        began = time.perf_counter()
        with torch.autocast("cuda", torch.bfloat16):
            job(image)
        torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return len(image) / statistics.median(times[5:])


def row(*cells: object) -> None:
    """Print one row of a Markdown table."""
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--gpu", action="store_true", help="measure on the CUDA device instead")
    parser.add_argument("--memory", choices=("ours", "published"), help=argparse.SUPPRESS)
    told = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(told.threads)
    if told.memory:
        training_step(WavelengthPatchEmbed(WIDTH, PATCH), torch.randn(8, 202, SIDE, SIDE), channels(202), told.memory)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9)
        return
    machine = torch.cuda.get_device_name() if told.gpu else f"{platform.machine()}, {told.threads} threads"
    print(f"{datetime.now(UTC):%Y-%m-%d}, {machine}, torch {torch.__version__}, timm {timm.__version__}\n")
    for measure in (gpu,) if told.gpu else (whole_encoder, first_call, training, ways):
        measure()


if __name__ == "__main__":
    main()
