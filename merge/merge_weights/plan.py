"""The plan: for every tensor, what will happen to it, worked out before anything is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from merge_weights.arithmetic import STORAGE
from merge_weights.chain import HEADS_PREFIX, Step, part_of
from merge_weights.errors import MergeError
from merge_weights.header import ITEM_BYTES, TensorInfo
from merge_weights.inputs import Source
from merge_weights.tensors import OpenFile, equal_bytes, open_files

Status = Literal["merged", "equal", "missing", "mismatched", "dropped"]
MissingRule = Literal["refuse", "copy"]
STATUSES: tuple[Status, ...] = ("merged", "equal", "missing", "mismatched", "dropped")

_NAMED_IN_MESSAGE = 8


@dataclass(frozen=True)
class Entry:
    """One tensor of the plan.

    Attributes:
        key: its name.
        part: the part it belongs to, see `chain.PARTS`.
        status: merged; equal in all inputs (copied); missing from some inputs; mismatched; dropped (MaKA projectors).
        holders: which inputs have it, 0 is the base.
        info: dtype, shape and size in the first of them.
        note: for missing and mismatched tensors, what is wrong.
    """

    key: str
    part: str
    status: Status
    holders: tuple[int, ...]
    info: TensorInfo
    note: str = ""


@dataclass(frozen=True)
class Plan:
    """What a merge will do: the inputs (base first), the steps, and one entry per tensor, in the order of the output."""

    sources: tuple[Source, ...]
    steps: tuple[Step, ...]
    entries: tuple[Entry, ...]
    missing: MissingRule

    def having(self, status: Status) -> tuple[Entry, ...]:
        """Return the entries with this status."""
        return tuple(entry for entry in self.entries if entry.status == status)

    def counts(self) -> dict[str, int]:
        """Return the number of tensors per status."""
        return {status: len(self.having(status)) for status in STATUSES}

    def written(self) -> tuple[Entry, ...]:
        """Return the entries that the output will hold."""
        return tuple(entry for entry in self.entries if entry.status != "dropped")

    def coefficients(self) -> dict[str, dict[str, float]]:
        """Return per step its coefficient ("all") and those of single parts."""
        return {step.name: {"all": step.coefficient, **step.part_coefficients} for step in self.steps}

    def check(self) -> None:
        """Refuse a plan that cannot be carried out.

        Raises:
            MergeError: tensors mismatch, or some are missing and the rule is to refuse, or nothing is left to write.
        """
        if wrong := self.having("mismatched"):
            raise MergeError(f"{len(wrong)} tensors do not fit together: {_named(wrong)}; the inputs must have one architecture and dtype")
        if (lacking := self.having("missing")) and self.missing == "refuse":
            raise MergeError(
                f"{len(lacking)} tensors are missing from some inputs: {_named(lacking)}; "
                "give --missing copy to take them from the inputs that have them"
            )
        if not self.written():
            raise MergeError(f"no tensor is left to merge in {self.sources[0].weights.path}")


def _named(entries: Sequence[Entry]) -> str:
    names = [f"{entry.key} ({entry.note})" for entry in entries[:_NAMED_IN_MESSAGE]]
    more = len(entries) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")


def make_plan(sources: Sequence[Source], steps: Sequence[Step], *, keep_heads: bool = False, missing: MissingRule = "refuse") -> Plan:
    """Decide what happens to every tensor. Reads headers, and bytes only to find out which tensors are equal.

    Args:
        sources: base first, then one per step.
        steps: the chain.
        keep_heads: treat MaKA projectors like every other tensor instead of dropping them.
        missing: what to do with tensors that only some inputs have.
    """
    keys = {key for source in sources for key in source.weights.tensors}
    with open_files([source.weights.path for source in sources]) as files:
        entries = [_entry(key, sources, files, keep_heads) for key in keys]
    # Widest items first keeps every tensor aligned in the output; the name makes the order independent of the inputs'.
    entries.sort(key=lambda entry: (_storage_rank(entry.info), entry.key))
    return Plan(tuple(sources), tuple(steps), tuple(entries), missing)


def _storage_rank(info: TensorInfo) -> tuple[int, str]:
    return -ITEM_BYTES[info.dtype], info.dtype


def _entry(key: str, sources: Sequence[Source], files: Sequence[OpenFile], keep_heads: bool) -> Entry:
    holders = tuple(index for index, source in enumerate(sources) if key in source.weights.tensors)
    infos = [sources[index].weights.tensors[key] for index in holders]
    status, note = _judge(key, holders, infos, sources, files, keep_heads)
    return Entry(key, part_of(key), status, holders, infos[0], note)


def _judge(
    key: str,
    holders: tuple[int, ...],
    infos: Sequence[TensorInfo],
    sources: Sequence[Source],
    files: Sequence[OpenFile],
    keep_heads: bool,
) -> tuple[Status, str]:
    """Return status and note of one tensor."""
    if key.startswith(HEADS_PREFIX) and not keep_heads:
        return "dropped", ""
    if len({(info.dtype, info.shape) for info in infos}) > 1:
        kinds = (f"{sources[index].role} {info.dtype} {list(info.shape)}" for index, info in zip(holders, infos, strict=True))
        return "mismatched", ", ".join(kinds)
    everywhere = len(holders) == len(sources)
    averaged = infos[0].dtype in STORAGE
    if everywhere or not averaged:
        equal = equal_bytes([files[index] for index in holders], infos)
        if not equal and not averaged:
            return "mismatched", f"{infos[0].dtype} values differ and cannot be averaged"
        if everywhere:
            return ("equal" if equal else "merged"), ""
    return "missing", "only in " + ", ".join(sources[index].role for index in holders)
