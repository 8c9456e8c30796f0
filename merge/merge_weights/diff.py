"""`merge-weights diff`: how far two models are apart, block by block, and whether their task vectors agree.

A task vector is fine-tuned minus base (Ilharco et al., Editing models with task arithmetic, arXiv 2212.04089); sign conflicts between them
are what TIES resolves (Yadav et al., arXiv 2306.01708). numpy is imported with the arithmetic (`diff_sums`), so that `--help` is quick.
"""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from merge_weights.chain import HEADS_PREFIX, PARTS, PathLike, part_of
from merge_weights.errors import MergeError

if TYPE_CHECKING:
    from merge_weights.diff_sums import Sums

_NUMBERED = re.compile(r"(?:[^.]+\.)*?\d+(?=\.)")
_LISTED = 8
_NAME_WIDTH = 30


@dataclass(frozen=True)
class Block:
    """What one block of the model, or all of it, shows. Norms are Euclidean; a figure that would divide by zero is None.

    Attributes:
        name: a part (`chain.PARTS`) or a numbered block ("vision.blocks.0").
        tensors: how many both models have in the same shape.
        changed: how many of them hold different numbers.
        parameters: numbers in them.
        distance: |second - first| / |first|.
        first_task_norm: |first - base| / |base|.
        second_task_norm: |second - base| / |base|.
        cosine: of the angle between the task vectors first - base and second - base, -1 to 1.
        sign_conflict: of the numbers that both models moved away from the base, the share moved in opposite directions, 0 to 1.
    """

    name: str
    tensors: int
    changed: int
    parameters: int
    distance: float | None
    first_task_norm: float | None = None
    second_task_norm: float | None = None
    cosine: float | None = None
    sign_conflict: float | None = None


@dataclass(frozen=True)
class Difference:
    """Two models compared.

    Attributes:
        first: path as given.
        second: path as given.
        base: path as given; None where the models were compared without one, and nothing is known about task vectors.
        blocks: in the order of the parts, numbered blocks by number.
        total: all blocks together.
        absent: (tensor, which models have it) for tensors that some model lacks.
        mismatched: (tensor, what is wrong) for tensors that cannot be compared: other shapes, or whole numbers that differ.
    """

    first: str
    second: str
    base: str | None
    blocks: tuple[Block, ...]
    total: Block
    absent: tuple[tuple[str, str], ...]
    mismatched: tuple[tuple[str, str], ...]


def diff(first: PathLike, second: PathLike, base: PathLike | None = None) -> Difference:
    """Compare two models, a few thousand numbers at a time and in float64.

    Args:
        first: run folder, model folder or `.safetensors` file; dtypes may differ.
        second: what to compare it with.
        base: the model both come from; adds the figures about task vectors.

    Raises:
        MergeError: nothing there, unreadable, no tensor in common, or NaN or Inf.
    """
    from merge_weights.diff_sums import compare
    from merge_weights.inputs import open_source
    from merge_weights.tensors import open_files

    given = {"first": first, "second": second} | ({} if base is None else {"base": base})
    sources = [open_source(role, path) for role, path in given.items()]
    keys = sorted({key for source in sources for key in source.weights.tensors})
    absent, mismatched = [], []
    blocks: dict[str, list[Sums]] = defaultdict(list)
    with open_files([source.weights for source in sources]) as files:
        for key in keys:
            holders = [index for index, source in enumerate(sources) if key in source.weights.tensors]
            if len(holders) < len(sources):
                absent.append((key, "only in " + ", ".join(sources[index].role for index in holders)))
            if holders[:2] != [0, 1]:
                continue
            infos = [sources[index].weights.tensors[key] for index in holders]
            note, sums = compare(key, [sources[index] for index in holders], [files[index] for index in holders], infos)
            if note:
                mismatched.append((key, note))
            else:
                blocks[block_of(key)].append(sums)
    if not blocks:
        raise MergeError(f"{first} and {second} have no tensor of one name and shape in common; are they of one architecture?")
    found = tuple(_block(name, blocks[name], base is not None) for name in sorted(blocks, key=_place))
    total = _block("all", [sums for block in blocks.values() for sums in block], base is not None)
    names = [source.given for source in sources]
    return Difference(names[0], names[1], names[2] if base is not None else None, found, total, tuple(absent), tuple(mismatched))


def block_of(key: str) -> str:
    """Return the block of a tensor: its part; in "blocks" and "rest" its name up to the first number; "heads" for MaKA projectors."""
    if key.startswith(HEADS_PREFIX):
        return "heads"
    part = part_of(key)
    numbered = _NUMBERED.match(key) if part in ("blocks", "rest") else None
    return numbered.group() if numbered else part


def _place(name: str) -> tuple[int, bool, str, int]:
    """Sort key of a block: parts in their order, numbered blocks by number, what has no number last."""
    stem, _, number = name.rpartition(".")
    part = name if name in PARTS else part_of(f"{name}.")
    numbered = number.isdigit()
    return list(PARTS).index(part), not numbered, stem if numbered else name, int(number) if numbered else 0


def _block(name: str, tensors: Sequence[Sums], with_base: bool) -> Block:
    from merge_weights.diff_sums import add

    sums = add(tensors)
    changed = sum(tensor.differing > 0 for tensor in tensors)
    distance = _ratio(sums.distance_squares, sums.first_squares)
    if not with_base:
        return Block(name, len(tensors), changed, int(sums.parameters), distance)
    lengths = math.sqrt(sums.a_squares) * math.sqrt(sums.b_squares)
    return Block(
        name,
        len(tensors),
        changed,
        int(sums.parameters),
        distance,
        _ratio(sums.a_squares, sums.base_squares),
        _ratio(sums.b_squares, sums.base_squares),
        max(-1.0, min(1.0, sums.a_times_b / lengths)) if lengths else None,
        sums.conflicts / sums.both_moved if sums.both_moved else None,
    )


def _ratio(squares: float, reference_squares: float) -> float | None:
    """Return the ratio of two norms, given their squares."""
    return math.sqrt(squares) / math.sqrt(reference_squares) if reference_squares else None


def render(difference: Difference) -> str:
    """Return the comparison as a plain text table, at most 100 columns wide."""
    with_base = difference.base is not None
    lines = [f"first   {difference.first}", f"second  {difference.second}"]
    lines += [f"base    {difference.base}"] if with_base else []
    lines += ["", "distance: |second - first| / |first|"]
    if with_base:
        lines += [
            "first, second: lengths of the task vectors, |model - base| / |base|; cosine: of their angle",
            "conflict: share of the numbers both moved that they moved in opposite directions",
        ]
    heads = ("block", "changed", "numbers", "distance", *(("first", "second", "cosine", "conflict") if with_base else ()))
    rows = [heads, *(_row(block, with_base) for block in (*difference.blocks, difference.total))]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines.append("")
    for name, *figures in rows:
        cells = (cell.rjust(width) for cell, width in zip(figures, widths[1:], strict=True))
        lines.append("  ".join((f"  {name.ljust(widths[0])}", *cells)))
    for title, listed in (("not in every model", difference.absent), ("cannot be compared", difference.mismatched)):
        if listed:
            more = f"and {len(listed) - _LISTED} more; --json lists all"
            lines += ["", f"{title} ({len(listed)} tensors):", *(f"  {key}: {note}" for key, note in listed[:_LISTED])]
            lines += [f"  {more}"] if len(listed) > _LISTED else []
    return "\n".join(lines)


def _row(block: Block, with_base: bool) -> tuple[str, ...]:
    name = block.name if len(block.name) <= _NAME_WIDTH else "..." + block.name[3 - _NAME_WIDTH :]
    row = (name, f"{block.changed}/{block.tensors}", count(block.parameters), figure(block.distance))
    if not with_base:
        return row
    cosine = "-" if block.cosine is None else f"{block.cosine:+.3f}"
    conflict = "-" if block.sign_conflict is None else f"{block.sign_conflict:.1%}"
    return (*row, figure(block.first_task_norm), figure(block.second_task_norm), cosine, conflict)


def figure(norm: float | None) -> str:
    """Return a relative norm for people, three digits; "-" where it is not defined."""
    if norm is None:
        return "-"
    return "0" if norm == 0 else f"{norm:.3g}" if norm < 0.001 else f"{norm:#.3g}"


def count(number: int) -> str:
    """Return a number of parameters for people."""
    for size, unit in ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return str(number)


def to_json(difference: Difference) -> str:
    """Return the comparison as JSON: the fields of `Difference`; figures that are not defined are null."""
    return json.dumps(asdict(difference), indent=2, ensure_ascii=False)
