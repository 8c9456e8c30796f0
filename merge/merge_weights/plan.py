"""The plan: for every tensor, what will happen to it, worked out before anything is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Literal

from merge_weights.arithmetic import STORAGE, widest
from merge_weights.chain import HEADS_PREFIX, PARTS, Step, part_of
from merge_weights.errors import MergeError
from merge_weights.header import ITEM_BYTES, TensorInfo
from merge_weights.inputs import Source
from merge_weights.routes import GENERATOR_PREFIX, Route, make_routes, routed_name
from merge_weights.tensors import OpenFile, equal_bytes, open_files

Status = Literal["merged", "equal", "kept", "missing", "mismatched", "dropped"]
MissingRule = Literal["refuse", "copy"]
STATUSES: tuple[Status, ...] = ("merged", "equal", "kept", "missing", "mismatched", "dropped")

_NAMED_IN_MESSAGE = 8


@dataclass(frozen=True)
class Method:
    """How tensors are merged: "progressive" (the chain) or a key of `methods.METHODS`, with its options."""

    name: str = "progressive"
    density: float = 1.0
    seed: int = 0


PROGRESSIVE = Method()


@dataclass(frozen=True)
class Entry:
    """One tensor of the plan.

    Attributes:
        key: its name.
        part: the part it belongs to, see `chain.PARTS`.
        status: merged; equal in all inputs (copied); kept as in the base (on demand); missing from some inputs; mismatched; dropped (MaKA
            projectors).
        holders: which inputs have it, 0 is the base.
        info: dtype and shape in the output, with offsets from 0. Of several dtypes, the narrowest that holds all exactly.
        note: for missing and mismatched tensors, what is wrong; for merged ones of several dtypes, which.
        source: its name in the inputs, where that differs (routed generators).
        coefficients: one per step, where they are not the steps' own (routed generators).
    """

    key: str
    part: str
    status: Status
    holders: tuple[int, ...]
    info: TensorInfo
    note: str = ""
    source: str = ""
    coefficients: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Plan:
    """What a merge will do: the inputs (base first), the steps, and one entry per tensor, in the order of the output."""

    sources: tuple[Source, ...]
    steps: tuple[Step, ...]
    entries: tuple[Entry, ...]
    missing: MissingRule
    method: Method = PROGRESSIVE
    routes: tuple[Route, ...] = ()

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
            raise MergeError(f"{len(wrong)} tensors do not fit together: {_named(wrong)}; the inputs must have one architecture")
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


def make_plan(
    sources: Sequence[Source],
    steps: Sequence[Step],
    *,
    keep_heads: bool = False,
    missing: MissingRule = "refuse",
    skip: Sequence[str] = (),
    method: Method = PROGRESSIVE,
    routes: Sequence[str] = (),
) -> Plan:
    """Decide what happens to every tensor. Reads headers, and bytes only to find out which tensors are equal.

    Args:
        sources: base first, then one per step.
        steps: the chain.
        keep_heads: treat MaKA projectors like every other tensor instead of dropping them.
        missing: what to do with tensors that only some inputs have.
        skip: tensors whose name matches one of these patterns (`*` and `?`) stay as in the base.
        method: how the others are merged.
        routes: steps that keep their own kernel generator, see `routes`.

    Raises:
        MergeError: a pattern matches no tensor, the method is unknown, or a coefficient is outside the chain's [0, 1].
    """
    _check_method(method, steps)
    keys = {key for source in sources for key in source.weights.tensors}
    for pattern in skip:
        if not any(fnmatchcase(key, pattern) for key in keys):
            raise MergeError(f"--skip {pattern} matches no tensor; names look like {min(keys)}")
    with open_files([source.weights for source in sources]) as files:
        entries = [_entry(key, sources, files, keep_heads, skip) for key in keys]
    ways = make_routes(routes, steps)
    if ways:
        entries = [made for entry in entries for made in _routed(entry, ways, len(steps))]
    # Widest items first keeps every tensor aligned in the output; the name makes the order independent of the inputs'.
    entries.sort(key=lambda entry: (_storage_rank(entry.info), entry.key))
    return Plan(tuple(sources), tuple(steps), tuple(entries), missing, method, ways)


def _routed(entry: Entry, routes: Sequence[Route], count: int) -> list[Entry]:
    """The generator of the last step for all images, and for each route one that only its own step has moved."""
    if not entry.key.startswith(GENERATOR_PREFIX) or entry.status not in ("merged", "equal"):
        return [entry]
    made = [replace(entry, coefficients=(0.0,) * (count - 1) + (1.0,))]
    for route in routes:
        alone = tuple(route.coefficient if index == route.step else 0.0 for index in range(count))
        made.append(replace(entry, key=routed_name(entry.key, route), source=entry.key, coefficients=alone))
    return made


def _check_method(method: Method, steps: Sequence[Step]) -> None:
    if method == PROGRESSIVE:
        for step in steps:
            step.check_range()
        return
    from merge_weights.methods import Options, check_method

    for part in PARTS:
        check_method(method.name, [step.coefficient_for(part) for step in steps], Options(method.density, method.seed))


def _storage_rank(info: TensorInfo) -> tuple[int, str]:
    return -ITEM_BYTES[info.dtype], info.dtype


def _entry(key: str, sources: Sequence[Source], files: Sequence[OpenFile], keep_heads: bool, skip: Sequence[str]) -> Entry:
    holders = tuple(index for index, source in enumerate(sources) if key in source.weights.tensors)
    infos = [sources[index].weights.tensors[key] for index in holders]
    status, note = _judge(key, holders, infos, sources, files, keep_heads)
    if holders[0] == 0 and status in ("merged", "mismatched", "missing") and any(fnmatchcase(key, pattern) for pattern in skip):
        status, note, infos = "kept", "", infos[:1]
    dtype = infos[0].dtype if status == "mismatched" else widest([info.dtype for info in infos])
    count = infos[0].nbytes // ITEM_BYTES[infos[0].dtype]
    return Entry(key, part_of(key), status, holders, TensorInfo(dtype, infos[0].shape, 0, count * ITEM_BYTES[dtype]), note)


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
    dtypes = {info.dtype for info in infos}
    averaged = dtypes <= STORAGE.keys()
    if len({info.shape for info in infos}) > 1 or (len(dtypes) > 1 and not averaged):
        kinds = (f"{sources[index].role} {info.dtype} {list(info.shape)}" for index, info in zip(holders, infos, strict=True))
        return "mismatched", ", ".join(kinds)
    everywhere = len(holders) == len(sources)
    if everywhere or not averaged:
        equal = len(dtypes) == 1 and equal_bytes([files[index] for index in holders], infos)
        if not equal and not averaged:
            return "mismatched", f"{infos[0].dtype} values differ and cannot be averaged"
        if everywhere:
            return ("equal" if equal else "merged"), "" if len(dtypes) == 1 else " and ".join(sorted(dtypes))
    return "missing", "only in " + ", ".join(sources[index].role for index in holders)
