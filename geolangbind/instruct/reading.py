"""Rows to batches: rows are rendered and the latest kept, each step is laid out by its order, whatever the number of reading processes."""

from __future__ import annotations

import hashlib
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from geolangbind.errors import DataError, GeoLangBindError
from geolangbind.instruct.images import Images, key_of_image
from geolangbind.instruct.order import BlockOrder
from geolangbind.instruct.row import Row, keys_of_negatives, with_negatives
from geolangbind.instruct.segments_json import key_of
from geolangbind.interleaved.collate import collate
from geolangbind.interleaved.prompts import Prompt, Prompts, Slot
from geolangbind.interleaved.render import render
from geolangbind.interleaved.segments import Image, Segment
from geolangbind.losses import Truth

_LONGER, _AND_MORE = 1.3, 8  # sequences go together as long as the longest is at most so many times the shortest and so many tokens more
_KEPT = 100_000  # rendered rows of a reading process


@dataclass(frozen=True)
class Written:
    """A rendered sequence and its images in reading order; equal ones are encoded once."""

    prompt: Prompt
    images: tuple[Image, ...]
    image_keys: tuple[Any, ...]

    def __hash__(self) -> int:
        return hash((self.prompt.ids, self.image_keys))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Written) and (self.prompt, self.image_keys) == (other.prompt, other.image_keys)


@dataclass(frozen=True, eq=False)
class WrittenRow:
    """A row ready to be batched.

    Attributes:
        id: of the row, with its source.
        query: rendered.
        target: rendered.
        negatives: rendered, those that are used.
        key: number that stands for the target's key.
        negative_keys: one per negative.
        also: numbers of everything else that is right for the query.
    """

    id: str
    query: Written
    target: Written
    negatives: tuple[Written, ...]
    key: int
    negative_keys: tuple[int, ...]
    also: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class InstructBatch:
    """One process's part of a step: b rows, whose distinct sequences are encoded part by part.

    Attributes:
        parts: the sequences, of alike length within a part.
        query: (b,) int64, place of each row's query among the sequences of all parts.
        target: (b,) the same of its target.
        negatives: (b, H) the same of its hard negatives; -1 where there is none.
        negative_keys: (b, H) int64.
        truth: what is right.
        keys: ids of the rows.
        sources: names of the sources that the step is of, on all processes.
    """

    parts: tuple[Prompts, ...]
    query: Tensor
    target: Tensor
    negatives: Tensor
    negative_keys: Tensor
    truth: Truth
    keys: tuple[str, ...]
    sources: tuple[str, ...]
    skipped: tuple[object, ...] = ()

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def origin(self) -> dict[str, str]:
        """Sources, for logs."""
        return {"sources": self.described}

    @property
    def described(self) -> str:
        """Sources, for messages."""
        return ", ".join(self.sources)

    def to(self, device: torch.device) -> InstructBatch:
        """Return the batch with its tensors on `device`."""
        moved = {name: getattr(self, name).to(device) for name in ("query", "target", "negatives", "negative_keys")}
        truth = Truth(*(part.to(device) for part in (self.truth.keys, self.truth.also, self.truth.block)))
        return replace(self, parts=tuple(part.to(device) for part in self.parts), truth=truth, **moved)


class Reader:
    """Renders rows and lays them out.

    Args:
        images: of the pairs; their encoder says how sequences are written.
        hard_negatives: H, most of a row's own that are used.
        memory_chunk: most sequences of a part; 0 for as many as are alike.
    """

    def __init__(self, images: Images, hard_negatives: int = 0, memory_chunk: int = 0) -> None:
        self.images, self.hard_negatives, self.memory_chunk = images, hard_negatives, memory_chunk
        self._rows: OrderedDict[tuple[str, int], WrittenRow] = OrderedDict()  # the one used last at the end

    def rows(self, source: str, numbers: Sequence[int] | NDArray[np.int64]) -> list[WrittenRow]:
        """Rows of a source, rendered; those used last are kept.

        Raises:
            DataError: a row or one of its images cannot be read, or a sequence is too long; the message names the row.
        """
        wanted = [(source, int(number)) for number in numbers]
        new = sorted({number for _, number in wanted if (source, number) not in self._rows})
        for number, row in zip(new, self.images.pairs.read(source, new) if new else (), strict=True):
            self._rows[source, number] = self._write_row(source, with_negatives(row, self.hard_negatives))
        for key in wanted:
            self._rows.move_to_end(key)
        found = [self._rows[key] for key in wanted]
        while len(self._rows) > _KEPT:
            self._rows.popitem(last=False)
        return found

    def batch(self, rows: Sequence[WrittenRow], blocks: Sequence[int], sources: Sequence[str]) -> InstructBatch:
        """Lay rows out as a batch; `blocks` has the block of each row."""
        count = self.hard_negatives
        sequences = [row.query for row in rows] + [row.target for row in rows] + [own for row in rows for own in row.negatives]
        parts, place = self.layout(sequences)
        padded = [([place[own] for own in row.negatives] + [-1] * count)[:count] for row in rows]
        keys = [([*row.negative_keys] + [0] * count)[:count] for row in rows]
        width = max(len(row.also) for row in rows)
        also = [(*row.also, *(row.key,) * (width - len(row.also))) for row in rows]
        return InstructBatch(
            parts=parts,
            query=torch.tensor([place[row.query] for row in rows]),
            target=torch.tensor([place[row.target] for row in rows]),
            negatives=torch.tensor(padded, dtype=torch.int64),
            negative_keys=torch.tensor(keys, dtype=torch.int64),
            truth=Truth(torch.tensor([row.key for row in rows]), torch.tensor(also, dtype=torch.int64), torch.tensor(blocks)),
            keys=tuple(row.id for row in rows),
            sources=tuple(dict.fromkeys(sources)),
        )

    def layout(self, sequences: Sequence[Written]) -> tuple[tuple[Prompts, ...], dict[Written, int]]:
        """Distinct sequences in parts, and the place of each in all parts laid end to end.

        A part's sequences are of alike length; those that begin with an image that others begin with too have parts of their own, for the
        model runs such a beginning once (see `models.interleaved.shared_beginnings`).
        """
        unique = dict.fromkeys(sequences)
        openings = {written: _opening(written) for written in unique}
        often = Counter(openings.values())
        spans = {written: opening.span if opening and often[opening] > 1 else (0, 0) for written, opening in openings.items()}
        distinct = sorted(unique, key=lambda written: (spans[written], len(written.prompt.ids)))
        cuts, first = [0], distinct[0]
        for number, written in enumerate(distinct):
            full = 0 < self.memory_chunk <= number - cuts[-1]
            longer = len(written.prompt.ids) > _LONGER * len(first.prompt.ids) + _AND_MORE
            if full or longer or spans[written] != spans[first]:
                cuts.append(number)
                first = written
        refs = self.images.refs(image for written in distinct for image in written.images)
        parts = []
        for begin, end in zip(cuts, [*cuts[1:], len(distinct)], strict=True):
            members = distinct[begin:end]
            shown = [[refs[key] for key in written.image_keys] for written in members]
            parts.append(collate([written.prompt for written in members], shown, self.images.encoder.vocabulary.pad))
        return tuple(parts), {written: number for number, written in enumerate(distinct)}

    def _write_row(self, source: str, row: Row) -> WrittenRow:
        folder = self.images.pairs.folder
        try:
            target_key, own = number_of(row.target_key), number_of(key_of(row.target, folder))
            return WrittenRow(
                id=f"{source}/{row.id}",
                query=self.write(row.query, row.instruction),
                target=self.write(row.target, row.target_instruction),
                negatives=tuple(self.write(segments, row.target_instruction) for segments in row.negatives),
                key=target_key,
                negative_keys=tuple(map(number_of, keys_of_negatives(row, folder))),
                also=tuple(sorted({own, *map(number_of, row.true)} - {target_key})),
            )
        except GeoLangBindError as error:
            raise DataError(f"{folder}, source '{source}', row {row.id}: {error}") from None

    def write(self, segments: Sequence[Segment], instruction: str) -> Written:
        """Render one sequence."""
        images = tuple(segment for segment in segments if isinstance(segment, Image))
        facts = [self.images.facts(image) for image in images]
        encoder = self.images.encoder
        prompt = render(segments, facts, encoder.grid_of, encoder.vocabulary, encoder.rendering, instruction)
        return Written(prompt, images, tuple(map(key_of_image, images)))


class _Opening(NamedTuple):
    """How a sequence begins: where its first image stands, the ids up to its end, and which image it is."""

    span: tuple[int, int]
    ids: tuple[int, ...]
    image: Any


def _opening(written: Written) -> _Opening | None:
    prompt = written.prompt
    if not prompt.grids:
        return None
    start, (rows, columns) = prompt.slots.index(Slot.IMAGE), prompt.grids[0]
    end = start + rows * columns + 1
    return _Opening((start, end), prompt.ids[:end], written.image_keys[0])


def number_of(key: str) -> int:
    """A 63-bit number that stands for a key: what processes exchange."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big") >> 1


@dataclass(frozen=True)
class Chosen:
    """A source of the run: its name, which of its rows, its share of the blocks, and how many rows that follow one another make a draw."""

    name: str
    rows: NDArray[np.int64]
    weight: float
    together: int = 1


@dataclass(frozen=True)
class _Steps(Dataset["InstructBatch | GeoLangBindError"]):
    """Item n is the batch of step n."""

    reader: Reader
    sources: Sequence[Chosen]
    order: BlockOrder
    rank: int
    world_size: int

    def __getitem__(self, step: int) -> InstructBatch | GeoLangBindError:
        try:
            rows, blocks = list[WrittenRow](), list[int]()
            for taken in self.order.batch(step, self.rank, self.world_size):
                source = self.sources[taken.source]
                rows += self.reader.rows(source.name, source.rows[taken.rows])
                blocks += [taken.block] * len(taken.rows)
            return self.reader.batch(rows, blocks, [self.sources[taken.source].name for taken in self.order.batch(step)])
        except GeoLangBindError as error:
            return error  # raised in the main process: a worker would bury the one-line message under its traceback


def batches(
    reader: Reader, sources: Sequence[Chosen], order: BlockOrder, steps: range, *, rank: int = 0, world_size: int = 1, workers: int = 0
) -> Iterator[InstructBatch]:
    """Yield this rank's part of the batches of `steps`, the same ones whatever `workers` is.

    Raises:
        DataError: a row cannot be used.
        SettingsError: the batch does not divide by `world_size`.
    """
    order.batch(steps.start, rank, world_size)  # a wrong size fails here, not in a worker
    found = _Steps(reader, sources, order, rank, world_size)
    # a generator of its own: else the loader would draw from torch's global one, and a resumed run would differ from an unbroken one
    for item in DataLoader(found, batch_size=None, sampler=steps, num_workers=workers, generator=torch.Generator()):
        if isinstance(item, GeoLangBindError):
            raise item
        yield item
