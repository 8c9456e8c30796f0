"""Tars that nobody vouches for: Python's own tarfile makes them, and is what whole ones are compared with."""

import gzip
import io
import tarfile

import pytest

from geolangbind.data import members
from geolangbind.data.members import read_groups, read_members


def tar_of(*entries, form=tarfile.GNU_FORMAT, end=True):
    """A tar of (name, content) or (TarInfo, content)."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as tar:
        for entry, content in entries:
            item = entry if isinstance(entry, tarfile.TarInfo) else tarfile.TarInfo(entry)
            if item.isreg():
                item.size = len(content)
            tar.addfile(item, io.BytesIO(content))
        stop = None if end else tar.offset
    return file.getvalue()[:stop]


def of_type(name, kind, target=""):
    item = tarfile.TarInfo(name)
    item.type, item.linkname = kind, target
    return item


def read(data, reader=read_members):
    told = []
    return list(reader(io.BytesIO(data), lambda key, what: told.append((key, what)))), told


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_whole_tars_are_read_as_tarfile_reads_them(form):
    deep = "/".join(["long"] * 25) + "/a.json"  # more than a plain header's 100 bytes
    entries = [("a.json", b""), ("dir/b.txt", b"x" * 511), (deep, b"y" * 513), ("c.json", b"z" * 512)]
    if form != tarfile.USTAR_FORMAT:
        entries += [("é" * 60 + ".json", b"1"), ("n" * 300 + ".json", b"2")]
    data = tar_of((of_type("dir", tarfile.DIRTYPE), b""), *entries, form=form)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        expected = [(item.name, tar.extractfile(item).read()) for item in tar if item.isreg()]
    assert expected == entries
    assert read(data) == (entries, [])


def test_two_extended_headers_may_speak_about_one_member():
    """A long name that is no UTF-8, then a pax header without a name: refused by name, not tripped over."""
    long = of_type("././@LongLink", tarfile.GNUTYPE_LONGNAME)
    pax = of_type("x", tarfile.XHDTYPE)
    long.size, pax.size = 3, 10
    blocks = (long.tobuf(tarfile.GNU_FORMAT), b"\xff.x".ljust(512, b"\0"), pax.tobuf(tarfile.GNU_FORMAT), b"10 mtime=\n".ljust(512, b"\0"))
    found, told = read(b"".join(blocks) + tar_of(("a.x", b"1"), ("b.x", b"2")))
    assert found == [("b.x", b"2")] and "rename it" in told[0][1]


def test_joined_tars_are_one():
    assert read(tar_of(("a.x", b"1")) + tar_of(("b.x", b"2"))) == ([("a.x", b"1"), ("b.x", b"2")], [])


@pytest.mark.parametrize("name", ["../a.json", "/etc/passwd.json", "x/../../a.json", "..\\a.json", "a\n.json", "\udcff.json"])
def test_names_that_lead_elsewhere_are_left_out(name):
    found, told = read(tar_of(("a.x", b"1"), (name, b"2"), ("b.x", b"3")))
    assert [content for _, content in found] == [b"1", b"3"]
    ((key, what),) = told
    assert key == "" and "leads out of a folder or is not printable; rename it" in what and what.isprintable()


@pytest.mark.parametrize(
    ("kind", "what"),
    [(tarfile.SYMTYPE, "symbolic link"), (tarfile.LNKTYPE, "hard link"), (tarfile.CHRTYPE, "device"), (tarfile.BLKTYPE, "device"),
     (tarfile.FIFOTYPE, "pipe"), (b"Z", "unknown type")],
)  # fmt: skip
def test_links_and_devices_are_left_out(kind, what):
    found, told = read(tar_of(("a.x", b"1"), (of_type("l.json", kind, "/etc/passwd"), b""), ("b.x", b"3")))
    assert [name for name, _ in found] == ["a.x", "b.x"]
    assert len(told) == 1 and "'l.json'" in told[0][1] and what in told[0][1]


def test_behind_damage_reading_goes_on_where_tarfile_stops():
    data = bytearray(tar_of(("a.x", b"1"), ("b.x", b"2"), ("c.x", b"3")))
    data[1024 + 3] ^= 1
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert tar.getnames() == ["a.x"]
    assert read(bytes(data)) == (
        [("a.x", b"1"), ("c.x", b"3")],
        [("", "the tar header at byte 1024 is damaged, or this is no tar; copy it again")],
    )


def test_a_size_beyond_the_end_takes_no_memory_and_hides_nothing():
    huge = tarfile.TarInfo("b.x")
    for size in (50_000, 1 << 29, 1 << 40):
        huge.size = size
        data = tar_of(("a.x", b"1"), end=False) + huge.tobuf(tarfile.GNU_FORMAT) + tar_of(("c.x", b"3"))
        found, told = read(data)
        assert [name for name, _ in found] == ["a.x", "c.x"]
        assert told == [("", f"is cut off, or the tar header at byte 1024 is wrong ('b.x' of {size} bytes); copy it again")]


@pytest.mark.parametrize(("cut", "kept"), [(0, 0), (100, 0), (512, 0), (1024, 1), (1200, 1), (1600, 1)])
def test_a_tar_that_was_cut_off_says_so(cut, kept):
    found, told = read(tar_of(("a.x", b"1"), ("b.x", b"2"))[:cut])
    assert len(found) == kept and len(told) == 1 and told[0][1].endswith("copy it again")


def test_compressed_and_broken_files_are_told_apart():
    assert read(gzip.compress(tar_of(("a.x", b"1"))))[1] == [("", "is compressed (gzip); unpack it first")]

    class Broken(io.BytesIO):
        def read(self, size=-1):
            if self.tell() >= 1024:
                raise OSError("connection reset")
            return super().read(min(size, 512))

    told = []
    assert list(read_members(Broken(tar_of(("a.x", b"1"), ("b.x", b"2"))), lambda key, what: told.append(what))) == [("a.x", b"1")]
    assert told == ["cannot be read to its end (connection reset); copy it again"]


def test_samples_are_neighbours_of_one_name(monkeypatch):
    rows = [("a.x", b"1"), ("a.Y.z", b"2"), ("README", b""), ("b.x", b"3"), ("b.x", b"4"), ("c.x", b"5"), ("a.x", b"6"), ("d.x", b"7")]
    found, told = read(tar_of(*rows), read_groups)
    assert found == [("a", {"x": b"1", "y.z": b"2"}), ("c", {"x": b"5"}), ("d", {"x": b"7"})]
    assert [(key, what.split(";")[0]) for key, what in told] == [
        ("b", "has .x twice"), ("a", "comes again: a duplicate, or its members lie apart")
    ]  # fmt: skip
    monkeypatch.setattr(members, "MAX_SAMPLE_BYTES", 3)
    found, told = read(tar_of(("a.x", b"12"), ("a.y", b"34"), ("b.x", b"123")), read_groups)
    assert found == [("b", {"x": b"123"})] and told == [("a", "has more than 3 bytes; cut it into chips")]
