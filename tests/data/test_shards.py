import multiprocessing
import os
import pickle

import numpy as np
import pytest

from geolangbind.data.buffers import Buffers
from geolangbind.data.shards import ShardSet
from geolangbind.errors import DataError


def test_streams_group_what_can_share_a_batch(folder):
    shards = ShardSet.open(folder)
    assert {stream.modality: (len(stream), stream.shape, stream.sensor) for stream in shards.streams} == {
        "rgb": (10, (3, 6, 8), "aerial-rgb"),
        "sar": (7, (2, 6, 8), "sentinel-1-grd"),
        "msi": (23, (4, 6, 8), "sentinel-2-l2a"),
    }
    assert len(shards) == 40


def test_reading_gives_back_what_was_written_in_the_order_asked(folder, make_sample):
    for stream in ShardSet.open(folder).streams:
        asked = np.random.default_rng(0).permutation(len(stream))
        extra = {"mask": np.full((6, 8), 3, np.uint8), "encoding": "png"} if stream.modality == "rgb" else {}
        for number, sample in zip(asked, stream.read_many(asked), strict=True):
            expected = make_sample(int(number), stream.modality, **extra)
            assert (sample.key, sample.meta, sample.encoding) == (expected.key, expected.meta, expected.encoding)
            assert sample.image.dtype == expected.image.dtype
            np.testing.assert_array_equal(sample.image, expected.image)
            if extra:
                np.testing.assert_array_equal(sample.mask, expected.mask)


def test_a_sample_may_be_asked_twice_and_none_is_fine(folder):
    stream = ShardSet.open(folder).streams[0]
    assert [sample.key for sample in stream.read_many([4, 4, 9])] == ["s0004", "s0004", "s0009"]
    assert stream.read_many([]) == []


def test_out_of_range_is_refused(folder):
    stream = ShardSet.open(folder).streams[0]
    for index in (-1, len(stream)):
        with pytest.raises(DataError, match="asked of a stream of"):
            stream.read(index)


def test_select_by_modality_and_sensor(folder):
    shards = ShardSet.open(folder)
    assert [stream.modality for stream in shards.select(modalities=["sar", "rgb"])] == ["rgb", "sar"]
    assert [stream.modality for stream in shards.select(sensors=["sentinel-2-l2a"])] == ["msi"]
    assert len(shards.select()) == 3
    with pytest.raises(DataError, match=r"holds .*sar \(sentinel-1-grd\)"):
        shards.select(modalities=["dem"])


def _key(stream, index, queue):
    queue.put(stream.read(index).key)


@pytest.mark.parametrize("method", ["fork"])
def test_streams_work_in_other_processes(folder, method):
    stream = ShardSet.open(folder).streams[0]
    stream.read(0)
    context = multiprocessing.get_context(method)
    queue = context.SimpleQueue()
    process = context.Process(target=_key, args=(stream, 3, queue))
    process.start()
    assert queue.get() == stream.read(3).key
    process.join()


def test_streams_travel_by_pickle(folder):
    stream = ShardSet.open(folder).streams[0]
    assert pickle.loads(pickle.dumps(stream)).read(3).key == stream.read(3).key  # noqa: S301 - our own bytes


def test_missing_and_cut_off_tars_are_found_at_opening(folder):
    tar = folder / "msi-000000.tar"
    whole = tar.read_bytes()
    tar.write_bytes(whole[:-1])
    with pytest.raises(DataError, match=r"msi-000000\.tar has \d+ bytes, the index says"):
        ShardSet.open(folder)
    tar.unlink()
    with pytest.raises(DataError, match=r"msi-000000\.tar is listed in the index but missing"):
        ShardSet.open(folder)


def test_damage_while_reading_names_shard_and_key(folder):
    stream = next(stream for stream in ShardSet.open(folder).streams if stream.modality == "msi")
    tar, record = folder / "msi-000000.tar", stream.shards[0]
    data = bytearray(tar.read_bytes())
    offset = int(record.members["image.npy"][2, 0])
    data[offset : offset + 6] = b"broken"
    tar.write_bytes(data)
    with pytest.raises(DataError, match=r"msi-000000\.tar, key s0002: npy image cannot be decoded.*verify"):
        stream.read_many([1, 2, 3])
    tar.write_bytes(data[:offset])
    with pytest.raises(DataError, match="key s0002: ends at byte"):
        stream.read_many([1, 2, 3])
    tar.unlink()
    with pytest.raises(DataError, match="No such file"):
        stream.read(0)


def test_json_that_differs_from_the_index_is_refused(folder):
    stream = next(stream for stream in ShardSet.open(folder).streams if stream.modality == "msi")
    tar = folder / "msi-000000.tar"
    tar.write_bytes(tar.read_bytes().replace(b'"scale": 0.0001', b'"scale": 0.0002'))
    with pytest.raises(DataError, match=r"differ in scale: 0\.0002 and 0\.0001"):
        stream.read(0)


def test_reading_into_reused_memory_gives_the_same_samples(folder):
    buffers = Buffers()
    for stream in ShardSet.open(folder).streams:
        for asked in ([3, 0, 6, 6], [1, 5]):
            for mine, theirs in zip(stream.read_many(asked, buffers=buffers), stream.read_many(asked), strict=True):
                assert (mine.key, mine.meta) == (theirs.key, theirs.meta)
                np.testing.assert_array_equal(mine.image, theirs.image)
                assert not mine.image.flags.writeable or stream.modality == "rgb"  # png is decoded anew


def test_a_tar_cut_while_it_is_read_is_the_same_error_with_reused_memory(folder):
    stream = next(stream for stream in ShardSet.open(folder).streams if stream.modality == "msi")
    tar, buffers = folder / "msi-000000.tar", Buffers()
    stream.read_many([1, 2, 3], buffers=buffers)
    offset, size, _ = stream.shards[0].members["image.npy"][2].tolist()
    os.truncate(tar, offset + size // 2)
    with pytest.raises(
        DataError, match=rf"msi-000000\.tar, key s0002: ends at byte {offset + size // 2}, {size - size // 2} bytes too early"
    ):
        stream.read_many([1, 2, 3], buffers=buffers)
