"""Bad samples in training: replaced by the next good one, counted, capped, alike for all processes and workers."""

import numpy as np
import pytest
import torch

from geolangbind.data.faults import Faults, Problem
from geolangbind.data.loader import iterate_all, make_loader
from geolangbind.data.order import MixtureOrder
from geolangbind.data.places import Places
from geolangbind.data.replace import read_batch
from geolangbind.data.shards import ShardSet
from geolangbind.data.write import ShardWriter
from geolangbind.errors import DataError


@pytest.fixture
def spoil(folder):
    """`spoil(kind, number)`: break the image of a sample where it lies."""

    def go(kind, *numbers):
        (stream,) = ShardSet.open(folder).select(modalities=[kind])
        for number in numbers:
            (shard,), (place,) = stream.locate([number])
            record = stream.shards[shard]
            path = folder / record.file
            data = bytearray(path.read_bytes())
            offset, size, _ = next(iter(record.members.values()))[place].tolist()
            data[offset : offset + size] = b"\0" * size
            path.write_bytes(data)
        return stream

    return go


def keys(*numbers):
    return tuple(f"s{number:04d}" for number in numbers)


def test_the_next_good_sample_stands_in_and_features_come_with_it(spoil):
    stream = spoil("msi", 4, 5, 22)
    batch, rows = read_batch(stream, [3, 4, 22, 4], ["vit"], max_skipped=3)
    assert batch.keys == keys(3, 6, 0, 6) and rows == (1, 2, 3)  # 22 is the last: the first follows
    assert batch.features["vit"][:, 0, 0].tolist() == [3, 6, 0, 6]
    assert [(problem.shard, problem.key) for problem in batch.skipped] == [
        ("msi-000000.tar", "s0004"), ("msi-000001.tar", "s0005"), ("msi-000004.tar", "s0022")
    ]  # fmt: skip
    assert "cannot be decoded" in batch.skipped[0].what and str(batch.skipped[0]).count("s0004") == 1
    assert read_batch(stream, [0, 1])[0].skipped == ()


def test_too_many_and_none_good_are_errors_that_name_the_first(spoil):
    stream = spoil("sar", 1, 2, 3)
    with pytest.raises(DataError, match=r"sar-000000\.tar, key s0001"):
        read_batch(stream, [0, 1])
    with pytest.raises(
        DataError, match=r"more than 2 bad samples \(max_skipped=2\). The first: sar-000000\.tar, key s0001: .*s0002.*s0003"
    ):
        read_batch(stream, [0, 1], max_skipped=2)
    stream = spoil("sar", *range(7))
    with pytest.raises(DataError, match=r"The first: sar-000000\.tar, key s0000"):
        read_batch(stream, [0], max_skipped=100)


def test_nan_is_found_by_key_and_shard(tmp_path, make_sample):
    with ShardWriter(tmp_path / "x") as writer:
        for number in range(4):
            image = np.full((2, 6, 8), -9.0, np.float32)
            image[0, 0, 0] = np.nan if number == 2 else -8
            writer.write(make_sample(number, "sar", image=image))
    (stream,) = ShardSet.open(tmp_path / "x").streams
    with pytest.raises(DataError, match=r"^shard-000000\.tar, key s0002: .*NaN or infinite"):
        list(iterate_all(stream, 4))
    (batch,) = iterate_all(stream, 4, max_skipped=1)
    assert batch.keys == keys(0, 1, 3, 3) and bool(torch.isfinite(batch.image).all())


@pytest.mark.filterwarnings("ignore:This DataLoader will create 4 worker processes")
def test_workers_and_ranks_see_the_same_batches_of_equal_size(folder, spoil):
    spoil("msi", 2, 3, 9, 17)
    spoil("sar", 6)
    streams = ShardSet.open(folder).streams
    order = MixtureOrder([len(stream) for stream in streams], [1.0, 1.0, 2.0], 4, seed=5)
    told = {"start_step": 0, "stop_step": 24, "max_skipped": 5}
    plain, *others = (list(make_loader(streams, order, workers=workers, **told)) for workers in (0, 2, 4))
    for batches in others:
        for a, b in zip(plain, batches, strict=True):
            assert (a.keys, a.skipped) == (b.keys, b.skipped) and torch.equal(a.image, b.image)
    ranks = [list(make_loader(streams, order, rank=rank, world_size=2, **told)) for rank in range(2)]
    for whole, left, right in zip(plain, *ranks, strict=True):
        assert whole.keys == left.keys + right.keys and len(left) == len(right) == 2
    found = {problem for batch in plain for problem in batch.skipped}
    assert {(problem.shard[:3], problem.key) for problem in found} == {("msi", key) for key in keys(2, 3, 9, 17)} | {("sar", "s0006")}
    # the cap is over the whole run, not per batch
    with pytest.raises(DataError, match="more than 4 bad samples"):
        list(make_loader(streams, order, **{**told, "max_skipped": 4}))


def test_a_stand_in_is_no_partner_of_another_place(tmp_path, make_sample):
    with ShardWriter(tmp_path / "x") as writer:
        for number in range(6):
            for kind in ("sar", "msi"):
                writer.write(make_sample(number, kind, key=f"{kind}-{number}"), kind)
    for kind, key in (("msi", 1), ("sar", 4)):
        (stream,) = ShardSet.open(tmp_path / "x").select(modalities=[kind])
        path = tmp_path / "x" / stream.shards[0].file
        data = bytearray(path.read_bytes())
        offset, size, _ = stream.shards[0].members["image.npy"][key].tolist()
        data[offset : offset + size] = b"\0" * size
        path.write_bytes(data)
    shards = ShardSet.open(tmp_path / "x")
    streams = (*shards.select(modalities=["msi"]), *shards.select(modalities=["sar"]))
    places = Places(streams, [False, True], 1.0, 0)
    order = MixtureOrder([6], [1.0], 6, 0)
    (batch,) = make_loader(streams[:1], order, start_step=0, stop_step=1, places=places, max_skipped=2)
    assert len(batch) == len(batch.partner) == 6 and len(batch.partner_rows) == 4
    own = [batch.keys[row].split("-")[1] for row in batch.partner_rows]
    assert own == [key.split("-")[1] for key in batch.partner.keys[:4]] and not {"1", "4"} & set(own)
    assert {problem.key for problem in batch.skipped} == {"msi-1", "sar-4"}


def test_faults_raise_or_count_up_to_a_cap():
    first, second = Problem("a.tar", "k", "is odd; mend it"), Problem("b.tar", None, "is cut off")
    with pytest.raises(DataError, match=r"^a\.tar, key k: is odd; mend it$"):
        Faults().note(first)
    faults = Faults("skip", most=1)
    faults.note(first)
    with pytest.raises(DataError, match=r"more than 1 bad samples .*a\.tar, key k: is odd; mend it; b\.tar: is cut off\. Mend"):
        faults.note(second)


def test_a_cut_off_shard_costs_its_own_samples_only(folder):
    path = folder / "msi-000004.tar"
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(DataError, match="cut off or changed"):
        ShardSet.open(folder)
    (stream,) = ShardSet.open(folder, on_error="skip").select(modalities=["msi"])
    batches = list(iterate_all(stream, 23, max_skipped=3))
    assert batches[0].keys[:20] == keys(*range(20)) and {problem.shard for problem in batches[0].skipped} == {"msi-000004.tar"}
