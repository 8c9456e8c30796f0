"""One row to train on or to rank, and its JSON object. Importable without torch."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from geolangbind.errors import DataError, GeoLangBindError
from geolangbind.instruct.segments_json import Sequence, canonical, key_of, require_boxes_inside, sequence_from_json, sequence_to_json

_OPTIONAL = {"target_instruction", "negatives", "negative_keys", "target_key", "true", "group"}
"""Fields that a row to train on may have."""


@dataclass(frozen=True, eq=False)
class Row:
    """A query and what it should find.

    Attributes:
        id: name of the row, unique in its source.
        instruction: what the query asks for, in words.
        query: at least one segment.
        target: at least one segment.
        target_instruction: words before the target.
        negatives: targets that are wrong for this query and look right.
        target_key: identity of the target; rows of equal keys are no negatives of each other. By default made of the target.
        true: keys of further targets that are right for this query.
        group: free label, by which figures are shown apart.
        negative_keys: identities of the negatives, one each, in the way of the targets' keys: a negative that answers the query of another
            row is known by its key. By default made of the negatives.

    Raises:
        DataError: an empty part, a box of an image that is not in its sequence, or not one key per negative.
    """

    id: str
    instruction: str
    query: Sequence
    target: Sequence
    target_instruction: str = ""
    negatives: tuple[Sequence, ...] = ()
    target_key: str = ""
    true: frozenset[str] = frozenset()
    group: str = ""
    negative_keys: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _require(self.id, (self.query, self.target, *self.negatives))
        if self.negative_keys and len(self.negative_keys) != len(self.negatives):
            told = f"{len(self.negatives)} negatives, but {len(self.negative_keys)} negative_keys"
            raise DataError(f"row {self.id} has {told}; give one key per negative, or none at all")
        if not self.target_key:
            object.__setattr__(self, "target_key", key_of(self.target))


@dataclass(frozen=True, eq=False)
class RankingRow:
    """A query and candidates to put in order.

    Attributes:
        id: name of the row, unique in its source.
        instruction: what the query asks for, in words.
        query: at least one segment.
        candidates: of at least one segment each.
        relevant: numbers of the candidates that are right, ascending; at least one.
        candidate_instruction: words before each candidate.
        group: free label, by which figures are shown apart.

    Raises:
        DataError: an empty part, a box of an image that is not in its sequence, or an impossible number in `relevant`.
    """

    id: str
    instruction: str
    query: Sequence
    candidates: tuple[Sequence, ...]
    relevant: tuple[int, ...]
    candidate_instruction: str = ""
    group: str = ""

    def __post_init__(self) -> None:
        _require(self.id, (self.query, *self.candidates))
        if list(self.relevant) != sorted(set(self.relevant)) or not self.relevant:
            raise DataError(f"row {self.id}: 'relevant' is at least one number, ascending, each once; got {list(self.relevant)}")
        if not (self.relevant[0] >= 0 and self.relevant[-1] < len(self.candidates)):
            raise DataError(f"row {self.id}: 'relevant' is {list(self.relevant)}, but there are {len(self.candidates)} candidates from 0")


AnyRow = Row | RankingRow


def keys_of_negatives(row: Row, folder: Path | None = None) -> tuple[str, ...]:
    """Identities of a row's negatives; `folder` as in `key_of`."""
    return row.negative_keys or tuple(key_of(negative, folder) for negative in row.negatives)


def with_negatives(row: Row, count: int) -> Row:
    """The row with the first `count` of its negatives at most."""
    return replace(row, negatives=row.negatives[:count], negative_keys=row.negative_keys[:count])


def row_to_json(row: AnyRow, folder: Path | None = None) -> dict[str, Any]:
    """Return the JSON object of a row, without what is empty or follows from the rest; `folder` as in `sequence_to_json`.

    Raises:
        DataError: an image is given as pixels.
    """
    raw: dict[str, Any] = {"id": row.id, "instruction": row.instruction, "query": sequence_to_json(row.query, folder)}
    if isinstance(row, Row):
        raw["target"] = sequence_to_json(row.target, folder)
        raw["target_instruction"] = row.target_instruction
        raw["negatives"] = [sequence_to_json(negative, folder) for negative in row.negatives]
        raw["target_key"] = "" if row.target_key == canonical(raw["target"]) else row.target_key
        raw["negative_keys"] = list(row.negative_keys)
        raw["true"] = sorted(row.true)
    else:
        raw["candidates"] = [sequence_to_json(candidate, folder) for candidate in row.candidates]
        raw["relevant"] = list(row.relevant)
        raw["candidate_instruction"] = row.candidate_instruction
    raw["group"] = row.group
    return {name: value for name, value in raw.items() if value or name == "instruction"}


def row_from_line(line: bytes | str, folder: Path, where: str) -> AnyRow:
    """Read one line: a ranking row if it has `candidates`, else a row to train on.

    Args:
        line: one JSON object.
        folder: where files are named from.
        where: file and line, for messages.

    Raises:
        DataError: not JSON, a field is missing, unknown or of the wrong type; the message begins with `where`.
    """
    try:
        raw = json.loads(line, parse_constant=_refuse_constant)
        if not isinstance(raw, dict):
            raise DataError(f"a row is a JSON object, got {raw!r:.80}")
        return _ranking_row(raw, folder) if "candidates" in raw else _training_row(raw, folder)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: no JSON ({error})") from None
    except GeoLangBindError as error:
        raise DataError(f"{where}: {error}") from None


def _training_row(raw: dict[str, Any], folder: Path) -> Row:
    _require_fields(raw, {"id", "instruction", "query", "target"}, _OPTIONAL)
    target = _sequence(raw["target"], "target", folder)
    return Row(
        id=_text(raw, "id"),
        instruction=_text(raw, "instruction"),
        query=_sequence(raw["query"], "query", folder),
        target=target,
        target_instruction=_text(raw, "target_instruction"),
        negatives=tuple(_sequence(value, "negatives", folder) for value in _list(raw, "negatives")),
        target_key=_text(raw, "target_key") or key_of(target, folder),
        true=frozenset(_list(raw, "true", str)),
        group=_text(raw, "group"),
        negative_keys=tuple(_list(raw, "negative_keys", str)),
    )


def _ranking_row(raw: dict[str, Any], folder: Path) -> RankingRow:
    _require_fields(raw, {"id", "instruction", "query", "candidates", "relevant"}, {"candidate_instruction", "group"})
    return RankingRow(
        id=_text(raw, "id"),
        instruction=_text(raw, "instruction"),
        query=_sequence(raw["query"], "query", folder),
        candidates=tuple(_sequence(value, "candidates", folder) for value in _list(raw, "candidates")),
        relevant=tuple(_list(raw, "relevant", int)),
        candidate_instruction=_text(raw, "candidate_instruction"),
        group=_text(raw, "group"),
    )


def _require(row: str, sequences: tuple[Sequence, ...]) -> None:
    if not row:
        raise DataError("a row needs an id")
    for sequence in sequences:
        if not sequence:
            raise DataError(f"row {row}: query, target, negatives and candidates need at least one segment each")
        require_boxes_inside(sequence)


def _require_fields(raw: dict[str, Any], needed: set[str], allowed: set[str]) -> None:
    if missing := sorted(needed - raw.keys()):
        raise DataError(f"field '{missing[0]}' is missing")
    if unknown := sorted(raw.keys() - needed - allowed):
        raise DataError(f"unknown field '{unknown[0]}'; fields are {', '.join(sorted(needed | allowed))}")


def _sequence(raw: object, name: str, folder: Path) -> Sequence:
    try:
        return sequence_from_json(raw, folder)
    except GeoLangBindError as error:
        raise DataError(f"'{name}': {error}") from None


def _text(raw: dict[str, Any], name: str) -> str:
    value = raw.get(name, "")
    if not isinstance(value, str):
        raise DataError(f"'{name}' is text, got {value!r:.60}")
    return value


def _list(raw: dict[str, Any], name: str, of: type = object) -> list[Any]:
    value = raw.get(name, [])
    if not isinstance(value, list) or not all(isinstance(item, of) and not isinstance(item, bool) for item in value):
        raise DataError(f"'{name}' is a list, got {value!r:.60}")
    return value


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")
