"""Batches: the same for any number of reading processes and ranks, pure in their blocks, with hard negatives and known truth."""

from dataclasses import replace

import pytest
import torch

from geolangbind.errors import DataError
from geolangbind.instruct import reading
from geolangbind.instruct.order import BlockOrder
from geolangbind.instruct.reading import Chosen, batches, number_of
from geolangbind.instruct.row import Row
from geolangbind.instruct.rows import Pairs, StoredImage, write_pairs
from geolangbind.instruct.run import choose_sources
from geolangbind.interleaved.segments import Image, Text


@pytest.fixture
def stepped(settings_for, reader_for):
    """`stepped(rank=0, world_size=1, workers=0)`: three batches of 8 rows in blocks of 4."""
    settings = settings_for()
    reader = reader_for(settings)
    sources = choose_sources(reader.images.pairs, {}, 1.0)
    order = BlockOrder([len(source.rows) for source in sources], [source.weight for source in sources], 8, 4, 0)

    def go(**how):
        return list(batches(reader, sources, order, range(3), **how))

    return go


def same(one, other):
    tensors = [(getattr(one, name), getattr(other, name)) for name in ("query", "target", "negatives", "negative_keys")]
    tensors += [
        (mine, theirs) for a, b in zip(one.parts, other.parts, strict=True) for mine, theirs in ((a.ids, b.ids), (a.slots, b.slots))
    ]
    tensors += [(a.groups[0].pixels, b.groups[0].pixels) for a, b in zip(one.parts, other.parts, strict=True) if a.groups]
    return one.keys == other.keys and all(torch.equal(mine, theirs) for mine, theirs in tensors)


@pytest.mark.filterwarnings("ignore:This DataLoader will create 8 worker processes")
def test_reading_processes_and_ranks_change_nothing(stepped):
    alone = stepped()
    for workers in (2, 8):
        assert all(same(one, other) for one, other in zip(alone, stepped(workers=workers), strict=True))
    halves = [stepped(rank=rank, world_size=2) for rank in (0, 1)]
    for whole, first, second in zip(alone, *halves, strict=True):
        assert whole.keys == first.keys + second.keys and len(whole) == 8
        assert whole.truth.block.tolist() == [0] * 4 + [1] * 4 == first.truth.block.tolist() + second.truth.block.tolist()
        assert torch.equal(whole.truth.keys, torch.cat([first.truth.keys, second.truth.keys]))


def test_blocks_are_pure(stepped):
    for batch in stepped():
        names = [key.split("/")[0] for key in batch.keys]
        assert len({*names[:4]}) == len({*names[4:]}) == 1 and set(batch.sources) == {*names}
        assert batch.origin == {"sources": batch.described} and batch.described == ", ".join(batch.sources)


def test_equal_sequences_are_encoded_once_and_stand_where_they_are_used(stepped, settings_for, reader_for):
    (batch, *_) = stepped()
    count = sum(len(part.ids) for part in batch.parts)
    assert sorted({*batch.query.tolist(), *batch.target.tolist()} - {-1}) == list(range(count))[:count]
    twice = reader_for(settings_for())
    row = twice.rows("labels", [0, 0])
    assert row[0] is row[1]
    doubled = twice.batch(row, [0, 0], ["labels"])
    assert doubled.query[0] == doubled.query[1] and sum(len(part.ids) for part in doubled.parts) == 2


def test_parts_hold_as_many_as_fit_in_memory_and_are_of_alike_length(settings_for, reader_for):
    reader = reader_for(settings_for(memory_chunk=3))
    batch = reader.batch(reader.rows("captions", range(8)), [0] * 8, ["captions"])
    assert all(len(part.ids) <= 3 for part in batch.parts)
    for part in batch.parts:
        lengths = part.mask.sum(1)
        assert lengths.max() <= 1.3 * lengths.min() + 8


def test_negatives_and_what_else_is_right_come_from_the_row(tmp_path, pairs_folder, settings_for, reader_for):
    shards = Pairs.open(pairs_folder).images["planet"]
    key = Pairs.open(pairs_folder).shard_sets["planet"].streams[0].shards[0].keys[0]
    image = Image(StoredImage("planet", key))
    rows = [
        Row("a", "Name it.", (image,), (Text("a field"),), negatives=((Text("a lake"),), (Text("a road"),)), true=frozenset({"k"})),
        Row("b", "Name it.", (image,), (Text("a wood"),), target_key="k"),
        Row("c", "Name it.", (image,), (Text("a pit"),), negatives=((Text("some trees"),),), negative_keys=("k",)),
    ]
    pairs = write_pairs(tmp_path / "own", {"planet": shards}, {"own": (rows, {})})
    reader = reader_for(settings_for(hard_negatives=2))
    reader.images.pairs = pairs
    batch = reader.batch(reader.rows("own", [0, 1, 2]), [0, 0, 0], ["own"])
    field, lake, road, wood = (number_of(f'["{words}"]') for words in ("a field", "a lake", "a road", "a wood"))
    assert batch.truth.keys.tolist()[:2] == [field, number_of("k")]
    assert batch.negative_keys.tolist() == [[lake, road], [0, 0], [number_of("k"), 0]]
    assert batch.negatives[1].tolist() == [-1, -1] and len({*batch.negatives[0].tolist(), *batch.target.tolist()}) == 5
    assert {*batch.truth.also[0].tolist()} == {number_of("k")} and wood in batch.truth.also[1].tolist()
    assert len(reader_for(settings_for(hard_negatives=0)).rows("labels", [0])) == 1


def test_only_negatives_that_are_used_are_rendered(tmp_path, settings_for, reader_for):
    rows = [
        Row("a", "", (Text("q"),), (Text("t"),), negatives=tuple((Text(f"wrong {n}"),) for n in range(7)), negative_keys=tuple("abcdefg"))
    ]
    pairs = write_pairs(tmp_path / "own", {}, {"own": (rows, {})})
    for count in (0, 2):
        reader = reader_for(settings_for(hard_negatives=count))
        reader.images.pairs = pairs
        (row,) = reader.rows("own", [0])
        assert [negative.prompt.text for negative in row.negatives] == ["wrong 0", "wrong 1"][:count]
        assert row.negative_keys == (number_of("a"), number_of("b"))[:count]


def test_the_rows_used_last_are_kept(settings_for, reader_for, monkeypatch):
    monkeypatch.setattr(reading, "_KEPT", 3)
    reader = reader_for(settings_for())
    first = reader.rows("captions", range(3))
    again = reader.rows("captions", [0, 3, 0])  # row 1 makes room
    assert again[0] is first[0] is again[2]
    assert reader.rows("captions", [2])[0] is first[2] and reader.rows("captions", [1])[0] is not first[1]
    many = reader.rows("captions", range(8))  # more than are kept
    assert [row.id for row in many] == [row.id for row in reader_for(settings_for()).rows("captions", range(8))]
    assert reader.rows("captions", [5, 6, 7]) == many[5:]


def test_a_row_that_cannot_be_written_is_named(settings_for, reader_for):
    settings = settings_for(rendering={"max_length": 10})
    with pytest.raises(DataError, match=r"pairs, source 'captions', row .*: the sequence takes \d+ tokens"):
        reader_for(settings).rows("captions", [1])
    reader = reader_for(settings)
    chosen = (Chosen("captions", torch.arange(4).numpy(), 1.0),)
    with pytest.raises(DataError, match="source 'captions'"):
        list(batches(reader, chosen, BlockOrder([4], [1], 4, 4, 0), range(1)))


def test_all_tensors_go_to_the_device(stepped):
    (batch, *_) = stepped()
    there = batch.to(torch.device("meta"))
    assert there.query.device.type == there.truth.also.device.type == there.parts[-1].ids.device.type == "meta"
    assert replace(there, query=batch.query).keys == batch.keys
