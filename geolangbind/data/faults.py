"""What is wrong with data, and whether that stops the work or is left out and counted. Importable without torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from geolangbind.errors import DataError

OnError = Literal["raise", "skip"]


@dataclass(frozen=True, order=True)
class Problem:
    """One finding: file name, sample key (empty or None where it is no single sample), what is wrong and the way out."""

    shard: str
    key: str | None
    what: str

    def __str__(self) -> str:
        return f"{self.shard}, key {self.key}: {self.what}" if self.key else f"{self.shard}: {self.what}"


@dataclass
class Faults:
    """What to do with problems: raise the first, or note them and go on.

    Attributes:
        on_error: "raise" or "skip".
        most: with "skip", one problem more than this is an error after all.
        found: the problems noted so far.
    """

    on_error: OnError = "raise"
    most: int = 1000
    found: list[Problem] = field(default_factory=list)

    def note(self, problem: Problem) -> None:
        """Take a problem.

        Raises:
            DataError: `on_error` is "raise", or there are too many.
        """
        if self.on_error == "raise":
            raise DataError(str(problem))
        self.found.append(problem)
        if len(self.found) > self.most:
            raise too_many(self.found, self.most)


def too_many(problems: Iterable[Problem], most: int) -> DataError:
    """The error for more bad samples than are to be left out: it names the first three."""
    first = "; ".join(map(str, list(problems)[:3]))
    return DataError(f"more than {most} bad samples (max_skipped={most}). The first: {first}. Mend the data, or allow more")
