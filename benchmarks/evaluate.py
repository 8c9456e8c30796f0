"""Zero-shot classification and retrieval against plain torch (the full matrix of scores, then argmax or topk), and their memory.

    python benchmarks/evaluate.py           # two threads, Markdown on the terminal, a few minutes, 5 GB for the plain arms
    python benchmarks/evaluate.py --quick   # the same on a tenth of the size, to see that it runs

Random unit vectors of 512 dimensions; texts lie near their image, images near their class. 100,000 images x 1,000 classes; 10,000 images
with five captions each, so a pool of 50,000 texts, recall at 1, 5 and 10 both ways. All arms find the same figures, or the benchmark
stops. Peak memory is that of fresh processes (Linux), above what they hold when the vectors are made.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from geolangbind.evaluate.top_k import ranks, ranks_both_ways

WIDTH, CAPTIONS, RECALLS = 512, 5, (1, 5, 10)


def unit_near(centers: Tensor, noise: float) -> Tensor:
    """Unit vectors about as far from unit vectors as the noise is long, made without large temporaries."""
    made = torch.randn(centers.shape, generator=torch.Generator().manual_seed(len(centers))).mul_(noise / WIDTH**0.5).add_(centers)
    return F.normalize(made, dim=1, out=made)


def labelled(images: int, classes: int) -> tuple[Tensor, Tensor, Tensor]:
    """Vectors of images and classes, and the true class of each image."""
    prototypes = unit_near(torch.zeros(classes, WIDTH), 1.0)
    truth = torch.arange(images) % classes
    return unit_near(prototypes[truth], 4.0), prototypes, truth


def captioned(texts: int) -> tuple[Tensor, Tensor, Tensor]:
    """Vectors of images and captions, and the image of each caption."""
    images = unit_near(torch.zeros(texts // CAPTIONS, WIDTH), 1.0)
    owner = torch.arange(texts) // CAPTIONS
    return images, unit_near(images[owner], 4.0), owner


def our_top1(images: Tensor, classes: Tensor, truth: Tensor) -> list[float]:
    """Zero-shot accuracy from blocks."""
    return [float(ranks(images, classes, torch.stack([torch.arange(len(truth)), truth], 1)).hits(1).mean())]


def plain_top1(images: Tensor, classes: Tensor, truth: Tensor) -> list[float]:
    """Zero-shot accuracy from the full matrix."""
    return [float(((images @ classes.T).argmax(1) == truth).float().mean())]


def our_recalls(images: Tensor, texts: Tensor, owner: Tensor) -> list[float]:
    """Recalls from blocks, both ways."""
    both = ranks_both_ways(images, texts, torch.stack([owner, torch.arange(len(owner))], 1))
    return [float(found.hits(k).mean()) for found in both for k in RECALLS]


def plain_recalls(images: Tensor, texts: Tensor, owner: Tensor) -> list[float]:
    """Recalls from the full matrix, both ways."""
    scores, recalls = images @ texts.T, []
    for matrix, true in (
        (scores, lambda best: owner[best] == torch.arange(len(images))[:, None]),
        (scores.T, lambda best: best == owner[:, None]),
    ):
        best = matrix.topk(max(RECALLS), dim=1).indices
        recalls += [float(true(best[:, :k]).any(1).float().mean()) for k in RECALLS]
    return recalls


ARMS = {"ours": our_recalls, "topk": plain_recalls}


def compare(case: str, arms: Mapping[str, Callable[[], list[float]]], rounds: int) -> None:
    """Rows of medians, arms in turn."""
    times: dict[str, list[float]] = {name: [] for name in arms}
    figures: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, arm in arms.items():
            began = time.perf_counter()
            figures[name] = arm()
            times[name].append(time.perf_counter() - began)
    ours = statistics.median(times["ours"])
    for name, seconds in times.items():
        if max(abs(a - b) for a, b in zip(figures[name], figures["ours"], strict=True)) > 1e-4:
            raise SystemExit(f"{case}: {name} finds {figures[name]}, ours {figures['ours']}")
        took = statistics.median(seconds)
        row(case, name, f"{took:.2f}", f"{ours / took:.2f}")


def peak_growth(arm: str, texts: int) -> float:
    """Peak memory of one arm in a fresh process above vectors and imports, in MB."""
    command = [sys.executable, __file__, "--arm", arm, "--texts", str(texts)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measure_arm(arm: str, texts: int) -> None:
    """What the fresh process does."""
    ARMS[arm](*captioned(10 * CAPTIONS))  # what libraries keep from their first call is not the pool's
    made = captioned(texts)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # Linux: the peak starts again from here
    before = peak_kb()
    ARMS[arm](*made)
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
    parser.add_argument("--arm", choices=ARMS, help=argparse.SUPPRESS)
    parser.add_argument("--texts", type=int, help=argparse.SUPPRESS)
    told = parser.parse_args()
    torch.set_num_threads(told.threads)
    if told.arm:
        measure_arm(told.arm, told.texts)
        return
    print(f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {told.threads} threads, torch {torch.__version__}\n")
    part = 10 if told.quick else 1
    row("case", "arm", "s", "ours / this")
    row("---", "---", "---:", "---:")
    images = labelled(100_000 // part, 1_000)
    compare(
        f"zero-shot, {len(images[0])} x 1000", {"ours": partial(our_top1, *images), "argmax": partial(plain_top1, *images)}, told.rounds
    )
    pool = captioned(50_000 // part)
    compare(f"retrieval, {len(pool[0])} x {len(pool[1])}", {name: partial(arm, *pool) for name, arm in ARMS.items()}, told.rounds)
    print()
    row("peak memory above the vectors, MB", *(f"{texts // part} texts" for texts in (5_000, 50_000)), "growth")
    row("---", "---:", "---:", "---:")
    for name in ("ours", "topk"):
        small, large = (peak_growth(name, texts // part) for texts in (5_000, 50_000))
        row(name, f"{small:.0f}", f"{large:.0f}", f"{large / small:.1f}")


if __name__ == "__main__":
    main()
