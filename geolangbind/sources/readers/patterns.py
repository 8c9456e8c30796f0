"""Patterns of paths: `images/{split}/{class}/{id}.tif`. Found files come with what their paths say; filled in, they name other files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from geolangbind.errors import DataError, SettingsError

_PART = re.compile(r"(\{[^{}]*\}|\*\*/|\*)")
_NAME = re.compile(r"\{([A-Za-z_][\w.]*)\}")
_SPLITS = {"training": "train", "val": "validation", "valid": "validation", "dev": "validation", "testing": "test"}


def find(root: Path, pattern: str) -> Iterator[tuple[Path, dict[str, str]]]:
    """Yield the files under `root` that fit `pattern`, sorted by path, with the text of each `{name}`.

    A `{name}` stands for letters within one folder or file name, twice the same name for the same text; `*` for any letters within a name,
    `**/` for any folders. A pattern that ends with `/` finds folders.

    Raises:
        SettingsError: the pattern leaves the root or has a brace that names nothing.
    """
    if pattern.startswith(("/", "~")) or ".." in pattern.split("/"):
        raise SettingsError(f"pattern '{pattern}' must stay under the root")
    expression, glob, seen = "", "", set[str]()
    for part in _PART.split(pattern.rstrip("/")):
        name = _NAME.fullmatch(part)
        if name is None and part.startswith("{"):
            raise SettingsError(f"pattern '{pattern}' has {part}, which names nothing; write {{name}}")
        if name is None:
            expression += {"*": "[^/]*", "**/": "(?:.*/)?"}.get(part, re.escape(part))
            glob += part if part in ("*", "**/") else re.sub(r"([\[\]?])", r"[\1]", part)
        else:
            expression += f"(?P={name[1]})" if name[1] in seen else f"(?P<{name[1]}>[^/]+)"
            glob += "*"
            seen.add(name[1])
    fits, folders = re.compile(expression), pattern.endswith("/")
    for path in sorted(root.glob(glob)):
        match = fits.fullmatch(path.relative_to(root).as_posix())
        if match and path.is_dir() == folders and not any(part.startswith(".") for part in path.relative_to(root).parts):
            yield path, match.groupdict()


def fill(root: Path, pattern: str, values: Mapping[str, object]) -> Path:
    """Return the path under `root` that `pattern` names with `values` put in.

    Raises:
        DataError: a name has no value, or the value leads out of the root.
    """

    def value(match: re.Match[str]) -> str:
        if values.get(match[1]) in (None, ""):
            raise DataError(f"'{pattern}' needs {match[1]}, which this sample does not have")
        return str(values[match[1]])

    path = root / _NAME.sub(value, pattern)
    # by its letters: links inside the root may well lead to another disk
    parts = path.relative_to(root).parts if path.is_relative_to(root) else ("..",)
    if ".." in parts or "\0" in str(path):
        raise DataError(f"'{path}' leads out of {root}")
    return path


def split_name(text: str | None) -> str | None:
    """Return the name of a split as all cards write it: train, validation, test, or the source's own."""
    return None if text is None else _SPLITS.get(text.lower(), text.lower())
