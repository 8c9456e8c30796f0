"""A model folder on disk: model.safetensors, config.json, tokenizer.json, README.md. Knows no model class and runs no code.

Everything is written beside the final name first and renamed when whole. `config.json` holds what a reader needs to use the weights
(architecture, channel code, statistics, preprocessing, tokenizer) and where they come from (parents, provenance).
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import file_digest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geolangbind.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

FORMAT, FORMAT_VERSION = "geolangbind-model", 1
_MAPPED_BYTES = 500_000_000
_UMASK = os.umask(0)
os.umask(_UMASK)
WEIGHTS, CONFIG, TOKENIZER, CARD = "model.safetensors", "config.json", "tokenizer.json", "README.md"


def file_sha256(path: Path) -> str:
    """Hex SHA-256 of a file."""
    with path.open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling of `path`; on success it is flushed to disk and takes the name `path`, on failure it is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        _open_up(temporary)
        _flush(temporary)
        temporary.replace(path)
        _flush(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _open_up(path: Path) -> None:
    """Give a file the mode that the user's umask asks for: safetensors writes files that nobody else can read."""
    if path.is_file():
        path.chmod(0o666 & ~_UMASK)


def _flush(path: Path) -> None:
    """Bring a file's content, or the names in a folder, to disk; a power cut could otherwise undo a rename or leave an empty file."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # some network file systems cannot sync a folder; there is nothing better to do about them
        if error.errno not in (errno.EINVAL, errno.ENOTSUP) or not path.is_dir():
            raise
    finally:
        os.close(handle)


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty temporary sibling of `folder`; on success it replaces `folder`, on failure nothing changes."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary, old = (folder.with_name(f".{folder.name}.{os.getpid()}.{suffix}") for suffix in ("part", "old"))
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        for file in (*temporary.rglob("*"), temporary):
            _open_up(file)
            _flush(file)
        if folder.exists():
            folder.rename(old)
        try:
            temporary.rename(folder)
        except OSError:
            if old.exists():
                old.rename(folder)
            raise
        _flush(folder.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def find_model(path: str | Path) -> Path:
    """The model folder that a path stands for: itself, or `model/` inside a run folder.

    Raises:
        CheckpointError: neither holds a config.json; says where it looked.
    """
    places = (Path(path), Path(path) / "model")
    for folder in places:
        if (folder / CONFIG).is_file():
            return folder
    raise CheckpointError(
        f"no model at '{path}': neither {places[0] / CONFIG} nor {places[1] / CONFIG} exists. "
        "Give a model folder or a run folder; `make demo` leaves one at runs/demo/merged"
    )


def write_model(folder: Path, tensors: Mapping[str, Tensor], config: Mapping[str, Any], tokenizer_json: str | None, card: str) -> None:
    """Write a model folder in one step.

    Args:
        folder: final place; replaced whole if it exists.
        tensors: weights by name, any float dtype.
        config: everything but `format` and `format_version`.
        tokenizer_json: content of tokenizer.json; None for a model that reads no text.
        card: content of README.md.
    """
    config = {"format": FORMAT, "format_version": FORMAT_VERSION, **config}
    metadata = {"geolangbind": json.dumps({"format_version": FORMAT_VERSION, "parents": config["parents"]})}
    with atomic_folder(folder) as part:
        save_tensors(part / WEIGHTS, tensors, metadata)
        (part / CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
        if tokenizer_json is not None:
            (part / TOKENIZER).write_text(tokenizer_json, encoding="utf-8")
        (part / CARD).write_text(card, encoding="utf-8")


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file from tensors of any device; not atomic by itself."""
    from safetensors.torch import save_file

    save_file({name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}, path, dict(metadata))


def read_config(folder: Path, kind: str = FORMAT, version: int = FORMAT_VERSION) -> dict[str, Any]:
    """Read config.json of a model folder.

    Args:
        folder: where it lies.
        kind: the format it must be of.
        version: the version of that format that this release reads.

    Raises:
        CheckpointError: absent, not JSON, of another format or a newer version.
    """
    path = folder / CONFIG
    try:
        config: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot read {path}: {error}") from None
    if not isinstance(config, dict) or config.get("format") != kind:
        found = config.get("format") if isinstance(config, dict) else type(config).__name__
        raise CheckpointError(f"{path} is not of format '{kind}' (it says {found!r})")
    if config.get("format_version") != version:
        raise CheckpointError(
            f"{path} has format version {config.get('format_version')}; this release reads {version}. Upgrade geolangbind"
        )
    return config


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """Read all weights of a model folder.

    Raises:
        CheckpointError: model.safetensors is absent or damaged.
    """
    return dict(iterate_tensors(folder))


def describe_tensors(folder: Path) -> dict[str, Tensor]:
    """Shapes and dtypes of the weights of a model folder, as tensors on the meta device; reads headers only.

    Raises:
        CheckpointError: see `read_tensors`.
    """
    import torch

    described = {}
    for path, names in _places(folder).items():
        with _opened(path) as file:
            for name in names or file.keys():
                described[name] = torch.empty(file.get_slice(name).get_shape(), device="meta")
    return described


def iterate_tensors(folder: Path) -> Iterator[tuple[str, Tensor]]:
    """Yield the weights of a model folder by name. Files are opened anew every half gigabyte: mapped pages count as memory until closed.

    Raises:
        CheckpointError: see `read_tensors`.
    """
    for path, names in _places(folder).items():
        if names is None:
            with _opened(path) as file:
                names = list(file.keys())
        while names:
            with _opened(path) as file:
                mapped = 0
                while names and mapped < _MAPPED_BYTES:
                    name = names.pop(0)
                    tensor = file.get_tensor(name)
                    mapped += tensor.nbytes
                    yield name, tensor
                del tensor


def _places(folder: Path) -> dict[Path, list[str] | None]:
    """The files that hold the weights of a folder, with the tensors to take from each (None: all)."""
    index = folder / f"{WEIGHTS}.index.json"
    if (folder / WEIGHTS).is_file() or not index.is_file():
        return {folder / WEIGHTS: None}
    try:
        placed: Mapping[str, str] = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        files = sorted(set(placed.values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"cannot read {index}: {error!r}") from None
    if outside := [name for name in files if Path(name).name != name]:
        raise CheckpointError(f"{index} names files outside its folder: {', '.join(outside)}")
    return {folder / file: [name for name, place in placed.items() if place == file] for file in files}


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            yield file
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"cannot read {path}: {error}") from None


def mismatch_table(expected: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> str:
    """A table of every missing, unexpected or mis-shaped tensor, one line each, sorted by name; empty when all fit."""
    rows = [
        (name, _shape(given.get(name), "missing"), _shape(expected.get(name), "unexpected"))
        for name in sorted(expected.keys() | given.keys())
        if name not in given or name not in expected or expected[name].shape != given[name].shape
    ]
    if not rows:
        return ""
    table = [("tensor", "checkpoint", "model"), *rows]
    widths = [max(len(row[column]) for row in table) for column in range(3)]
    lines = ("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table)
    return f"{len(rows)} difference{'s' * (len(rows) != 1)}:\n" + "\n".join(lines)


def _shape(tensor: Tensor | None, absent: str) -> str:
    return absent if tensor is None else str(tuple(tensor.shape))
