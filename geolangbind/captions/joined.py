"""Captions made elsewhere, joined by the sample's key from a file of JSON lines."""

from __future__ import annotations

import json
from array import array
from hashlib import blake2b
from pathlib import Path

import numpy as np

from geolangbind.captions.facts import Caption
from geolangbind.errors import DataError


class JoinedCaptions:
    """Captions of a JSON-lines file by key.

    A line is `{"key": ..., "caption": ...}` or `{"key": ..., "captions": [...]}`, either with `"source"` if wanted: what made it. Lines of
    the same key add up, in the file's order; blank lines are passed over.

    The texts stay in the file: memory holds 17 bytes per line, a hash of the key, the line's place and whether it was used. An instance can
    be sent to other processes; what they use is counted there.
    """

    def __init__(self, path: Path | str) -> None:
        """Check the whole file once.

        Args:
            path: the file.

        Raises:
            DataError: it cannot be read, or a line is broken; the message names file and line.
        """
        self._path = Path(path)
        hashes, starts = array("Q"), array("Q")
        start = 0
        try:
            with self._path.open("rb") as file:
                for number, line in enumerate(file, start=1):
                    if line.strip():
                        hashes.append(_hash(self._parse(line, f"line {number}")[0]))
                        starts.append(start)
                    start += len(line)
        except OSError as error:
            raise DataError(f"{self._path}: cannot read the captions: {error.strerror}") from None
        unsorted = np.array(hashes, np.uint64)
        order = np.argsort(unsorted, kind="stable")
        self._hashes, self._starts = unsorted[order], np.array(starts, np.uint64)[order]
        self._used = np.zeros(len(order), bool)

    def get(self, key: str) -> tuple[Caption, ...]:
        """Return the captions of a sample; none where the file has no such key.

        Raises:
            DataError: the file cannot be read any more, or has changed.
        """
        wanted = np.uint64(_hash(key))
        first, last = np.searchsorted(self._hashes, wanted, "left"), np.searchsorted(self._hashes, wanted, "right")
        if first == last:
            return ()
        found: list[Caption] = []
        try:
            with self._path.open("rb") as file:  # opened each time: processes that share an open file would move each other's position
                for place in range(int(first), int(last)):
                    file.seek(int(self._starts[place]))
                    line_key, captions = self._parse(file.readline(), f"at byte {self._starts[place]}, changed since it was opened")
                    if line_key == key:
                        self._used[place] = True
                        found += captions
        except OSError as error:
            raise DataError(f"{self._path}: cannot read the captions: {error.strerror}") from None
        return tuple(found)

    def unused(self) -> int:
        """Count the keys of the file that `get` was never asked for."""
        return len(np.unique(self._hashes[~self._used]))

    def _parse(self, line: bytes, where: str) -> tuple[str, list[Caption]]:
        try:
            content = json.loads(line.decode("utf-8-sig"))
        except (ValueError, RecursionError) as error:
            raise DataError(f"{self._path}: {where}: not JSON in UTF-8: {error}") from None
        key = content.get("key") if isinstance(content, dict) else None
        if not isinstance(key, str) or not key:
            raise DataError(f"{self._path}: {where}: needs a 'key', the sample's key as a text")
        if ("caption" in content) == ("captions" in content):
            raise DataError(f"{self._path}: {where}: needs either 'caption', a text, or 'captions', a list of texts")
        texts = content["captions"] if "captions" in content else [content["caption"]]
        source = content.get("source", "")
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in [*texts, source]):
            raise DataError(f"{self._path}: {where}: captions and source must be texts")
        origin = f"joined:{self._path.name}/{source}" if source else f"joined:{self._path.name}"
        return key, [Caption(text, origin) for text in texts]


def _hash(key: str) -> int:
    return int.from_bytes(blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
