"""What a frozen vision tower sees in indexed shards, kept on disk: one memory map per stream, read by sample number.

A folder of features is named by what it depends on: the tower's weights and normalisation, the shards, and what is taken from the tower.
Whatever of these changes, the name changes; features of something else are never read. Each stream is kept as soon as it is whole, beside a
note of its facts; `features.json`, which comes last, takes the place of the notes. Images in files are not kept.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from geolangbind.checkpoint import atomic_path
from geolangbind.data.shards import ShardSet, Stream
from geolangbind.errors import DataError, GeoLangBindError
from geolangbind.instruct.features import Features
from geolangbind.instruct.images import gsd_and_day, samples_seen
from geolangbind.instruct.rows import Pairs, file_images
from geolangbind.interleaved.encoder import InterleavedEncoder
from geolangbind.model import GeoLangBind

_WHAT = "patch tokens beside last features, each token standardised, float16"
_WHAT_QWEN = "merged patches of Qwen2-VL, float16"
_TOLD = "features.json"
_AT_ONCE, _NAMED, _LOOKED_AT = 64, 10, 16

_Facts = list[tuple[float | None, str | None]]


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


def has_features(root: Path, identity: str, shards: ShardSet) -> bool:
    """Whether the features of all streams are there."""
    return (features_folder(root, identity, shards) / _TOLD).is_file()


def ensure_features(root: Path, encoder: InterleavedEncoder, shards: Mapping[str, ShardSet], *, progress: bool = True) -> None:
    """Compute what is not there yet, going on behind the last whole stream. One process does this for all.

    Raises:
        DataError: samples cannot be read or have no valid pixel; the message names several if there are.
        UnitError: the tower was never taught what some image measures.
    """
    identity = eye_identity(encoder)
    for name, held in shards.items():
        folder = features_folder(root, identity, held)
        if has_features(root, identity, held):
            continue
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        whose, facts = {"identity": identity, "fingerprint": held.fingerprint, "what": _WHAT}, list[_Facts]()
        with Progress(*columns, disable=not progress) as bar:
            tell = partial(bar.advance, bar.add_task(f"features of {name}", total=len(held)))
            for number, stream in enumerate(held.streams):
                try:
                    facts.append(_ensure_stream(folder, number, stream, encoder, whose, tell))
                except DataError as error:
                    raise DataError(_told_together(held.streams[number:], encoder) or str(error)) from None
        _write_json(folder / _TOLD, {**whose, "facts": facts})
        for number in range(len(facts)):
            (folder / _note(number)).unlink(missing_ok=True)


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


def sources_of_files(pairs: Pairs, names: Sequence[str]) -> list[str]:
    """Those of the named sources with an image in a file among a few evenly spaced rows; the tower sees such images in every step."""
    found = []
    for name in names:
        size = len(pairs.sources[name])
        rows = pairs.sources[name].read(sorted({number * size // _LOOKED_AT for number in range(_LOOKED_AT)}))
        if any(file_images(row) for row in rows):
            found.append(name)
    return found


def _ensure_stream(
    folder: Path, number: int, stream: Stream, encoder: InterleavedEncoder, whose: Mapping[str, str], tell: Callable[[int], None]
) -> _Facts:
    path, note = folder / _file(number), folder / _note(number)
    try:
        told = json.loads(note.read_text(encoding="utf-8"))
        if {name: told[name] for name in whose} == whose and path.is_file():
            tell(len(stream))
            return [(gsd, day) for gsd, day in told["facts"]]
    except (OSError, ValueError, KeyError, TypeError):
        pass  # not there or not whole: it is computed, and written last
    with atomic_path(path) as part:
        facts = _write_stream(part, stream, encoder, tell)
    _write_json(note, {**whose, "facts": facts})
    return facts


def _write_stream(path: Path, stream: Stream, encoder: InterleavedEncoder, tell: Callable[[int], None]) -> _Facts:
    device = next(encoder.model.tower.parameters()).device
    held: np.memmap[Any, np.dtype[np.float16]] | None = None
    facts: _Facts = []
    for numbers in _some_at_once(stream):
        samples = stream.read_many(numbers)
        pixels, channels, valid = samples_seen(samples, encoder)
        with torch.inference_mode():
            seen = encoder.model.vision_features(pixels.to(device), channels, None if valid is None else valid.to(device))
        found = seen.to("cpu", torch.float16).numpy()
        if held is None:
            held = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=(len(stream), *found.shape[1:]))
        held[numbers.start : numbers.stop] = found
        facts += [gsd_and_day(sample.meta) for sample in samples]
        tell(len(found))
    if held is not None:
        held.flush()
    return facts


def _told_together(streams: Sequence[Stream], encoder: InterleavedEncoder) -> str:
    """What is wrong with samples, without the tower: one failure for each after hours of work would take days to put right."""
    found: dict[str, None] = {}
    for stream in streams:
        for numbers in _some_at_once(stream):
            if _fault(stream, numbers, encoder):
                found.update((told, None) for number in numbers if (told := _fault(stream, [number], encoder)))
            if len(found) >= _NAMED:
                return f"{_NAMED} samples cannot be used, and there may be more: {'; '.join(list(found)[:_NAMED])}"
    return f"{len(found)} samples cannot be used: {'; '.join(found)}" if len(found) > 1 else "".join(found)


def _fault(stream: Stream, numbers: Sequence[int], encoder: InterleavedEncoder) -> str:
    try:
        samples_seen(stream.read_many(numbers), encoder)
    except GeoLangBindError as error:
        return str(error)
    return ""


def _some_at_once(stream: Stream) -> Iterator[range]:
    return (range(first, min(first + _AT_ONCE, len(stream))) for first in range(0, len(stream), _AT_ONCE))


def _write_json(path: Path, told: Mapping[str, Any]) -> None:
    with atomic_path(path) as part:
        part.write_text(json.dumps(told) + "\n", encoding="utf-8")


def _file(number: int) -> str:
    return f"stream-{number:03d}.npy"


def _note(number: int) -> str:
    return f"stream-{number:03d}.json"
