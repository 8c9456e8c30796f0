"""`merge-weights verify`: recompute a merged model from the parents it records, and compare.

numpy is imported with the first file, so that `--help` is quick.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from merge_weights.chain import PathLike, Step
from merge_weights.errors import MergeError

if TYPE_CHECKING:
    from merge_weights.header import TensorInfo
    from merge_weights.inputs import Source
    from merge_weights.record import Record
    from merge_weights.tensors import OpenFile

_SHOWN = 12
_SHORT = 16


@dataclass(frozen=True)
class Parent:
    """One recorded input of the merge.

    Attributes:
        role: "base", or the name of its step.
        path: where it was when the model was merged.
        sha256: of its weights then.
        found: where the same weights are now; None where they are nowhere.
    """

    role: str
    path: str
    sha256: str
    found: str | None


@dataclass(frozen=True)
class Verification:
    """What `verify` found.

    Attributes:
        out: path of the merged model as given.
        parents: its inputs, base first.
        tensors: how many tensors were recomputed and compared; 0 if a parent was not found.
        findings: what is wrong, one sentence each; none if all is well.
    """

    out: str
    parents: tuple[Parent, ...]
    tensors: int
    findings: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether the model is what its record says."""
        return not self.findings


def verify(out: PathLike, *, look_in: Sequence[PathLike] = (), work_dir: PathLike | None = None) -> Verification:
    """Recompute a merged model from its recorded parents and compare tensors (byte by byte), configuration and tokenizer.

    The weights of each parent must have the recorded SHA-256. Not compared: date, command and version of the tool, paths of the parents,
    the model card, and what the header of the weights says beside the tensors.

    Args:
        out: merged model folder or `.safetensors` file; only read.
        look_in: folders in which to look for parents that are no longer where they were.
        work_dir: where the recomputed model may lie meanwhile; beside `out` unless given. It is removed in the end.

    Raises:
        MergeError: `out` is no merged model or records too little, a damaged record, parents that no longer fit together, or no room.
    """
    from merge_weights.find import find_parent
    from merge_weights.inputs import open_source
    from merge_weights.record import read_record

    source = open_source("merged", out)
    record = read_record(source)
    beside = (source.folder or source.weights.path).resolve().parent
    seen: dict[Path, str] = {}
    parents, findings = [], []
    for role, path, sha256 in record.parents:
        found, note = find_parent(role, path, sha256, source.folder is not None, beside, [Path(folder) for folder in look_in], seen)
        parents.append(Parent(role, path, sha256, found))
        findings += [note] if found is None else []
    if findings:
        return Verification(source.given, tuple(parents), 0, tuple(findings))
    place = beside if work_dir is None else Path(work_dir)
    try:
        with tempfile.TemporaryDirectory(prefix=".verify-", dir=place) as folder:
            again = _recompute(source, record, parents, Path(folder))
            findings = [*_compare_tensors(source, again), *_compare_records(source, again, record)]
            if findings and record.version_note:
                findings.append(record.version_note)
            return Verification(source.given, tuple(parents), len(again.weights.tensors), tuple(findings))
    except OSError as error:
        raise MergeError(f"cannot write to {place}: {error.strerror or error}; give --work-dir FOLDER with room for the model") from error


def _recompute(source: Source, record: Record, parents: Sequence[Parent], folder: Path) -> Source:
    from merge_weights.inputs import open_source
    from merge_weights.run import merge

    base, *branches = (parent.found or "" for parent in parents)
    steps = [Step(name, path, value, parts) for (name, value, parts), path in zip(record.steps, branches, strict=True)]
    again = folder / ("merged.safetensors" if source.folder is None else "merged")
    try:
        merge(base, steps, again, sync=False, command="merge-weights verify", **record.settings)
    except MergeError as error:
        raise MergeError(f"cannot recompute {source.given} from its parents: {error}") from error
    return open_source("recomputed", again)


def _compare_tensors(given: Source, again: Source) -> Iterator[str]:
    from merge_weights.tensors import equal_bytes, open_files

    ours, theirs = given.weights.tensors, again.weights.tensors
    with open_files([given.weights, again.weights]) as files:
        for key in sorted({*ours, *theirs}):
            if key not in theirs:
                yield f"tensor {key} is not in the recomputed model"
            elif key not in ours:
                yield f"tensor {key} is missing"
            elif (ours[key].dtype, ours[key].shape) != (theirs[key].dtype, theirs[key].shape):
                kinds = (f"{info.dtype} {list(info.shape)}" for info in (ours[key], theirs[key]))
                yield f"tensor {key} is {' instead of '.join(kinds)}"
            elif not equal_bytes(files, [ours[key], theirs[key]]):
                hashes = (_sha256_of_tensor(file, info)[:_SHORT] for file, info in zip(files, (ours[key], theirs[key]), strict=True))
                yield f"tensor {key} differs: SHA-256 {', recomputed '.join(hashes)}"


def _sha256_of_tensor(file: OpenFile, info: TensorInfo) -> str:
    from merge_weights.tensors import chunks

    digest = hashlib.sha256()
    for offset, count in chunks(info.nbytes):
        digest.update(file.read(info.begin + offset, count).data)
    return digest.hexdigest()


def _compare_records(given: Source, again: Source, record: Record) -> Iterator[str]:
    """What the two models say of themselves; then their tokenizers."""
    from merge_weights.config import TOKENIZER_NAME, differences
    from merge_weights.record import read_record

    where = "the metadata" if given.folder is None else "config.json"
    for found in differences(record.comparable, read_record(again).comparable):
        yield f"{where} differs from the recomputed one in {found}"
    if given.folder is not None and again.folder is not None:
        texts = [path.read_bytes() if (path := folder / TOKENIZER_NAME).is_file() else None for folder in (given.folder, again.folder)]
        if texts[0] != texts[1]:
            yield f"{TOKENIZER_NAME} is not that of the parents"


def report(verification: Verification) -> str:
    """Return the result as plain text."""
    lines = []
    width = max(len(parent.role) for parent in verification.parents)
    for parent in verification.parents:
        moved = f" (was {parent.path})" if parent.found != parent.path else ""
        place = f"{parent.found}{moved}" if parent.found is not None else f"not found (was {parent.path})"
        lines.append(f"  {parent.role.ljust(width)}  {parent.sha256[:_SHORT]}  {place}")
    if verification.ok:
        return "\n".join([*lines, f"ok: {verification.tensors} tensors of {verification.out} are exactly what its parents give"])
    shown = [f"  {finding}" for finding in verification.findings[:_SHOWN]]
    more = len(verification.findings) - len(shown)
    lines += [f"not verified: {verification.out}", *shown]
    return "\n".join(lines + ([f"  and {more} more; --json lists all"] if more else []))


def to_json(verification: Verification) -> str:
    """Return the result as JSON: the fields of `Verification`, and `ok`."""
    from dataclasses import asdict

    return json.dumps({"ok": verification.ok, **asdict(verification)}, indent=2, ensure_ascii=False)


def add_verify_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `merge-weights verify`."""
    parser.description = (
        "Merge again what a merged model records as its parents, and compare with it tensor by tensor.\n"
        "Exit code 0: exactly the same. 1: something differs, or a parent is gone or was changed; it is named."
    )
    parser.add_argument("out", metavar="MERGED", help="merged model folder or .safetensors file; it is only read")
    parser.add_argument(
        "--look-in", metavar="DIR", action="append", default=[], help="look here for parents that were moved; may be given several times"
    )
    parser.add_argument("--work-dir", metavar="DIR", help="where the recomputed model lies meanwhile (beside MERGED)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def run_verify(options: argparse.Namespace) -> int:
    """Carry out `merge-weights verify`; return 0 if the model is what its record says, else 1.

    Raises:
        MergeError: see `verify`.
    """
    verification = verify(options.out, look_in=options.look_in, work_dir=options.work_dir)
    sys.stdout.write((to_json(verification) if options.json else report(verification)) + "\n")
    return 0 if verification.ok else 1
