import pickle
import re
import socket
import sys
import threading
import zlib
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import fsspec
import numpy as np
import pytest
import torch

from geolangbind.data.block_cache import BLOCK_BYTES, BlockCache
from geolangbind.data.loader import iterate_all, make_loader
from geolangbind.data.order import MixtureOrder
from geolangbind.data.remote import RemoteFolder, Span, is_remote
from geolangbind.data.requests import Retry
from geolangbind.data.shards import ShardSet, open_folder
from geolangbind.data.verify import verify
from geolangbind.errors import DataError

LIMIT = 10**8


class _Server:
    """Serves a folder on loopback; `answers` says how to treat requests for a file name, first come first."""

    def __init__(self, folder):
        self.asked, self.sent, self.answers = [], 0, {}
        self.lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                name = self.path.partition("?")[0].rpartition("/")[2]
                with outer.lock:
                    outer.asked.append((name, self.headers["Range"], self.path))
                    how = outer.answers[name].pop(0) if outer.answers.get(name) else None
                if how == "drop":
                    self.close_connection = True
                    return
                file = folder / name
                if isinstance(how, int) or not file.is_file():
                    return self._answer(how or 404, b"no")
                data, status = file.read_bytes(), 200
                if self.headers["Range"] and how != "whole":
                    start, stop = map(int, re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"]).groups())
                    data, status = data[start : stop + 1], 206
                if how == "wrong":
                    data = bytes(len(data))
                if how == "cut":  # the header promises more than comes
                    return self._answer(status, data, len(data) + 10)
                return self._answer(status, data[:-3] if how == "short" else data)

            def _answer(self, status, data, promised=None):
                self.send_response(status)
                self.send_header("Content-Length", str(promised or len(data)))
                self.end_headers()
                with outer.lock:  # before the client has it and goes on
                    outer.sent += len(data)
                self.wfile.write(data)
                self.close_connection = promised is not None

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/data/shards"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()


@pytest.fixture
def server(folder):
    server = _Server(folder)
    yield server
    server.http.shutdown()
    server.http.server_close()


@pytest.fixture
def waits():
    return []


@pytest.fixture
def at(server, tmp_path, waits):
    """`at(cache=..., attempts=...)`: the served folder; pauses are noted, not slept."""

    def make(cache=True, attempts=3, query=""):
        kept = BlockCache(tmp_path / "cache", LIMIT) if cache else None
        return RemoteFolder(server.url + query, kept, Retry(attempts, wait=waits.append))

    return make


def _same(a, b):
    features = all(torch.equal(a.features[name], b.features[name]) for name in a.features)
    return a.keys == b.keys and a.sensor == b.sensor and a.captions == b.captions and torch.equal(a.image, b.image) and features


def _msi(folder):
    return next(stream for stream in ShardSet.open(folder).streams if stream.modality == "msi")


@pytest.mark.parametrize("cache", [True, False])
@pytest.mark.parametrize("workers", [0, 2])
def test_batches_equal_those_of_the_local_folder(folder, at, cache, workers):
    here, there = ShardSet.open(folder), ShardSet.open(at(cache))
    assert (here.fingerprint, len(here)) == (there.fingerprint, len(there))
    order = MixtureOrder([len(stream) for stream in here.streams], [1, 1, 2], 6, 3)
    local = list(make_loader(here.streams, order, start_step=0, stop_step=6))
    far = list(make_loader(there.streams, order, start_step=0, stop_step=6, workers=workers))
    assert all(_same(a, b) for a, b in zip(local, far, strict=True))
    pairs = zip(iterate_all(_msi(folder), 9, teachers=["vit"]), iterate_all(_msi(at(cache)), 9, teachers=["vit"]), strict=True)
    assert all(_same(a, b) for a, b in pairs)


def test_a_sample_costs_one_range_request_of_its_own_bytes(at, server):
    stream = _msi(at(cache=False))
    record = stream.shards[1]
    before = server.sent
    stream.read(6)  # second of the second shard
    tables = [table[1] for table in record.members.values()]
    first, last = min(t[0] for t in tables), max(t[0] + t[1] for t in tables)
    assert server.asked[1:] == [(record.file, f"bytes={first}-{last - 1}", f"/data/shards/{record.file}")]
    assert server.sent - before == last - first < record.n_bytes / 2


def test_blocks_are_fetched_once_and_kept_for_other_processes(folder, at, server):
    stream = _msi(at())
    stream.read_many(range(23), ["vit"])
    asked = len(server.asked)
    assert asked == 1 + 2 * len(stream.shards)  # the index, and one block per small tar and side-car
    pickle.loads(pickle.dumps(stream)).read_many(range(23), ["vit"])  # noqa: S301 - our own bytes
    list(iterate_all(stream, 5, workers=2))
    assert len(server.asked) == asked


def test_members_over_several_blocks(folder, at, server):
    data = np.random.default_rng(0).bytes(3 * BLOCK_BYTES + 77)
    (folder / "big.tar").write_bytes(data)
    edges = [(5, 3), (BLOCK_BYTES - 2, 4), (10, 2 * BLOCK_BYTES), (len(data) - 9, 9), (BLOCK_BYTES, 0)]
    spans = [Span("big.tar", "f" * 64, len(data), "k", first, size, zlib.crc32(data[first : first + size])) for first, size in edges]
    assert at().read(spans) == [data[first : first + size] for first, size in edges]
    assert [asked[1] for asked in server.asked] == [f"bytes=0-{len(data) - 1}"]  # neighbouring blocks in one request
    with pytest.raises(DataError, match="points outside the file"):
        at().read([spans[0]._replace(offset=-1)])


@pytest.mark.parametrize("how", ["drop", "cut", "short", 500, 503, 429])
def test_what_passes_is_retried_with_growing_pauses(folder, at, server, waits, how):
    stream = _msi(at(attempts=4))
    server.answers["msi-000000.tar"] = [how, how]
    assert stream.read(0).key == "s0000"
    assert waits == [0.5, 1.0][: 1 if how == "drop" else 2]  # aiohttp asks once more by itself where a kept connection was dropped


@pytest.mark.parametrize(
    ("how", "attempts", "message"),
    [
        (404, 1, "msi-000000.tar does not exist .*check the address"),
        (403, 1, "access refused .HTTP 403.; give credentials"),
        ("whole", 1, "ignores range requests"),
        (416, 1, "is cut off"),
        ("short", 3, "is cut off: bytes 0 to .* came, after 3 tries"),
        (502, 3, "cannot be reached after 3 tries .HTTP 502"),
    ],
)
def test_what_stays_is_one_line_with_the_address_and_no_signature(at, server, how, attempts, message):
    stream = _msi(at(cache=how != "whole", query="?sig=secret"))  # a block may be the whole of a small tar
    server.answers["msi-000000.tar"] = [how] * 9
    with pytest.raises(DataError, match=message) as caught:
        stream.read(0)
    text = str(caught.value)
    assert f"{server.url}/msi-000000.tar" in text
    assert "\n" not in text
    assert "secret" not in text
    tars = [asked for asked in server.asked if asked[0] == "msi-000000.tar"]
    assert len(tars) == attempts
    assert tars[0][2].endswith(".tar?sig=secret")


def test_wrong_bytes_are_asked_for_once_more_then_refused(at, server, tmp_path):
    stream = _msi(at())
    server.answers["msi-000000.tar"] = ["wrong"]
    assert stream.read(0).key == "s0000"  # wrong on the way: the block is dropped, the member fetched again
    server.answers["msi-000001.tar"] = ["wrong"] * 2
    with pytest.raises(DataError, match=r"msi-000001\.tar, key s0005: bytes .* \(CRC-32\); upload it again"):
        stream.read(5)
    stream.read(5)
    for block in (tmp_path / "cache").rglob("0*"):
        if block.is_file():
            block.write_bytes(bytes(block.stat().st_size))  # damage on the local disk heals itself
    assert stream.read(5).key == "s0005"


def test_no_index_and_no_server(at, server, waits):
    server.answers["index.json"] = [404]
    with pytest.raises(DataError, match=r"shards/index\.json does not exist"):
        ShardSet.open(at())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = RemoteFolder(f"http://127.0.0.1:{free.getsockname()[1]}/x", None, Retry(3, wait=waits.append))
        with pytest.raises(DataError, match=r"cannot be reached after 3 tries .*check network, proxy"):
            ShardSet.open(nobody)
    assert waits == [0.5, 1.0]


def test_pauses_are_bounded():
    assert [Retry(first_s=1, longest_s=5).pause_s(n) for n in (1, 2, 3, 4, 60)] == [1, 2, 4, 5, 5]


def test_memory_addresses_and_the_environment(folder, tmp_path, monkeypatch):
    files = fsspec.filesystem("memory")
    files.put(str(folder), "/bucket/shards", recursive=True)
    monkeypatch.setenv("GEOLANGBIND_CACHE", str(tmp_path / "kept"))
    try:
        far = ShardSet.open("memory://bucket/shards/")
        assert str(far.folder) == "memory://bucket/shards"
        for here, there in zip(ShardSet.open(folder).streams, far.streams, strict=True):
            assert all(_same(a, b) for a, b in zip(iterate_all(here, 4), iterate_all(there, 4, workers=1), strict=True))
        assert any((tmp_path / "kept").rglob("00000000"))
        assert verify("memory://bucket/shards").ok
    finally:
        files.rm("/bucket", recursive=True)


def test_verify_finds_the_same_at_an_address(folder, at, server):
    assert verify(at()) == replace(verify(folder), folder=at())
    data = bytearray((folder / "msi-000000.tar").read_bytes())
    data[int(_msi(folder).shards[0].members["image.npy"][2, 0]) + 130] ^= 1
    (folder / "msi-000000.tar").write_bytes(data)
    (folder / "rgb-000000.tar").unlink()
    problems = {(problem.shard, problem.key): problem.what for problem in verify(at()).problems}
    assert set(problems) == {("msi-000000.tar", "s0002"), ("rgb-000000.tar", None)}
    assert "does not exist" in problems["rgb-000000.tar", None]


def test_protocols_and_missing_packages(monkeypatch):
    for address in ("file:///etc", "zip://a::http://b", "github://a", "s3://a::http://b"):
        assert is_remote(address)
        with pytest.raises(DataError, match="is not one of https://"):
            open_folder(address)
    assert not is_remote("runs/planet")
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(DataError, match=r"s3://bucket/x: s3:// needs the package s3fs; run `pip install 'geolangbind\[remote\]'"):
        ShardSet.open("s3://bucket/x")
    assert str(RemoteFolder("https://me:pass@host/a/?sig=1", None)) == "https://host/a"
