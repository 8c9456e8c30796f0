"""What asking for remote bytes needs: the file system of a protocol, which failures pass, and what to tell the user."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

from geolangbind.errors import DataError

PROTOCOLS = {"https": "aiohttp", "http": "aiohttp", "s3": "s3fs", "gs": "gcsfs", "memory": ""}
"""Protocols that may be read, with the package that each needs."""

_SILENT_S = 60.0
_PASSING_STATUS = (408, 425, 429)
_FINAL = (FileNotFoundError, PermissionError, NotImplementedError, ValueError, TypeError)


@dataclass(frozen=True)
class Retry:
    """Bounded exponential waiting.

    Attributes:
        attempts: tries in all.
        first_s: pause after the first failure; doubles with each further one.
        longest_s: longest pause.
        wait: sleeps for the given seconds.
    """

    attempts: int = 5
    first_s: float = 0.5
    longest_s: float = 30.0
    wait: Callable[[float], None] = time.sleep

    def pause_s(self, failures: int) -> float:
        """Seconds to wait after `failures` failures."""
        return float(min(self.first_s * 2 ** (failures - 1), self.longest_s))


class Ranges(Protocol):
    """What is asked of a file system: many byte ranges at once, a failure in the place of its bytes."""

    def cat_ranges(
        self, paths: list[str], starts: list[int | None], ends: list[int | None], *, on_error: str
    ) -> Sequence[bytes | BaseException]:
        """Return the bytes of each range, None for an open end."""


def open_filesystem(protocol: str, where: str) -> Ranges:
    """Return fsspec's file system; one per process and protocol, and a fresh one after a fork.

    Raises:
        DataError: the package for the protocol is not installed.
    """
    try:
        import fsspec

        if protocol not in ("http", "https"):
            return cast(Ranges, fsspec.filesystem(protocol))
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_SILENT_S, sock_read=_SILENT_S)
        # compressed answers would not have the length asked for; trust_env: proxies and ~/.netrc
        options = {"headers": {"Accept-Encoding": "identity"}, "client_kwargs": {"timeout": timeout, "trust_env": True}}
        return cast(Ranges, fsspec.filesystem(protocol, **options))
    except ImportError:
        package = PROTOCOLS[protocol]
        way = f"run `pip install 'geolangbind[remote]'` or `pip install {package}`"
        raise DataError(f"cannot read {where}: {protocol}:// needs the package {package}; {way}") from None


def is_final(error: BaseException) -> bool:
    """Whether asking again is pointless: not there, refused, a client error; all else may be the network."""
    status = getattr(error, "status", None)
    if isinstance(status, int) and 400 <= status < 500:
        return status not in _PASSING_STATUS
    return isinstance(error, _FINAL) or type(error).__name__ in ("NoCredentialsError", "PartialCredentialsError")


def explain(url: str, error: BaseException, attempts: int) -> str:
    """One line: what failed at `url` after how many tries, and the way out."""
    status = getattr(error, "status", None)
    tries = f"after {attempts} {'try' if attempts == 1 else 'tries'}"
    if isinstance(error, FileNotFoundError) or status == 404:
        return f"{url} does not exist (HTTP 404 or no such object); check the address: the folder holds index.json and the tars it lists"
    if isinstance(error, PermissionError) or status in (401, 403) or "Credentials" in type(error).__name__:
        code = f" (HTTP {status})" if status else ""
        return f"{url}: access refused{code}; give credentials: a signed address or ~/.netrc for https, AWS_* or ~/.aws for s3"
    if isinstance(error, NotImplementedError):
        return f"{url}: {error}; use a server that answers them, or copy the folder here"
    if isinstance(error, EOFError) or status == 416:
        what = str(error) if isinstance(error, EOFError) else "it ends before the bytes asked for (HTTP 416)"
        return f"{url} is cut off: {what}, {tries}; upload it again (`geolangbind shards verify` lists all damage)"
    what = f"HTTP {status}" if status else " ".join(f"{type(error).__name__} {error}".split()).split("?")[0]
    return f"{url} cannot be reached {tries} ({what}); check network, proxy (HTTPS_PROXY) and address, then start the command again"
