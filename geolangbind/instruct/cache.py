"""What a frozen vision tower sees in indexed shards, kept on disk: one memory map per stream, read by sample number.

A folder of features is named by what it depends on: the tower's weights and normalisation, the shards, and what is taken from the tower.
Whatever of these changes, the name changes; features of something else are never read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from geolangbind.checkpoint import atomic_folder
from geolangbind.data.shards import ShardSet, Stream
from geolangbind.errors import DataError
from geolangbind.instruct.features import Features
from geolangbind.instruct.images import gsd_and_day, samples_seen
from geolangbind.interleaved.encoder import InterleavedEncoder
from geolangbind.model import GeoLangBind

_WHAT = "patch tokens beside last features, each token standardised, float16"
_WHAT_QWEN = "merged patches of Qwen2-VL, float16"
_TOLD = "features.json"
_AT_ONCE = 64


def eye_identity(encoder: InterleavedEncoder) -> str:
    """Hex SHA-256 of all that features depend on beside the shards: weights, normalisation and the size at which images are seen."""
    model, digest = encoder.model, hashlib.sha256()
    told: dict[str, Any] = {"what": _WHAT_QWEN, "tower": str(model.tower.config)}
    if isinstance(encoder.tower, GeoLangBind):
        sizes = {"enlarge": model.config.enlarge, "joined": model.config.factor if model.config.projector == "shuffle" else 1}
        told |= {"what": _WHAT, **sizes, "statistics": encoder.tower.statistics.to_json()}
    digest.update(json.dumps(told, sort_keys=True).encode())
    for name, tensor in sorted(model.tower.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def features_folder(root: Path, identity: str, shards: ShardSet) -> Path:
    """Where the features of these shards lie, or will."""
    return root / f"{identity[:16]}-{shards.fingerprint[:16]}"


def ensure_features(root: Path, encoder: InterleavedEncoder, shards: Mapping[str, ShardSet], *, progress: bool = True) -> None:
    """Compute what is not there yet; a folder appears under its name only when whole. One process does this for all.

    Raises:
        DataError: a sample cannot be read or has no valid pixel.
        UnitError: the tower was never taught what some image measures.
    """
    identity = eye_identity(encoder)
    for name, held in shards.items():
        folder = features_folder(root, identity, held)
        if (folder / _TOLD).is_file():
            continue
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with atomic_folder(folder) as part, Progress(*columns, disable=not progress) as bar:
            tell = partial(bar.advance, bar.add_task(f"features of {name}", total=len(held)))
            facts = [_write_stream(part / _file(number), stream, encoder, tell) for number, stream in enumerate(held.streams)]
            told = {"identity": identity, "fingerprint": held.fingerprint, "what": _WHAT, "facts": facts}
            (part / _TOLD).write_text(json.dumps(told) + "\n", encoding="utf-8")


def open_features(root: Path, identity: str, shards: ShardSet) -> Features:
    """Map the features of these shards.

    Raises:
        DataError: they are not there, of something else, or damaged.
    """
    folder = features_folder(root, identity, shards)
    try:
        told: dict[str, Any] = json.loads((folder / _TOLD).read_text(encoding="utf-8"))
        if (told["identity"], told["fingerprint"]) != (identity, shards.fingerprint):
            raise ValueError("they are of another tower or of other shards")
        maps = tuple(np.load(folder / _file(number), mmap_mode="r", allow_pickle=False) for number in range(len(shards.streams)))
        facts = tuple(tuple((gsd, day) for gsd, day in rows) for rows in told["facts"])
        sizes = [len(stream) for stream in shards.streams]
        if [len(held) for held in maps] != sizes or [len(rows) for rows in facts] != sizes:
            raise ValueError("they are not one per sample")
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"cannot use the features in {folder}: {error}; delete that folder, and they are computed again") from None
    return Features(maps, facts)


def _write_stream(
    path: Path, stream: Stream, encoder: InterleavedEncoder, tell: Callable[[int], None]
) -> list[tuple[float | None, str | None]]:
    device = next(encoder.model.tower.parameters()).device
    held: np.memmap[Any, np.dtype[np.float16]] | None = None
    facts: list[tuple[float | None, str | None]] = []
    for first in range(0, len(stream), _AT_ONCE):
        samples = stream.read_many(range(first, min(first + _AT_ONCE, len(stream))))
        pixels, channels, valid = samples_seen(samples, encoder)
        with torch.inference_mode():
            seen = encoder.model.vision_features(pixels.to(device), channels, None if valid is None else valid.to(device))
        found = seen.to("cpu", torch.float16).numpy()
        if held is None:
            held = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=(len(stream), *found.shape[1:]))
        held[first : first + len(found)] = found
        facts += [gsd_and_day(sample.meta) for sample in samples]
        tell(len(found))
    if held is not None:
        held.flush()
    return facts


def _file(number: int) -> str:
    return f"stream-{number:03d}.npy"
