"""Damaged shards of three layouts: each case ends without a traceback, in bounded reading, and no good sample is lost.

A case follows from its number, so a failure is repeated by `-k` and the number in its id, or by `run(number, ...)`. The suite runs the
first 150 cases, `make soak` all of them.
"""

import gzip
import io
import json
import random
import struct
import tarfile
import zipfile
import zlib
from dataclasses import dataclass

import numpy as np
import pytest

from geolangbind.data import stream as streaming
from geolangbind.data.faults import Faults
from geolangbind.data.loader import iterate_all
from geolangbind.data.published import Meaning, import_published
from geolangbind.data.shards import ShardSet
from geolangbind.data.stream import stream_tars
from geolangbind.data.verify import verify
from geolangbind.data.write import ShardWriter
from geolangbind.errors import GeoLangBindError

CASES, FAST = 2400, 150
BLOCK = 512


def npy(array, **options):
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def header(name, size, kind=b"0"):
    item = tarfile.TarInfo(name)
    item.size, item.type, item.linkname = size, kind, "s0001.json" if kind in (b"1", b"2") else ""
    return item.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def padded(data):
    return data + b"\0" * (-len(data) % BLOCK)


def resized(block, size):
    """The same header with another size and a right checksum."""
    number = f"{size:011o}\0".encode() if 0 <= size < 8**11 else b"\xff" * 4 + struct.pack(">q", size)
    block = block[:124] + number + block[136:148] + b" " * 8 + block[156:BLOCK]
    return block[:148] + f"{sum(block):06o}\0 ".encode() + block[156:]


@dataclass(frozen=True)
class Part:
    """A header with its content, and the sample it belongs to (None: to none)."""

    key: str | None
    name: str
    content: bytes
    kind: bytes = b"0"

    def to_bytes(self):
        return header(self.name, len(self.content), self.kind) + padded(self.content)


def parts_of(data):
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return [Part(item.name.split(".")[0], item.name, tar.extractfile(item).read()) for item in tar]


# --- what is done to the parts of a tar: each returns the new parts and the keys of samples that it does not leave whole


def insert(parts, at, new):
    """Put parts between others; a sample that is split by them is not whole any more."""
    split = {parts[at].key} if 0 < at < len(parts) and parts[at - 1].key == parts[at].key else set()
    return [*parts[:at], *new, *parts[at:]], split | {part.key for part in new}


def swap(rng, parts):
    a, b = sorted(rng.sample(range(len(parts)), 2))
    moved = list(parts)
    moved[a], moved[b] = moved[b], moved[a]
    return moved, {part.key for part in parts[max(a - 1, 0) : a + 2] + parts[max(b - 1, 0) : b + 2]}


def duplicate(rng, parts):
    return insert(parts, rng.randrange(len(parts) + 1), [rng.choice(parts)])


def drop(rng, parts):
    at = rng.randrange(len(parts))
    following = parts[at + 1 : at + 2] if at and parts[at - 1].kind != b"0" else []  # an extended header then speaks about that
    return parts[:at] + parts[at + 1 :], {part.key for part in (parts[at], *following)}


NAMES = (
    "../{}", "/etc/{}", "a/../../{}", "..\\{}", "C:\\{}", "{}\n", "é/{}", "", ".json", "noextension", "{}.", "s0001.json", "./{}", "~/{}",
    "\udcff{}", "$(touch owned).json", "{}" + "x" * 120, "a" * 99 + "/{}", "s0002.image", "s0003.image.npy",
)  # fmt: skip


def rename(rng, parts):
    at = rng.randrange(len(parts))
    name = rng.choice(NAMES).format(parts[at].name)
    new = [*parts[:at], Part(parts[at].key, name, parts[at].content), *parts[at + 1 :]]
    return new, {parts[at].key, "s0001", "s0002", "s0003"} if name[:5] in ("s0001", "s0002", "s0003") else {parts[at].key}


def retype(rng, parts):
    at = rng.randrange(len(parts))
    kind = rng.choice([b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"S", b"x", b"X", b"g", b"L", b"K", b"Z", b"\0", b"V"])
    following = {parts[at + 1].key} if at + 1 < len(parts) and kind in b"xXLgS" else set()  # an extended header speaks about the next
    return [*parts[:at], Part(parts[at].key, parts[at].name, parts[at].content, kind), *parts[at + 1 :]], {parts[at].key} | following


def extend(rng, parts):
    """An extended header that is right, or wrong, before a member."""
    at = rng.randrange(len(parts))
    key, name = parts[at].key, parts[at].name.encode()
    right = (Part(key, "x", b"%d path=%b\n" % (len(name) + 9, name), b"x"), Part(key, "././@LongLink", name + b"\0", b"L"))
    harmless = (Part(key, "g", b"9 a=b\xff\xff\xff\n", b"g"), Part(key, "././@LongLink", b"elsewhere\0", b"K"))
    wrong = [b"99999 path=a\n", b"12 size=-1\n", b"19 size=9999999999\n", b"22 GNU.sparse.major=1\n", b"x" * 700, b"\xff" * 40, b"0 =\n"]
    new = rng.choice([*right, *harmless, *(Part(key, "x", content, b"x") for content in wrong), Part(key, "l", b"../../a.json", b"L")])
    if new in right and len(b"%d path=%b\n" % (len(name) + 9, name)) != len(name) + 9:
        return parts, set()
    return [*parts[:at], new, *parts[at:]], set() if new in right or new in harmless else {parts[at].key}


def zipped():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("a", b"b" * 100)
    return buffer.getvalue()


def claims(width, height):
    """A PNG whose header claims a size, with next to nothing in it."""
    ihdr = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    idat = b"IDAT" + zlib.compress(b"\0" * 100)
    chunks = (struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (ihdr, idat, b"IEND"))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def shaped(text):
    """An npy with a header of one's own."""
    line = text.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(line)) + line + b"\0" * 300


IMAGES = (
    npy(np.array([{"a": 1}] * 3, dtype=object), allow_pickle=True), npy(np.full((4, 6, 8), np.nan)), npy(np.zeros((4, 6, 8), "S3")),
    npy(np.zeros((4, 6, 8), "M8[s]")), npy(np.zeros((4, 6, 8), complex)), npy(np.float64(3)), npy(np.zeros((1, 1, 1), ">u2")),
    npy(np.zeros((0, 6, 8))), npy(np.full((6, 8, 3), np.inf, np.float16)), npy(np.ones((6, 8, 3), bool)), claims(40_000, 40_000),
    claims(1, 1),
    claims(0, 5), claims(2**31 - 1, 2), shaped("{'descr': '<u2', 'fortran_order': False, 'shape': (40000, 40000, 9)}"),
    shaped("{'descr': '<u2', 'fortran_order': False, 'shape': (-1,)}"), shaped("{'descr': '|O', 'fortran_order': False, 'shape': (3,)}"),
    shaped("{'descr': '<u2', 'fortran_order': 0, 'shape': ()}"), shaped("{'descr': [('a', '<u2')], 'fortran_order': False, 'shape': (2,)}"),
    shaped("__import__('os').system('touch owned')"), shaped("(" * 100),
    shaped("{'descr': '<u2', 'fortran_order': False, 'shape': (9**99,)}"),
    b"\x93NUMPY\x09\x00" + b"\0" * 100, b"\xff\xd8\xff\xe0" + b"\0" * 50, b"II*\0\x08\0\0\0" + b"\xff" * 90,
)  # fmt: skip
WEIRD = (
    None,
    True,
    -1,
    0,
    1e300,
    10**400,
    float("nan"),
    float("-inf"),
    "",
    "é",
    "\ud800",
    "9" * 5000,
    [],
    {},
    [[]],
    ["a", 1],
    [None] * 4,
    {"a": {}},
)
TEXTS = (
    b"", b"\xff\xfe\x00", b"{}", b"[]", b"null", b"NaN", b"1", b'"a"', b"[" * 50_000, b'{"a":' * 50_000, b"{'a': 1}", b"\0" * 30,
    b"__import__('os').system('touch owned')", b"(lambda: 0)()", b"[1]" * 3, b"[1e999, 1, 1]", b"-" * 9000 + b"1", b"...", b"[0x10, 1, 2]",
    b"1(2)", b"[1,]*99999999", b"[0.665, 0.56]", b"1 if 1 else 2", b"9" * 16_000, gzip.compress(b"a" * 99), zipped(),
)  # fmt: skip


def weird_json(rng, content):
    try:
        told = dict(json.loads(content))
    except (ValueError, TypeError, RecursionError):
        return rng.choice(TEXTS)
    told[rng.choice([*told, "boxes", "bbox_wgs84", "nodata", "labels", "unknown"])] = rng.choice(WEIRD)
    if rng.random() < 0.3:
        del told[rng.choice(list(told))]
    return json.dumps(told).encode()


def refill(rng, parts):
    at = rng.randrange(len(parts))
    old = parts[at]
    pool = [*TEXTS, rng.randbytes(rng.randrange(2000)), Part(None, "nested.json", b"{}").to_bytes()]
    pool += IMAGES if ".image" in old.name else [weird_json(rng, old.content)] * 30
    return [*parts[:at], Part(old.key, old.name, rng.choice(pool)), *parts[at + 1 :]], {old.key}


# --- what is done to the bytes of a tar: each takes the spans of the parts, too


def truncate(rng, data, spans):
    cut = rng.randrange(len(data))
    return data[:cut], {key for key, _, end, _ in spans if end > cut}


def overwrite(rng, data, spans, start, new):
    return data[:start] + new + data[start + len(new) :], {key for key, a, b, _ in spans if a < start + len(new) and b > start}


def flip(rng, data, spans):
    start = rng.randrange(len(data))
    size = rng.choice((1, 1, 4, 64, 700))
    return overwrite(rng, data, spans, start, bytes(value ^ rng.randrange(1, 256) for value in data[start : start + size]))


def flip_header(rng, data, spans):
    _, start, _, _ = rng.choice(spans)
    start += rng.randrange(BLOCK)
    return overwrite(rng, data, spans, start, bytes([data[start] ^ rng.randrange(1, 256)]))


def zero(rng, data, spans):
    start = rng.randrange(len(data) // BLOCK) * BLOCK
    return overwrite(rng, data, spans, start, bytes(min(BLOCK, len(data) - start)))


def lie(rng, data, spans):
    """A header with another size: what it swallows is lost, what lies behind is not."""
    key, start, _, kind = rng.choice(spans)
    if kind != b"0":
        return data, set()
    size = rng.choice(
        [0, 1, 511, 513, rng.randrange(4000), rng.randrange(len(data)), 1 << 29, (1 << 30) + 1, 8**11 - 1, 1 << 62, -1, -(1 << 60)]
    )
    end = start + BLOCK + size
    lost = {name for name, a, _, _ in spans if start < a < end} if 0 <= end <= len(data) else set()
    return data[:start] + resized(data[start : start + BLOCK], size) + data[start + BLOCK :], {key} | lost


def cut_out(rng, data, spans):
    start = rng.randrange(len(data))
    size = rng.choice([1, 100, BLOCK, 3000])
    touched = [(key, b) for key, a, b, _ in spans if b > start and (size % BLOCK or a < start + size)]  # else nothing lies on a block
    if touched:  # a member that lacks bytes takes the next one for its content
        end = max(b for _, b in touched) + BLOCK
        touched += [(key, b) for key, a, b, _ in spans if start < b and a < end]
    return data[:start] + data[start + size :], {key for key, _ in touched}


PARTS = (swap, duplicate, drop, rename, retype, extend, refill, refill, refill)
BYTES = (truncate, flip, flip_header, zero, lie, cut_out)


def damaged(rng, parts):
    """Bytes of a damaged tar, and the keys of the samples that are still whole in it."""
    whole = {part.key for part in parts}
    of_parts = rng.random() < 0.7
    for _ in range(rng.choice((1, 1, 2, 3)) * of_parts):
        parts, touched = rng.choice(PARTS)(rng, parts)
        whole -= touched
    data, spans = b"", []
    for part in parts:
        new = part.to_bytes()
        spans.append((part.key, len(data), len(data) + len(new), part.kind))
        data += new
    data += bytes(2 * BLOCK) if rng.random() < 0.9 else b""
    for _ in range(rng.choice((0, 1)) if of_parts else rng.choice((1, 1, 2))):
        spans = [span for span in spans if span[2] <= len(data)]
        if not spans:
            break
        change = rng.choice(BYTES)
        data, touched = change(rng, data, spans)
        whole -= touched
        if change in (cut_out, truncate):
            break  # the spans do not hold any more
    return data, whole


class Counted(io.BytesIO):
    """A tar that may be read once, in a bounded number of calls."""

    def __init__(self, data):
        super().__init__(data)
        self.left_bytes, self.left_calls = len(data), 3 * len(data) // BLOCK + 20

    def read(self, size=-1):
        assert 0 <= size <= 1 << 24, "asks for more than a part at once"
        data = super().read(size)
        self.left_bytes, self.left_calls = self.left_bytes - len(data), self.left_calls - 1
        assert self.left_bytes >= 0 and self.left_calls >= 0, "reads on and on"
        return data


# --- the three layouts: each returns image and captions by key, of every sample that was read


def contents(samples):
    return {sample.key: (sample.image.dtype.str, sample.image.tobytes(), sample.meta.captions) for sample in samples}


def run_stream(case, data, original, tmp_path, monkeypatch):
    monkeypatch.setattr(streaming, "_open", lambda url: Counted(data))
    faults = Faults("skip", 10_000)
    found = contents(stream_tars(["a.tar"], faults=faults))
    assert all(str(problem).startswith("a.tar") and "\n" not in str(problem) for problem in faults.found)
    if any(key.encode() in data for key in original.keys() - found.keys()):
        assert faults.found, "lost without a word"
        with pytest.raises(GeoLangBindError):
            list(stream_tars(["a.tar"]))
    return found


def run_published(case, data, original, tmp_path, monkeypatch):
    source = tmp_path / "Seg4"
    source.mkdir()
    (source / "Seg4_train-0000-train.tar").write_bytes(data)
    faults = Faults("skip", 10_000)
    try:
        report = import_published(source, tmp_path / "out", Meaning(1.0), faults)
    except GeoLangBindError:
        return {}
    assert report.ok or all("\n" not in str(problem) for problem in report.problems)
    assert verify(tmp_path / "out").ok
    found = (sample for stream in ShardSet.open(tmp_path / "out").streams for sample in stream.read_many(range(len(stream))))
    return {key.removeprefix("Seg4_00000_"): value for key, value in contents(found).items()}


def run_indexed(case, data, original, tmp_path, folder):
    """The index is right and the tar is not, or the other way round."""
    rng = random.Random(case)
    index = (folder / "index.json").read_bytes()
    tar = folder / "msi-000000.tar"
    before = tar.read_bytes()
    whole = set()
    if rng.random() < 0.3:
        index, data = weird_index(rng, index), before
    (tmp_path / "index.json").write_bytes(index)
    (tmp_path / tar.name).write_bytes(data)
    try:
        shards = ShardSet.open(tmp_path, on_error="skip")
        report = verify(tmp_path)
    except GeoLangBindError:
        assert index != (folder / "index.json").read_bytes()
        return {}, whole
    assert report.ok == (data == before) or index != (folder / "index.json").read_bytes()
    found = []
    for stream in shards.streams:
        for number, key in enumerate(key for shard in stream.shards for key in shard.keys):
            try:
                found.append(stream.read(number))
            except GeoLangBindError as error:
                assert "\n" not in str(error) and key in str(error)
        try:
            batches = list(iterate_all(stream, 4, max_skipped=99))
            assert sum(map(len, batches)) == len(stream)
        except GeoLangBindError:
            assert not report.ok
    if index == (folder / "index.json").read_bytes():
        for shard in shards.index.shards:
            rows = {key: [table[number, :2].tolist() for table in shard.members.values()] for number, key in enumerate(shard.keys)}
            whole = {key for key, spans in rows.items() if all(data[a : a + n] == before[a : a + n] for a, n in spans)}
    return contents(found), whole


def weird_index(rng, index):
    if rng.random() < 0.2:
        start = rng.randrange(len(index))
        return rng.choice([index[:start], index[:start] + rng.randbytes(3) + index[start + 3 :], *TEXTS])
    told = json.loads(index)
    place = told
    while True:
        name = rng.choice(list(place) if isinstance(place, dict) else range(len(place)))
        inner = place[name]
        if not isinstance(inner, dict | list) or not inner or rng.random() < 0.2:
            break
        place = inner
    place[name] = rng.choice([*WEIRD, "../a.tar", "/etc/passwd", 1 << 62, 1 << 40, -(1 << 40)])
    return json.dumps(told).encode()


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    """Parts and contents of a tar of each layout, and the folder of the indexed one."""
    from geolangbind.data.sample import Sample, SampleMeta
    from geolangbind.sensors import get_sensor
    from geolangbind.sensors.units import Unit

    folder = tmp_path_factory.mktemp("fuzz")
    bands = tuple(band.name for band in get_sensor("sentinel-2-l2a").bands[:4])
    samples = []
    for number in range(6):
        image = np.random.default_rng(number).integers(1, 9999, (4, 6, 8)).astype(np.uint16)
        meta = SampleMeta("sentinel-2-l2a", bands, Unit.REFLECTANCE, 10.0, (f"caption {number} é",), scale=1e-4)
        samples.append(Sample(f"s{number:04d}", image, meta))
    with ShardWriter(folder, "msi") as writer:
        for sample in samples:
            writer.write(sample)
    pictures = {f"s{number:04d}": np.random.default_rng(number).integers(0, 256, (6, 8, 3)).astype(np.uint8) for number in range(6)}
    published = [
        Part(key, f"{key}.{extension}", content)
        for key, image in pictures.items()
        for extension, content in (
            ("image", npy(image)), ("text", f"caption {key}".encode()), ("wavelength", b"[0.665, 0.56, 0.49]"), ("geoloc", b"(1.5, 2)")
        )
    ]  # fmt: skip
    expected = {
        key: ("|u1", np.ascontiguousarray(image.transpose(2, 0, 1)).tobytes(), (f"caption {key}",)) for key, image in pictures.items()
    }
    return {"indexed": (parts_of((folder / "msi-000000.tar").read_bytes()), contents(samples)), "published": (published, expected)}, folder


def run(case, bases, tmp_path, monkeypatch):
    (layouts, folder), rng = bases, random.Random(case)
    layout = ("stream", "published", "indexed")[case % 3]
    parts, original = layouts["published" if layout == "published" else "indexed"]
    data, whole = damaged(rng, list(parts))
    monkeypatch.chdir(tmp_path)
    if layout == "indexed":
        found, whole = run_indexed(case, data, original, tmp_path, folder)
    else:
        found = {"stream": run_stream, "published": run_published}[layout](case, data, original, tmp_path, monkeypatch)
    assert not (tmp_path / "owned").exists()
    lost = sorted(key for key in whole & original.keys() if found.get(key) != original[key])
    assert not lost, f"case {case} ({layout}): {lost} are whole in the tar and were not read"


@pytest.mark.parametrize("case", range(FAST))
def test_damage_is_told_and_costs_no_good_sample(case, bases, tmp_path, monkeypatch):
    run(case, bases, tmp_path, monkeypatch)


@pytest.mark.soak
@pytest.mark.parametrize("case", range(FAST, CASES))
def test_so_do_all_others(case, bases, tmp_path, monkeypatch):
    run(case, bases, tmp_path, monkeypatch)


def test_the_tar_maker_makes_tars(bases, tmp_path, monkeypatch):
    """Undamaged, everything is found: what the cases ask for can be had."""
    (layouts, _), data = bases, {}
    for name, (parts, _) in layouts.items():
        data[name] = b"".join(part.to_bytes() for part in parts) + bytes(2 * BLOCK)
    assert run_stream(0, data["indexed"], layouts["indexed"][1], tmp_path, monkeypatch) == layouts["indexed"][1]
    assert run_published(0, data["published"], layouts["published"][1], tmp_path, monkeypatch) == layouts["published"][1]
