"""Members of a tar, read front to back from bytes that nobody vouches for. Importable without torch.

Nothing is extracted and no name is used as a path. After damage, reading goes on at the next whole header, so that what lies behind it
is not lost: Python's tarfile takes a damaged header for the end.
"""

from __future__ import annotations

import re
import tarfile
import zlib
from collections.abc import Callable, Iterator
from http.client import HTTPException
from pathlib import PurePosixPath
from typing import IO

MAX_SAMPLE_BYTES = 1 << 30
"""Largest member, and largest sample, that is read: an image of `decode.MAX_VALUES` float32 values."""

Report = Callable[[str, str], None]
"""Takes a sample key (empty where it is no single sample) and what is wrong; may raise."""

_BLOCK = tarfile.BLOCKSIZE
_PART = 1 << 24  # a header may promise more than there is: memory is taken as bytes arrive
_MAX_NAME_BYTES = 1 << 16
_READ_ERRORS = (OSError, EOFError, zlib.error, HTTPException)
_COMPRESSED = {b"\x1f\x8b": "gzip", b"PK": "zip", b"\x28\xb5": "zstd", b"BZ": "bzip2", b"\xfd7": "xz"}
_NAME = re.compile(r"((?:.*/)?[^./][^./]*)\.([^/]+)")
_PAX_RECORD = re.compile(rb"(\d{1,6}) ([^=]+)=")
_LINK = "is a {}; only plain files are read: write the tar with --dereference --hard-dereference"
_REFUSED = {
    tarfile.SYMTYPE: _LINK.format("symbolic link"), tarfile.LNKTYPE: _LINK.format("hard link"),
    tarfile.CHRTYPE: "is a device; leave it out", tarfile.BLKTYPE: "is a device; leave it out", tarfile.FIFOTYPE: "is a pipe; leave it out",
    tarfile.GNUTYPE_SPARSE: "is stored sparse; write the tar without --sparse",
}  # fmt: skip


def read_groups(file: IO[bytes], report: Report) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Yield key and members (bytes by extension, lower case) of each sample: neighbours that share the name before the first dot.

    Args:
        file: a tar without compression.
        report: is told what is wrong; a sample with something wrong is left out.
    """
    key, group, whole, seen = "", dict[str, bytes](), True, set[str]()

    def wrong(what: str) -> None:
        nonlocal whole
        if whole:  # a sample is told about once
            report(key, what)
        whole = False

    for name, data in read_members(file, report):
        if (split := _NAME.fullmatch(name)) is None:
            continue  # no sample: "README", ".hidden"
        if split[1] != key:
            if group and whole:
                yield key, group
            key, group, whole = split[1], {}, True
            if key in seen:
                wrong("comes again: a duplicate, or its members lie apart; write each key once, members side by side (tar --sort=name)")
            seen.add(key)
        extension = split[2].lower()
        if extension in group:
            wrong(f"has .{extension} twice; write each member once")
        elif sum(map(len, group.values())) + len(data) > MAX_SAMPLE_BYTES:
            wrong(f"has more than {MAX_SAMPLE_BYTES} bytes; cut it into chips")
        else:
            group[extension] = data
    if group and whole:
        yield key, group


def read_members(file: IO[bytes], report: Report) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the plain files of a tar, in order.

    Links, devices, sparse files and names that lead out of a folder are reported and left out; so is what a damaged header hides, up to
    the next whole one.
    """
    tape = _Tape(file)
    name, size, sparse, lost, ended = "", -1, False, -1, False  # what an extended header says about the next one; where damage began
    while block := tape.take(_BLOCK):
        item = _header(block, strict=lost >= 0)
        ended = not any(block)  # zeros close a tar; whatever follows is read too (tars joined with cat)
        if item is not None and size >= 0:
            item.size = size
        content = None if item is None or not 0 <= item.size <= MAX_SAMPLE_BYTES else _content(tape, item)
        if item is None or content is None:
            if lost < 0 and not ended:
                lost = tape.position - len(block)
                report("", _damage(block, item, lost))
            name, size, sparse = "", -1, False
            continue
        lost = -1
        if item.type in (tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE):
            told = {"path": content.rstrip(b"\0")} if item.type == tarfile.GNUTYPE_LONGNAME else _pax(content)
            name = told.get("path", name.encode())[:_MAX_NAME_BYTES].decode(errors="surrogateescape")
            size = int(told["size"]) if told.get("size", b"-").isdigit() and len(told["size"]) < 20 else size
            sparse = any(word.startswith("GNU.sparse") for word in told)
            continue
        if item.type in (tarfile.GNUTYPE_LONGLINK, tarfile.XGLTYPE):
            continue
        name = (name or item.name).removeprefix("./")
        if item.type != tarfile.DIRTYPE:
            if (what := _refused(name, tarfile.GNUTYPE_SPARSE if sparse else item.type)) is not None:
                report("", what)
            else:
                yield name, content
        name, size, sparse = "", -1, False
    if tape.failure:
        report("", f"cannot be read to its end ({tape.failure}); copy it again")
    elif not ended and lost < 0:
        report("", f"ends at byte {tape.position} without the zeros that close a tar: it was cut off or never finished; copy it again")


class _Tape:
    """A file's bytes in order. Once its end is known, what was read too far is given out again."""

    def __init__(self, file: IO[bytes]) -> None:
        self.position, self.failure = 0, ""
        self._file, self._held, self._next, self._ended = file, b"", 0, False

    def take(self, size: int) -> bytes:
        """Return the next `size` bytes, fewer at the end or where the file cannot be read any further."""
        data = self._held[self._next : self._next + size] if self._ended else self._read(size)
        self._next += len(data)
        self.position += len(data)
        return data

    def take_whole(self, size: int) -> bytes | None:
        """Return the next `size` bytes; None, with none of them taken, where there are fewer."""
        if self._ended and len(self._held) - self._next < size:
            return None
        data = self.take(size)
        if len(data) == size:
            return data
        self._held, self._next, self._ended = data, 0, True
        self.position -= len(data)
        return None

    def _read(self, size: int) -> bytes:
        parts = []
        try:
            while size > 0 and (part := self._file.read(min(size, _PART))):
                parts.append(part)
                size -= len(part)
        except _READ_ERRORS as error:
            self.failure = " ".join(str(error).split()) or type(error).__name__
        return parts[0] if len(parts) == 1 else b"".join(parts)


def _header(block: bytes, strict: bool) -> tarfile.TarInfo | None:
    """Parse a header block; None if it is none. `strict` in search of one: a mark that old tars lack is then asked for, which is quick."""
    if strict and block[257:262] != b"ustar":
        return None
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError, OverflowError):
        return None


def _content(tape: _Tape, item: tarfile.TarInfo) -> bytes | None:
    """Content of a member and its padding; None where the file ends before."""
    if item.type in (*_REFUSED, tarfile.DIRTYPE) and item.type != tarfile.GNUTYPE_SPARSE:
        return b""  # these have none, whatever their size says
    padded = tape.take_whole(-(-item.size // _BLOCK) * _BLOCK)
    return padded if padded is None or len(padded) == item.size else padded[: item.size]


def _refused(name: str, kind: bytes) -> str | None:
    """Why a member is not read."""
    shown = ascii(name[:80])
    if name.startswith("/") or ".." in PurePosixPath(name).parts or not name.isprintable() or "\\" in name:
        return f"member {shown} has a name that leads out of a folder or is not printable; rename it to <key>.<extension>"
    if kind in _REFUSED:
        return f"member {shown} {_REFUSED[kind]}"
    return None if kind in tarfile.REGULAR_TYPES else f"member {shown} is of unknown type {kind.decode('latin-1')!a}; leave it out"


def _pax(content: bytes) -> dict[str, bytes]:
    """Records of a pax header, each "length name=value" and a line feed; those after a broken one are left aside."""
    told, start = dict[str, bytes](), 0
    while record := _PAX_RECORD.match(content, start):
        end = start + int(record[1])
        if not record.end() < end <= len(content):
            break
        told[record[2].decode(errors="replace")] = content[record.end() : end - 1]
        start = end
    return told


def _damage(block: bytes, item: tarfile.TarInfo | None, position: int) -> str:
    compressed = next((name for start, name in _COMPRESSED.items() if position == 0 and block.startswith(start)), None)
    if compressed is not None:
        return f"is compressed ({compressed}); unpack it first"
    if item is None:
        return f"the tar header at byte {position} is damaged, or this is no tar; copy it again"
    return f"is cut off, or the tar header at byte {position} is wrong ({item.name[:80]!a} of {item.size} bytes); copy it again"
