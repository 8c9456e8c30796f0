"""Headers of safetensors files: read with distrust, and written.

Layout (https://huggingface.co/docs/safetensors): 8 bytes little-endian header length, JSON header, tensor bytes without gaps.
Own reading because the numpy side of the library knows no bfloat16 and loads whole tensors.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from merge_weights.errors import MergeError

ITEM_BYTES: dict[str, int] = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 8),
    **dict.fromkeys(("F32", "I32", "U32"), 4),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 2),
    **dict.fromkeys(("I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2"), 1),
}
"""Size of one element per safetensors dtype."""

INDEX_SUFFIX = ".safetensors.index.json"

_MAX_HEADER_BYTES = 100_000_000
"""The limit the safetensors library sets itself."""


@dataclass(frozen=True)
class TensorInfo:
    """What one tensor is and where its bytes lie: `begin` and `end` are offsets from the start of the file."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return self.end - self.begin


@dataclass(frozen=True)
class WeightsFile:
    """Weights whose headers were read and found sound: one safetensors file, or the shards of an index as if they were one.

    Attributes:
        path: the file, or the index.
        nbytes: size of all bytes.
        tensors: by name; offsets count from the start of the first shard.
        metadata: what the file says about itself.
        parts: each shard with its size.
    """

    path: Path
    nbytes: int
    tensors: dict[str, TensorInfo]
    metadata: dict[str, str]
    parts: tuple[tuple[Path, int], ...]


def read_weights(path: Path) -> WeightsFile:
    """Read the header of a safetensors file, or of all shards that a `.safetensors.index.json` names.

    Raises:
        MergeError: see `read_header`; also when the index is damaged, names files elsewhere, or disagrees with its shards.
    """
    if not path.name.endswith(INDEX_SUFFIX):
        return read_header(path)
    try:
        index = json.loads(path.read_bytes(), object_pairs_hook=_unique)
        places: dict[str, str] = index["weight_map"]
        names = sorted(set(places.values()))
    except OSError as error:
        raise MergeError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise MergeError(f"{path} is no index of shards: {error!r}") from error
    if outside := [name for name in names if Path(name).name != name]:
        raise MergeError(f"{path} names files outside its folder: {', '.join(outside)}")
    tensors: dict[str, TensorInfo] = {}
    shards = [read_header(path.parent / name) for name in names]
    start = 0
    for name, shard in zip(names, shards, strict=True):
        if wrong := [key for key in shard.tensors if places.get(key) != name]:
            raise MergeError(f"{path} and {name} disagree about {len(wrong)} tensors, first {wrong[0]}")
        moved = {key: TensorInfo(info.dtype, info.shape, start + info.begin, start + info.end) for key, info in shard.tensors.items()}
        tensors.update(moved)
        start += shard.nbytes
    if lacking := sorted(places.keys() - tensors.keys()):
        raise MergeError(f"{path} promises {len(lacking)} tensors that its shards do not hold, first {lacking[0]}")
    parts = tuple((shard.path, shard.nbytes) for shard in shards)
    return WeightsFile(path, start, tensors, shards[0].metadata if shards else {}, parts)


def read_header(path: Path) -> WeightsFile:
    """Read and check the header of a safetensors file.

    Raises:
        MergeError: unreadable, truncated, not safetensors, or offsets that overlap, leave gaps or contradict shapes.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            length = int.from_bytes(file.read(8), "little")
            if size < 10 or not 2 <= length <= min(_MAX_HEADER_BYTES, size - 8):
                raise MergeError(f"{path} is no safetensors file, or it is truncated ({size} bytes); copy or download it again")
            text = file.read(length)
    except OSError as error:
        raise MergeError(f"cannot read {path}: {error.strerror}") from error
    try:
        raw = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise MergeError(f"{path} has a damaged safetensors header: {error}") from error
    if not isinstance(raw, dict):
        raise MergeError(f"{path} has a damaged safetensors header: not a JSON object")
    metadata = raw.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise MergeError(f"{path} has a damaged safetensors header: __metadata__ must map names to text")
    tensors = {key: _tensor_info(path, key, entry, 8 + length) for key, entry in raw.items()}
    _check_layout(path, tensors, 8 + length, size)
    return WeightsFile(path, size, tensors, metadata, ((path, size),))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice")
    return found


def _is_sizes(value: object) -> bool:
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)


def _tensor_info(path: Path, key: str, entry: object, data_start: int) -> TensorInfo:
    """Check one tensor's entry; `data_start` is where tensor bytes begin in the file."""
    where = f"{path} has a damaged safetensors header: tensor {key}"
    if not isinstance(entry, dict) or not _is_sizes(entry.get("shape")) or not _is_sizes(entry.get("data_offsets")):
        raise MergeError(f"{where} lacks a usable shape or data_offsets")
    dtype, shape, offsets = entry.get("dtype"), tuple(entry["shape"]), entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        raise MergeError(f"{path}: tensor {key} has dtype {dtype}, which this tool does not know; it knows {', '.join(ITEM_BYTES)}")
    if len(offsets) != 2 or offsets[1] - offsets[0] != math.prod(shape) * ITEM_BYTES[dtype]:
        raise MergeError(f"{where} has offsets {offsets}, which contradict {dtype} {list(shape)}")
    return TensorInfo(dtype, shape, data_start + offsets[0], data_start + offsets[1])


def _check_layout(path: Path, tensors: dict[str, TensorInfo], data_start: int, size: int) -> None:
    """Tensor bytes must follow each other without gap or overlap and end with the file."""
    position = data_start
    for key, info in sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)):
        if info.begin != position:
            fault = "overlaps the one before" if info.begin < position else "leaves a gap before it"
            raise MergeError(f"{path} has a damaged safetensors header: tensor {key} {fault}")
        position = info.end
    if position != size:
        fault = "truncated" if position > size else "followed by foreign bytes"
        raise MergeError(f"{path} is {fault}: its header promises {position} bytes, the file has {size}; copy or download it again")


def encode_header(tensors: Sequence[tuple[str, str, tuple[int, ...], int]], metadata: dict[str, str]) -> bytes:
    """Return the first bytes of a safetensors file: length and JSON header, padded to 8 bytes.

    Args:
        tensors: (key, dtype, shape, nbytes) in the order in which their bytes will follow.
        metadata: stored under `__metadata__`.
    """
    header: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    position = 0
    for key, dtype, shape, nbytes in tensors:
        header[key] = {"dtype": dtype, "shape": list(shape), "data_offsets": [position, position + nbytes]}
        position += nbytes
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
