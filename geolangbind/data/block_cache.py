"""Blocks of remote files kept on local disk: one file per block, safe for any number of processes, least recently used removed first."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from geolangbind.errors import SettingsError

BLOCK_BYTES = 1 << 19
FOLDER_VARIABLE = "GEOLANGBIND_CACHE"
SIZE_VARIABLE = "GEOLANGBIND_CACHE_GB"
_DEFAULT_GB = 50.0
_ROOM_SHARE = 0.1  # removed at once beyond the limit, so that removal is seldom
_LOOK_SHARE = 0.02  # of the limit a process may write before it looks at the whole cache again


@dataclass
class BlockCache:
    """A folder of blocks, `BLOCK_BYTES` each but for the last of a file. Picklable.

    Blocks are renamed into place, so readers never see half of one; a block that vanishes or is short is a miss. They are not synced: what
    a power cut leaves is caught by the reader's length and CRC check. A block's modification time says when it was last used.

    Attributes:
        folder: where the blocks lie; made on the first write.
        limit_bytes: size from which the least recently used blocks are removed. Each process looks after it writes a fiftieth of that.
    """

    folder: Path
    limit_bytes: int
    _unseen_bytes: int | None = field(default=None, init=False, repr=False)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Self | None:
        """The cache that `GEOLANGBIND_CACHE` (folder) and `GEOLANGBIND_CACHE_GB` (limit, 50; 0: none) name, else the user's cache.

        Raises:
            SettingsError: the limit is no number of at least 0.
        """
        told = os.environ if environment is None else environment
        text = told.get(SIZE_VARIABLE) or str(_DEFAULT_GB)
        try:
            limit_bytes = int(float(text) * 1e9)
        except (ValueError, OverflowError):
            limit_bytes = -1
        if limit_bytes < 0:
            raise SettingsError(f"{SIZE_VARIABLE} is '{text}'; give gigabytes, e.g. 50, or 0 for no cache")
        user = Path(told.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return cls(Path(told.get(FOLDER_VARIABLE) or user / "geolangbind"), limit_bytes) if limit_bytes else None

    def has(self, content: str, number: int, size: int) -> bool:
        """Whether block `number` of `content` is here with all of its `size` bytes."""
        try:
            return self._path(content, number).stat().st_size == size
        except OSError:
            return False

    def read(self, content: str, number: int, start: int, size: int) -> bytes | None:
        """Return `size` bytes from byte `start` of a block, and mark it as used; None where they are not here."""
        path = self._path(content, number)
        try:
            with path.open("rb", buffering=0) as file:
                data = os.pread(file.fileno(), size, start)
            os.utime(path)
        except OSError:
            return None
        return data if len(data) == size else None

    def write(self, content: str, number: int, data: bytes) -> None:
        """Keep a block. A disk that is full or not writable costs speed, not the run: it warns and keeps nothing."""
        path = self._path(content, number)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                temporary.write_bytes(data)
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            what = f"cannot keep remote data in {self.folder} ({error.strerror}), so it is fetched each time; set {FOLDER_VARIABLE}"
            warnings.warn(what, stacklevel=2)
            return
        self._unseen_bytes = None if self._unseen_bytes is None else self._unseen_bytes + len(data)
        if self._unseen_bytes is None or self._unseen_bytes > self.limit_bytes * _LOOK_SHARE:
            self._make_room()

    def drop(self, content: str, number: int) -> None:
        """Remove a block that turned out damaged."""
        with suppress(OSError):
            self._path(content, number).unlink()

    def _path(self, content: str, number: int) -> Path:
        return self.folder / content[:2] / content / f"{number:08d}"

    def _make_room(self) -> None:
        """Remove the least recently used files while there are too many; others may do the same at the same time."""
        found = []
        for parent, _, names in os.walk(self.folder):
            for name in names:
                with suppress(OSError):
                    facts = Path(parent, name).stat()
                    found.append((facts.st_mtime_ns, facts.st_size, Path(parent, name)))
        total = sum(size for _, size, _ in found)
        self._unseen_bytes = 0
        if total <= self.limit_bytes:
            return
        for _, size, path in sorted(found):
            if total <= self.limit_bytes * (1 - _ROOM_SHARE):
                return
            with suppress(OSError):
                path.unlink(missing_ok=True)
            total -= size
