"""A plain tar that gets its final name only when it is whole. Bytes are reproducible: fixed times, owners and modes."""

from __future__ import annotations

import hashlib
import os
import tarfile
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from webdataset import TarWriter


class PendingTar:
    """A tar under a temporary name; `seal` syncs it and measures its members, `place` gives it its final name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        self.keys: list[str] = []
        self.checks: dict[str, int] = {}
        self._file = self.temporary.open("wb")
        self._tar = TarWriter(self._file, encoder=False, mtime=0, mode=0o644, user="", group="")

    def add(self, key: str, members: Mapping[str, bytes]) -> None:
        """Append the members of one sample, bytes by extension."""
        self._tar.write({"__key__": key, **members})
        self.keys.append(key)
        self.checks.update({f"{key}.{extension}": zlib.crc32(data) for extension, data in members.items()})

    @property
    def n_bytes(self) -> int:
        """Bytes written so far."""
        return self._file.tell()

    def seal(self) -> tuple[str, int, dict[str, tuple[int, int, int]]]:
        """Close the tar. Returns its SHA-256, its size, and offset, size, CRC-32 by member name."""
        self._tar.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        with self.temporary.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        with tarfile.open(self.temporary, "r:") as tar:
            members = {item.name: (item.offset_data, item.size, self.checks[item.name]) for item in tar}
        return sha256, self.temporary.stat().st_size, members

    def place(self) -> None:
        """Give the sealed tar its final name."""
        self.temporary.replace(self.path)

    def discard(self) -> None:
        """Close and delete what is left under the temporary name; harmless after `place`."""
        if not self._file.closed:
            with suppress(OSError):  # a full disk must not hide what went wrong first
                self._tar.close()
            with suppress(OSError):
                self._file.close()
        self.temporary.unlink(missing_ok=True)
