"""merge-weights against reading and writing alone, and against mergekit: three 1.2 GB files, page cache warm, medians of runs in turn.

python benchmarks/merge.py                              # writes 5 GB below --folder and removes them
python benchmarks/merge.py --mergekit VENV/bin/python   # another environment that has mergekit 0.1.5
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

M1, M2 = 0.9, 0.5
SHAPES = {
    **{f"vision.blocks.{i}.mlp.fc1.weight": (3072, 768) for i in range(40)},
    **{f"vision.blocks.{i}.mlp.fc2.weight": (768, 3072) for i in range(40)},
    **{f"vision.blocks.{i}.attn.qkv.weight": (2304, 768) for i in range(40)},
    **{f"vision.blocks.{i}.norm1.weight": (768,) for i in range(40)},
    "text.token_embedding.weight": (32000, 768),
    "vision.patch_embed.weight_generator.fc_weight.weight": (196608, 128),
}
MERGEKIT = """
merge_method: linear
models:
  - {{model: {first}, parameters: {{weight: {keep}}}}}
  - {{model: {second}, parameters: {{weight: {take}}}}}
dtype: float32
parameters: {{normalize: false}}
"""


def make_inputs(folder: Path) -> None:
    """Write three random files, the branches close to the base."""
    random = np.random.default_rng(0)
    base = {key: random.standard_normal(shape, dtype=np.float32) * np.float32(0.02) for key, shape in SHAPES.items()}
    paths = [folder / f"{name}.safetensors" for name in ("base", "rgb", "others")]
    save_file(base, paths[0])
    for path in paths[1:]:
        save_file(
            {key: value + random.standard_normal(value.shape, dtype=np.float32) * np.float32(1e-3) for key, value in base.items()}, path
        )


def run(command: Sequence[object]) -> tuple[float, float]:
    """Wall seconds and peak memory in GB of a command."""
    began = time.perf_counter()
    words, threads = [str(word) for word in command], {**os.environ, "OMP_NUM_THREADS": "2"}
    process = subprocess.Popen(words, env=threads, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[0]} ended with {process.returncode}")
    return time.perf_counter() - began, usage.ru_maxrss * 1024 / 1e9


def tool() -> str:
    """The installed command beside this Python."""
    return str(Path(sys.executable).with_name("merge-weights"))


def ours(paths: Sequence[Path], out: Path, *options: str) -> tuple[float, float]:
    """One run of merge-weights, both steps."""
    out.unlink(missing_ok=True)
    base, rgb, others = paths
    return run([tool(), "--base", base, "--rgb", rgb, "--others", others, "--m1", M1, "--m2", M2, "--out", out, *options])


def cat_and_cp(paths: Sequence[Path], out: Path) -> tuple[float, float]:
    """Reading the inputs with `cat` to the null device and writing an output with `cp`."""
    out.unlink(missing_ok=True)
    began = time.perf_counter()
    run(["cat", *paths])
    run(["cp", paths[0], out])
    return time.perf_counter() - began, 0.0


def mergekit(python: Path, paths: Sequence[Path], out: Path, folder: Path) -> tuple[float, float]:
    """Two linear merges with mergekit's command for raw checkpoints."""
    command = python.with_name("mergekit-pytorch")
    middle, seconds, peak = folder / "mergekit-middle", 0.0, 0.0
    for first, second, share, target in ((paths[0], paths[1], M1, middle), (middle / "model.safetensors", paths[2], M2, out)):
        shutil.rmtree(target, ignore_errors=True)
        recipe = folder / "mergekit.yaml"
        recipe.write_text(MERGEKIT.format(first=first, second=second, keep=1 - share, take=share))
        took, memory = run([command, recipe, target])
        seconds, peak = seconds + took, max(peak, memory)
    return seconds, peak


def off_by(paths: Sequence[Path], merged: Path) -> tuple[float, float]:
    """Shares of values that are not the nearest float32 to float64 arithmetic, and that are more than one unit in the last place off."""
    base, rgb, others, out = (load_file(path) for path in (*paths, merged))
    far, off, count = 0, 0, 0
    for key, value in out.items():
        first = base[key].astype(np.float64) + M1 * (rgb[key].astype(np.float64) - base[key])
        exact = first + M2 * (others[key] - first)
        far += int((np.abs(value - exact) > np.spacing(np.abs(exact).astype(np.float32))).sum())
        off += int((value != exact.astype(np.float32)).sum())
        count += value.size
    return off / count, far / count


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where to write (a temporary folder)")
    parser.add_argument("--mergekit", type=Path, help="Python of an environment with mergekit")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.make:
        make_inputs(told.make)
        return
    with tempfile.TemporaryDirectory(dir=told.folder) as name:
        folder = Path(name)
        # made in another process: a child's peak memory counts what its parent held when it was started
        subprocess.run([sys.executable, __file__, "--make", name], check=True)
        paths, out = [folder / f"{role}.safetensors" for role in ("base", "rgb", "others")], folder / "out.safetensors"
        size_gb = paths[0].stat().st_size / 1e9
        print(f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, three files of {size_gb:.2f} GB, medians of {told.rounds} rounds\n")
        jobs: dict[str, Callable[[], tuple[float, float]]] = {
            "cat inputs, cp output": partial(cat_and_cp, paths, folder / "copy"),
            "merge-weights": partial(ours, paths, out),
            "merge-weights --no-sync": partial(ours, paths, out, "--no-sync"),
            "merge-weights --help": partial(run, [tool(), "--help"]),
            "python, numpy and safetensors": partial(run, [sys.executable, "-c", "import numpy, safetensors.numpy"]),
        }
        measured: dict[str, list[tuple[float, float]]] = {key: [] for key in jobs}
        for _ in range(told.rounds):
            for key, job in jobs.items():
                measured[key].append(job())
        if told.mergekit:
            measured["mergekit, two linear merges"] = [mergekit(told.mergekit, paths, folder / "mergekit-out", folder) for _ in range(2)]
        print("| case | wall, s | against cat + cp | peak, GB |\n| --- | ---: | ---: | ---: |")
        reference = statistics.median(seconds for seconds, _ in measured["cat inputs, cp output"])
        for key, rows in measured.items():
            seconds, peak = (statistics.median(column) for column in zip(*rows, strict=True))
            print(f"| {key} | {seconds:.2f} | {seconds / reference:.2f} | {peak:.2f} |" if peak else f"| {key} | {seconds:.2f} | 1 | |")
        ours(paths, out)
        results = {"merge-weights": out, **({"mergekit": folder / "mergekit-out" / "model.safetensors"} if told.mergekit else {})}
        for name, path in results.items():
            off, far = off_by(paths, path)
            print(
                f"\n{name}: {100 * off:.2f} % of values not the nearest float32, {100 * far:.2f} % more than one unit in the last place off"
            )


if __name__ == "__main__":
    main()
