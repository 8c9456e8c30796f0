"""A few threads for independent pieces of work, where the first failure or Ctrl-C stops all."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")

_MOST_THREADS = 4  # more would wait for memory and disk


class Workers:
    """A thread pool as a context: leaving it on a failure cancels what has not begun and waits for what has."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1))
        self._futures: list[Future[Any]] = []

    def submit(self, work: Callable[..., T], *arguments: object) -> Future[T]:
        """Queue a piece of work."""
        future = self._pool.submit(work, *arguments)
        self._futures.append(future)
        return future

    def wait(self) -> None:
        """Wait until all is done; raise the first failure."""
        done, _ = wait(self._futures, return_when=FIRST_EXCEPTION)
        for future in done:
            future.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._pool.shutdown(wait=True, cancel_futures=kind is not None)
