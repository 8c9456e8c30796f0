import numpy as np
import pytest
import torch

from geolangbind.data.batch import collate
from geolangbind.data.loader import iterate_all, make_loader
from geolangbind.data.order import MixtureOrder
from geolangbind.data.shards import ShardSet
from geolangbind.errors import DataError, SettingsError


@pytest.fixture
def streams(folder):
    return ShardSet.open(folder).streams


def _order(streams, batch_size=4, seed=5):
    return MixtureOrder([len(stream) for stream in streams], [1.0, 1.0, 2.0], batch_size, seed)


def _same(a, b):
    return a.keys == b.keys and a.sensor == b.sensor and torch.equal(a.image, b.image)


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_do_not_depend_on_workers_and_follow_the_order(streams, workers):
    order = _order(streams)
    batches = list(make_loader(streams, order, start_step=3, stop_step=11, workers=workers))
    assert len(batches) == 8
    for step, batch in enumerate(batches, start=3):
        stream, samples = order.batch(step)
        assert batch.sensor == streams[stream].sensor
        assert batch.keys == tuple(f"s{n:04d}" for n in samples)


def test_resuming_continues_where_the_run_stopped(streams):
    whole = list(make_loader(streams, _order(streams), start_step=0, stop_step=10))
    parts = [b for span in ((0, 4), (4, 10)) for b in make_loader(streams, _order(streams), start_step=span[0], stop_step=span[1])]
    assert all(_same(a, b) for a, b in zip(whole, parts, strict=True))


def test_reading_leaves_the_global_random_state_alone(streams):
    before = torch.get_rng_state()
    list(make_loader(streams, _order(streams), start_step=0, stop_step=2))
    assert torch.equal(torch.get_rng_state(), before)


def test_ranks_take_equal_steps_of_one_sensor_and_share_the_batch(streams):
    order = _order(streams)
    alone = list(make_loader(streams, order, start_step=0, stop_step=9))
    ranks = [list(make_loader(streams, order, start_step=0, stop_step=9, rank=rank, world_size=2)) for rank in range(2)]
    assert [len(batches) for batches in ranks] == [9, 9]
    for one, left, right in zip(alone, *ranks, strict=True):
        assert one.keys == left.keys + right.keys
        assert one.sensor == left.sensor == right.sensor
        assert torch.equal(one.image, torch.cat([left.image, right.image]))


def test_stored_features_come_with_the_batch(streams):
    (stream,) = [stream for stream in streams if stream.modality == "msi"]
    order = MixtureOrder([len(stream)], [1.0], 5, 0)
    (batch,) = make_loader([stream], order, start_step=0, stop_step=1, teachers=["vit"])
    assert batch.features["vit"].shape == (5, 4, 3)
    assert batch.features["vit"][:, 0, 0].tolist() == [int(key[1:]) for key in batch.keys]


@pytest.mark.parametrize("batch_size", [1, 4, 23, 100])
def test_iterate_all_sees_each_sample_once_in_order(streams, batch_size):
    (stream,) = [stream for stream in streams if stream.modality == "msi"]
    batches = list(iterate_all(stream, batch_size))
    assert [key for batch in batches for key in batch.keys] == [f"s{n:04d}" for n in range(23)]
    assert {len(batch) for batch in batches[:-1]} <= {batch_size}


def test_masks_reach_the_batch(streams):
    (stream,) = [stream for stream in streams if stream.modality == "rgb"]
    (batch,) = iterate_all(stream, 10)
    assert batch.masks.unique().tolist() == [3]


@pytest.mark.parametrize("workers", [0, 1])
def test_damage_is_a_one_line_error_also_from_a_worker(folder, streams, workers):
    (stream,) = [stream for stream in streams if stream.modality == "msi"]
    tar = folder / "msi-000001.tar"
    data = bytearray(tar.read_bytes())
    offset = int(stream.shards[1].members["image.npy"][1, 0])
    data[offset : offset + 6] = b"broken"
    tar.write_bytes(data)
    with pytest.raises(DataError, match=r"msi-000001\.tar, key s0006") as caught:
        list(iterate_all(stream, 4, workers=workers))
    assert "\n" not in str(caught.value)


def test_settings_that_do_not_fit_are_refused_at_once(streams):
    order = _order(streams)
    with pytest.raises(SettingsError, match="streams of"):
        make_loader(streams[:2], order, start_step=0, stop_step=1)
    with pytest.raises(SettingsError, match="from step 5 to 4"):
        make_loader(streams, order, start_step=5, stop_step=4)
    with pytest.raises(SettingsError, match="does not divide by 3"):
        make_loader(streams, order, start_step=0, stop_step=1, world_size=3)
    with pytest.raises(SettingsError, match="batch_size"):
        iterate_all(streams[0], 0)


def test_an_empty_span_gives_no_batch(streams):
    assert list(make_loader(streams, _order(streams), start_step=7, stop_step=7)) == []
    assert np.size(_order(streams).batch(7)[1]) == 4


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_that_are_kept_stay_as_they_were(streams, workers):
    order = _order(streams)
    kept = list(make_loader(streams, order, start_step=0, stop_step=12, workers=workers))
    for step, batch in enumerate(kept):
        stream, samples = order.batch(step)
        assert torch.equal(batch.image, collate(streams[stream].read_many(samples)).image)


def test_memory_of_a_batch_that_is_let_go_is_used_again(streams):
    (stream,) = [stream for stream in streams if stream.modality == "msi"]
    assert len({batch.image.data_ptr() for batch in iterate_all(stream, 4)}) <= 3
