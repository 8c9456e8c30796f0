"""Zero-shot classification and retrieval against plain torch (the full matrix of scores, then topk), and their memory.

    python benchmarks/evaluate.py           # two threads, Markdown on the terminal, a few minutes, 5 GB for the plain arms
    python benchmarks/evaluate.py --quick   # the same on a tenth of the size, to see that it runs

What the suite runs, `judge` of evaluate/zero_shot.py and `ranks_both_ways` of evaluate/top_k.py, against plain torch with the same results:
top-1, top-5, mean confidence and the diagonal of the confusion matrix; recall at 1, 5 and 10 both ways. Random unit vectors of 512
dimensions; texts lie near their image, images near their class. 100,000 images x 1,000 classes; 10,000 images with five captions each, so
a pool of 50,000 texts. All arms find the same figures, or the benchmark stops. Peak memory is that of fresh processes (Linux), above what
they hold when the vectors are made: zero-shot of 10 times the images, and 1,000 images among 10 times the texts.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from geolangbind.evaluate.metrics import hits_among
from geolangbind.evaluate.top_k import ranks_both_ways
from geolangbind.evaluate.zero_shot import judge

WIDTH, CAPTIONS, RECALLS, SCALE = 512, 5, (1, 5, 10), 100.0
SIZES = 10_000, 100_000


def unit_near(centers: Tensor, noise: float) -> Tensor:
    """Unit vectors about as far from unit vectors as the noise is long, made without large temporaries."""
    made = torch.randn(centers.shape, generator=torch.Generator().manual_seed(len(centers))).mul_(noise / WIDTH**0.5).add_(centers)
    return F.normalize(made, dim=1, out=made)


def labelled(images: int, classes: int) -> tuple[Tensor, Tensor, Tensor]:
    """Vectors of images and classes, and the true class of each image."""
    prototypes = unit_near(torch.zeros(classes, WIDTH), 1.0)
    truth = torch.arange(images) % classes
    return unit_near(prototypes[truth], 4.0), prototypes, truth


def captioned(images: int, texts: int) -> tuple[Tensor, Tensor, Tensor]:
    """Vectors of images and captions, and the image of each caption."""
    owner = torch.arange(texts) % images
    shown = unit_near(torch.zeros(images, WIDTH), 1.0)
    return shown, unit_near(shown[owner], 4.0), owner


def our_zero_shot(images: Tensor, classes: Tensor, truth: Tensor) -> list[float]:
    """Zero-shot figures, rows at a time."""
    found = judge(images, classes, truth.numpy(), SCALE)
    hits = [float(hits_among(found.better, found.tied, k).mean()) for k in (1, 5)]
    return [*hits, float(found.sure.mean()), float(found.confusion.trace()) / len(truth)]


def plain_zero_shot(images: Tensor, classes: Tensor, truth: Tensor) -> list[float]:
    """Zero-shot figures from the full matrix."""
    scores = images @ classes.T
    best = scores.topk(5, dim=1).indices
    hits = [float((best[:, :k] == truth[:, None]).any(1).float().mean()) for k in (1, 5)]
    sure = float((SCALE * scores).softmax(1).amax(1).mean())
    confusion = torch.bincount(truth * len(classes) + best[:, 0], minlength=len(classes) ** 2).view(len(classes), -1)
    return [*hits, sure, float(confusion.trace()) / len(truth)]


def our_recalls(images: Tensor, texts: Tensor, owner: Tensor) -> list[float]:
    """Recalls from blocks, both ways."""
    both = ranks_both_ways(images, texts, torch.stack([owner, torch.arange(len(owner))], 1))
    return [float(found.hits(k).mean()) for found in both for k in RECALLS]


def plain_recalls(images: Tensor, texts: Tensor, owner: Tensor) -> list[float]:
    """Recalls from the full matrix, both ways."""
    scores, most = images @ texts.T, max(RECALLS)
    true = (
        owner[scores.topk(most, dim=1).indices] == torch.arange(len(images))[:, None],
        scores.T.topk(most, dim=1).indices == owner[:, None],
    )
    return [float(way[:, :k].any(1).float().mean()) for way in true for k in RECALLS]


Arm = Callable[[Tensor, Tensor, Tensor], list[float]]
ARMS: dict[str, dict[str, Arm]] = {
    "zero-shot": {"ours": our_zero_shot, "plain": plain_zero_shot},
    "retrieval": {"ours": our_recalls, "plain": plain_recalls},
}


def compare(case: str, made: tuple[Tensor, Tensor, Tensor], rounds: int) -> None:
    """Rows of medians, arms in turn."""
    arms = ARMS[case]
    times: dict[str, list[float]] = {name: [] for name in arms}
    figures: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, arm in arms.items():
            began = time.perf_counter()
            figures[name] = arm(*made)
            times[name].append(time.perf_counter() - began)
    ours = statistics.median(times["ours"])
    for name, seconds in times.items():
        if max(abs(a - b) for a, b in zip(figures[name], figures["ours"], strict=True)) > 1e-4:
            raise SystemExit(f"{case}: {name} finds {figures[name]}, ours {figures['ours']}")
        took = statistics.median(seconds)
        row(f"{case}, {len(made[0]):,} x {len(made[1]):,}", name, f"{took:.2f}", f"{ours / took:.2f}")


def make(case: str, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Vectors whose memory is measured: so many images for zero-shot, so many texts for retrieval."""
    return labelled(size, 1_000) if case == "zero-shot" else captioned(min(size, 1_000), size)


def peak_growth(case: str, arm: str, size: int, threads: int) -> float:
    """Peak memory of one arm in a fresh process above vectors and imports, in MB."""
    command = [sys.executable, __file__, "--case", case, "--arm", arm, "--size", str(size), "--threads", str(threads)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measure_arm(case: str, arm: str, size: int) -> None:
    """What the fresh process does."""
    ARMS[case][arm](*make(case, 50))  # what libraries keep from their first call is not the pool's
    made = make(case, size)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # Linux: the peak starts again from here
    before = peak_kb()
    ARMS[case][arm](*made)
    print((peak_kb() - before) * 1024 / 1e6)


def peak_kb() -> int:
    """Peak memory of this process."""
    return int(Path("/proc/self/status").read_text(encoding="ascii").partition("VmHWM:")[2].split()[0])


def row(*cells: object) -> None:
    """Print one row of a Markdown table."""
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a tenth of the size, to see that it runs")
    for hidden, kind in (("--case", str), ("--arm", str), ("--size", int)):
        parser.add_argument(hidden, type=kind, help=argparse.SUPPRESS)
    told = parser.parse_args()
    torch.set_num_threads(told.threads)
    if told.arm:
        measure_arm(told.case, told.arm, told.size)
        return
    load = ", ".join(f"{minutes:.1f}" for minutes in os.getloadavg())
    print(f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {told.threads} threads, torch {torch.__version__}, load {load} before\n")
    part = 10 if told.quick else 1
    row("case", "arm", "s", "ours / this")
    row("---", "---", "---:", "---:")
    compare("zero-shot", labelled(100_000 // part, 1_000), told.rounds)
    compare("retrieval", captioned(10_000 // part, 10_000 // part * CAPTIONS), told.rounds)
    print()
    row("peak memory above the vectors, MB", "arm", *(f"{size // part:,}" for size in SIZES), "growth")
    row("---", "---", "---:", "---:", "---:")
    for case, arms in ARMS.items():
        for name in arms:
            small, large = (peak_growth(case, name, size // part, told.threads) for size in SIZES)
            row(case, name, f"{small:.0f}", f"{large:.0f}", f"{large / small:.1f}")


if __name__ == "__main__":
    main()
