import io
import tarfile

import numpy as np
import pytest

from geolangbind.data.faults import Faults
from geolangbind.data.shards import ShardSet
from geolangbind.data.stream import stream_tars
from geolangbind.errors import DataError


def _paths(folder, kind):
    return [str(path) for path in sorted(folder.glob(f"{kind}-00000?.tar"))]


def test_tars_stream_without_an_index(folder):
    expected = {stream.modality: stream for stream in ShardSet.open(folder).streams}
    (folder / "index.json").unlink()
    for kind in ("rgb", "msi"):
        streamed = list(stream_tars(_paths(folder, kind)))
        indexed = expected[kind].read_many(range(len(expected[kind])))
        for a, b in zip(streamed, indexed, strict=True):
            assert (a.key, a.meta, a.encoding) == (b.key, b.meta, b.encoding)
            np.testing.assert_array_equal(a.image, b.image)
            assert (a.mask is None) == (b.mask is None)


def test_shuffle_keeps_all_and_follows_the_seed(folder):
    rows = [[sample.key for sample in stream_tars(_paths(folder, "msi"), shuffle=10, seed=seed)] for seed in (1, 1, 2)]
    assert sorted(rows[0]) == [f"s{n:04d}" for n in range(23)]
    assert rows[0] == rows[1] != rows[2]


def test_no_shell_command_is_run(tmp_path):
    mark = tmp_path / "mark"
    with pytest.raises(DataError, match="'pipe:' is not supported"):
        list(stream_tars([f"pipe:touch {mark}"]))
    assert not mark.exists()


def test_addresses_are_read_without_a_shell(folder, monkeypatch):
    import geolangbind.data.stream as module

    asked = []

    def urlopen(url):
        asked.append(url)
        return io.BytesIO((folder / "sar-000001.tar").read_bytes())

    monkeypatch.setattr(module, "urlopen", urlopen)
    assert [sample.key for sample in stream_tars(["https://example.org/a;b.tar"])] == ["s0005", "s0006"]
    assert asked == ["https://example.org/a;b.tar"]


def test_missing_cut_off_and_foreign_tars_are_named(folder, tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.tar"):
        list(stream_tars([str(tmp_path / "nowhere.tar")]))
    path = folder / "msi-000000.tar"
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(DataError, match=r"msi-000000\.tar"):
        list(stream_tars([str(path)]))
    foreign = tmp_path / "foreign.tar"
    with tarfile.open(foreign, "w") as tar:
        item = tarfile.TarInfo("a.txt")
        item.size = 2
        tar.addfile(item, io.BytesIO(b"hi"))
    with pytest.raises(DataError, match=r"foreign\.tar, key a: needs an image"):
        list(stream_tars([str(foreign)]))


def test_damage_is_left_out_and_counted_on_demand(folder):
    """A header of s0001, the json of s0003 and the end of the tar are damaged; all others come back as the index reads them."""
    path = folder / "msi-000000.tar"
    (stream,) = ShardSet.open(folder).select(modalities=["msi"])
    expected = {key: stream.read(number) for number, key in enumerate(("s0000", "s0001", "s0002", "s0003", "s0004"))}
    members = stream.shards[0].members
    data = bytearray(path.read_bytes())
    data[int(members["image.npy"][1, 0]) - 500] ^= 1
    offset, size, _ = members["json"][3].tolist()
    data[offset : offset + size] = b"\xe9" * size
    path.write_bytes(data[: int(members["json"][4, 0]) + 512])
    faults = Faults("skip")
    found = list(stream_tars([str(folder / "nowhere.tar"), str(path)], faults=faults))
    assert [sample.key for sample in found] == ["s0000", "s0002", "s0004"]
    for sample in found:
        np.testing.assert_array_equal(sample.image, expected[sample.key].image)
        assert sample.meta == expected[sample.key].meta
    assert [(problem.shard.rsplit("/", 1)[-1], problem.key) for problem in faults.found] == [
        ("nowhere.tar", None), ("msi-000000.tar", None), ("msi-000000.tar", "s0001"), ("msi-000000.tar", "s0003"), ("msi-000000.tar", None)
    ]  # fmt: skip
    with pytest.raises(DataError, match=r"msi-000000\.tar: the tar header at byte \d+ is damaged"):
        list(stream_tars([str(path)]))
    with pytest.raises(DataError, match="more than 2 bad samples"):
        list(stream_tars([str(path)], faults=Faults("skip", most=2)))
