"""Decode + transform on one core against the published path, by encoding; and reading npy against reading the tar's bare bytes.

    python benchmarks/loader.py             # one thread, Markdown on the terminal, about three minutes; warm page cache
    python benchmarks/loader.py --quick     # few samples, to see that it runs

The published path is written here from its description: webdataset over the tar, np.load of (H, W, C), bytes to [0, 1], a random resized
crop of 0.9 to 1 of the area per sample (three bands: PIL, bicubic; else a kornia pipeline built for every sample), (x - 0.5) / 0.5.
Ours reads through the index into canonical units and augments the whole batch: flips and gains (the default), or the crop.
"""

from __future__ import annotations

import argparse
import io
import platform
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import kornia.augmentation as kornia
import numpy as np
import torch
import webdataset
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import zoom
from torch import Tensor
from torchvision import transforms

from geolangbind.data.batch import Batch
from geolangbind.data.buffers import Buffers
from geolangbind.data.crop import crop_batch
from geolangbind.data.decode import decode_image
from geolangbind.data.loader import make_loader
from geolangbind.data.order import MixtureOrder
from geolangbind.data.sample import Encoding, Sample, SampleMeta
from geolangbind.data.shards import ShardSet, Stream, read_member
from geolangbind.data.transforms import Augmentation, augment
from geolangbind.data.write import ShardWriter
from geolangbind.sensors import get_sensor
from geolangbind.sensors.units import Unit

BATCH = 16
MIB = 2**20


@dataclass(frozen=True)
class Case:
    """One kind of image, how many of them, the goal of npy against the published path, and the encodings that can hold it."""

    name: str
    sensor: str
    unit: Unit
    shape: tuple[int, int, int]
    dtype: str
    scale: float
    samples: int
    goal: str
    encodings: tuple[Encoding, ...] = ("npy", "tif")


CASES = (
    Case("3x224x224 uint8", "aerial-rgb", Unit.DISPLAY_U8, (3, 224, 224), "uint8", 1.0, 256, "", ("npy", "tif", "jpg")),
    Case("12x120x120 uint16", "sentinel-2-l2a", Unit.REFLECTANCE, (12, 120, 120), "uint16", 1e-4, 256, "8"),
    Case("202x128x128 int16", "enmap", Unit.REFLECTANCE, (202, 128, 128), "int16", 1e-4, 48, "5"),
)


def scene(case: Case, rng: np.random.Generator) -> NDArray[Any]:
    """Smooth fields, bands alike but for a factor, and 2 % noise: compresses about as an acquisition does."""
    channels, height, width = case.shape
    field = zoom(rng.uniform(0.2, 0.9, (1, height // 8, width // 8)), (1, 8, 8), order=1)
    image = field * rng.uniform(0.7, 1.0, (channels, 1, 1)) + rng.normal(0, 0.02, case.shape)
    stored: NDArray[Any] = (image.clip(0, 1) * (255 if case.dtype == "uint8" else 4000)).astype(case.dtype)
    return stored


def write(case: Case, folder: Path) -> None:
    """Our shards in each encoding, and the published tar: (H, W, C) npy, text and wavelengths as text."""
    bands = tuple(band.name for band in get_sensor(case.sensor).bands)[: case.shape[0]]
    meta = SampleMeta(case.sensor, bands, case.unit, 10.0, ("a field beside a river, with a road to the north",), scale=case.scale)
    rng = np.random.default_rng(0)
    images = [scene(case, rng) for _ in range(min(case.samples, 16))]
    samples = [Sample(f"s{number:05d}", images[number % len(images)], meta) for number in range(case.samples)]
    for encoding in case.encodings:
        with ShardWriter(folder / encoding, samples_per_shard=case.samples) as writer:
            for sample in samples:
                writer.write(replace(sample, encoding=encoding))
    with webdataset.TarWriter(str(folder / "published.tar"), encoder=False) as tar:
        for sample in samples:
            stored = io.BytesIO()
            np.save(stored, np.ascontiguousarray(sample.image.transpose(1, 2, 0)))
            facts = {"text": meta.captions[0].encode(), "wavelength": repr([0.5] * len(bands)).encode()}
            tar.write({"__key__": sample.key, "image": stored.getvalue(), **facts})


def stored_arrays(tar: Path) -> Iterator[NDArray[Any]]:
    """Arrays (H, W, C) out of the published tar by webdataset and np.load."""
    with tar.open("rb") as stream:
        members = webdataset.tariterators.tar_file_expander([{"url": str(tar), "stream": stream}])
        for raw in webdataset.tariterators.group_by_keys(members):
            yield np.load(io.BytesIO(raw["image"]), allow_pickle=False)


def published(tar: Path) -> None:
    """The published path to batches."""
    batch: list[Tensor] = []
    for array in stored_arrays(tar):
        batch.append(published_transform(array))
        if len(batch) == BATCH:
            torch.stack(batch)
            batch = []


def published_transform(array: NDArray[Any]) -> Tensor:
    """(H, W, C) to float32 (C, H, W), its pipeline made anew."""
    size = array.shape[:2]
    if array.shape[2] == 3:
        cut = transforms.RandomResizedCrop(size, (0.9, 1.0), interpolation=transforms.InterpolationMode.BICUBIC)
        steps = [cut, transforms.ToTensor(), transforms.Normalize((0.5,) * 3, (0.5,) * 3)]
        picture: Tensor = transforms.Compose(steps)(Image.fromarray(array))
        return picture
    crop = kornia.RandomResizedCrop(size, scale=(0.9, 1.0), ratio=(0.75, 1.333))
    image = torch.from_numpy(array.astype(np.float32)).permute(2, 0, 1) / 255
    cropped: Tensor = kornia.AugmentationSequential(crop, data_keys=["input"])(image[None])[0]
    return (cropped - 0.5) / 0.5


def endless(stream: Stream) -> Iterator[Batch]:
    """Our loader, shuffled, read in this process."""
    return make_loader([stream], MixtureOrder([len(stream)], [1.0], BATCH, 0), start_step=0, stop_step=10**6)


def ours(batches: Iterator[Batch], steps: int, *, crop: float = 0.0) -> None:
    """Our path to batches, somewhere in a training: the loader, then flips and gains, or random crops."""
    generator = torch.Generator().manual_seed(0)
    for batch in islice(batches, steps):
        if crop:
            crop_batch(batch, crop, generator)
        else:
            augment(batch.image, {}, Augmentation(), generator, batch.valid)


def decode_and_transform(case: Case, folder: Path, seconds: float) -> None:
    """Rows of one kind of image."""
    jobs: dict[str, Callable[[], None]] = {"published, npy": partial(published, folder / "published.tar")}
    streams = {encoding: ShardSet.open(folder / encoding).streams[0] for encoding in case.encodings}
    steps = case.samples // BATCH
    jobs |= {f"ours, {encoding}": partial(ours, endless(stream), steps) for encoding, stream in streams.items()}
    jobs["ours, npy, published crop"] = partial(ours, endless(streams["npy"]), steps, crop=0.9)
    sizes = {f"ours, {encoding}": stream.shards[0].members[f"image.{encoding}"][:, 1].mean() / 1e3 for encoding, stream in streams.items()}
    times = in_turn(jobs, seconds)
    theirs = times["published, npy"]
    for name, spent in times.items():
        size = f"{sizes[name]:.0f}" if name in sizes else ""
        goal = case.goal if name == "ours, npy" else ""
        row(case.name, name, f"{1e3 * spent / case.samples:.2f}", f"{theirs / spent:.1f}", goal, size)


def reading(case: Case, folder: Path, seconds: float) -> None:
    """Row of one kind of image: shares of the speed at which the same tar's bytes are read into one small buffer."""
    stream = ShardSet.open(folder / "npy").streams[0]
    tar, theirs = folder / "npy" / stream.shards[0].file, folder / "published.tar"
    jobs: Mapping[str, Callable[[], None]] = {
        "raw": partial(bare, tar),
        "in place": partial(in_place, stream, tar),
        "samples": partial(samples, stream, Buffers()),
        "raw, published": partial(bare, theirs),
        "webdataset": partial(drain, theirs),
        "tarfile": partial(by_tarfile, tar),
    }
    times = in_turn(jobs, seconds)
    raw = times["raw"]
    shares = (raw / times["in place"], raw / times["samples"], times["raw, published"] / times["webdataset"], raw / times["tarfile"])
    row(case.name, f"{tar.stat().st_size / raw / 1e9:.1f}", *(f"{100 * share:.0f} %" for share in shares))


def bare(tar: Path) -> None:
    """Every byte of a file, in order."""
    buffer = bytearray(MIB)
    with tar.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


def in_place(stream: Stream, tar: Path) -> None:
    """Every npy member, as an array, through the index."""
    table = stream.shards[0].members["image.npy"]
    memory = memoryview(bytearray(int(table[:, 1].max())))
    with tar.open("rb", buffering=0) as file:
        for offset, size, _ in table.tolist():
            decode_image(read_member(file, offset, size, memory[:size]), "npy")


def samples(stream: Stream, buffers: Buffers) -> None:
    """Every sample with its json, checked, a batch at a time."""
    for first in range(0, len(stream), BATCH):
        stream.read_many(range(first, min(first + BATCH, len(stream))), buffers=buffers)


def drain(tar: Path) -> None:
    """Every array by webdataset and np.load."""
    for _ in stored_arrays(tar):
        pass


def by_tarfile(tar: Path) -> None:
    """Every array by tarfile and np.load."""
    with tarfile.open(tar, "r:") as members:
        for member in members:
            if member.name.endswith(".npy") and (file := members.extractfile(member)):
                np.load(io.BytesIO(file.read()), allow_pickle=False)


def in_turn(jobs: Mapping[str, Callable[[], None]], seconds: float) -> dict[str, float]:
    """Median seconds per job, run in turn so that a slow moment hits all; the first call of each is thrown away."""
    times: dict[str, list[float]] = {name: [] for name in jobs}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[next(iter(jobs))]) < 4:
        for name, job in jobs.items():
            began = time.perf_counter()
            job()
            times[name].append(time.perf_counter() - began)
    return {name: statistics.median(values[1:]) for name, values in times.items()}


def row(*cells: object) -> None:
    """Print one row of a Markdown table."""
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few samples, to see that it runs")
    quick = parser.parse_args().quick
    torch.manual_seed(0)
    torch.set_num_threads(1)
    cases = [replace(case, samples=BATCH) for case in CASES] if quick else CASES
    with tempfile.TemporaryDirectory() as name:
        for case in cases:
            write(case, Path(name, case.sensor))
        print(f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, 1 thread, torch {torch.__version__}, numpy {np.__version__}\n")
        row("images", "path", "ms per sample", "published / this", "goal", "kB per sample")
        row("---", "---", *["---:"] * 4)
        for case in cases:
            decode_and_transform(case, Path(name, case.sensor), 0 if quick else 20)
        print()
        row("reading npy", "tar's bytes, GB/s", "in place, goal 80 %", "whole samples", "webdataset + np.load", "tarfile + np.load")
        row("---", *["---:"] * 5)
        for case in cases:
            reading(case, Path(name, case.sensor), 0 if quick else 6)


if __name__ == "__main__":
    main()
