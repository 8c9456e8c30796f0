"""What the user points at: a run folder (stands for its `model/`), a model folder, or one `.safetensors` file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from merge_weights.chain import PathLike, Step
from merge_weights.errors import MergeError
from merge_weights.header import INDEX_SUFFIX, WeightsFile, read_weights

WEIGHTS_NAME = "model.safetensors"
INDEX_NAME = f"model{INDEX_SUFFIX}"


@dataclass(frozen=True)
class Source:
    """One input.

    Attributes:
        role: "base", or the name of its step.
        given: the path as the user gave it.
        weights: its weights file, header read.
        folder: its model folder, None for a single file.
    """

    role: str
    given: str
    weights: WeightsFile
    folder: Path | None


def open_source(role: str, given: PathLike) -> Source:
    """Find the weights behind a path and read their header.

    Raises:
        MergeError: nothing there, or nothing that holds weights.
    """
    path = Path(given)
    if path.is_file():
        if path.suffix != ".safetensors" and not path.name.endswith(INDEX_SUFFIX):
            raise MergeError(f"{role}: {path} is no .safetensors file; give a run folder, a model folder or a .safetensors file")
        return Source(role, os.fspath(given), read_weights(path), None)
    for folder in (path, path / "model"):
        for name in (WEIGHTS_NAME, INDEX_NAME):
            if (folder / name).is_file():
                return Source(role, os.fspath(given), read_weights(folder / name), folder)
    what = f"has neither model/{WEIGHTS_NAME} nor {WEIGHTS_NAME}" if path.exists() else "does not exist"
    raise MergeError(f"{role}: {path} {what}; give a run folder, a model folder or a .safetensors file")


def open_sources(base: PathLike, steps: Sequence[Step]) -> tuple[Source, ...]:
    """Open base and steps.

    Raises:
        MergeError: see `open_source`; also when folders and single files are mixed.
    """
    sources = (open_source("base", base), *(open_source(step.name, step.source) for step in steps))
    if len({source.folder is None for source in sources}) == 2:
        files = ", ".join(source.given for source in sources if source.folder is None)
        raise MergeError(f"folders and single files cannot be mixed: {files} has no config.json to compare; give folders or files only")
    return sources


def check_out(out: Path, sources: Sequence[Source], overwrite: bool) -> None:
    """Refuse an output place that would harm something.

    Raises:
        MergeError: wrong suffix, an input lies there, or it exists and may not be replaced.
    """
    to_file = sources[0].folder is None
    if to_file and out.suffix != ".safetensors":
        raise MergeError(f"the inputs are single files, so the output is one too: give --out NAME.safetensors instead of {out}")
    if not to_file and out.suffix == ".safetensors":
        raise MergeError(f"the inputs are model folders, so the output is one too: give --out a folder name instead of {out}")
    for source in sources:
        if any(path.resolve().is_relative_to(out.resolve()) for path, _ in source.weights.parts):
            raise MergeError(f"--out {out} would replace {source.role} ({source.given}); inputs are never written to, choose another --out")
    if not os.path.lexists(out):
        return
    if not overwrite:
        raise MergeError(f"{out} exists; choose another --out, or replace it with --overwrite")
    if to_file != out.is_file() or not (to_file or any((out / name).is_file() for name in (WEIGHTS_NAME, INDEX_NAME))):
        raise MergeError(f"{out} exists and is not a merged model, so --overwrite leaves it alone; choose another --out")
