"""Model files from the hub: fetched once, then served from the local cache, with or without a network."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from geolangbind.checkpoint import CARD, CONFIG, TOKENIZER
from geolangbind.errors import CheckpointError

SMALL_FILES = (CONFIG, "open_clip_config.json", TOKENIZER, "tokenizer_config.json", "special_tokens_map.json", CARD)
WEIGHTS_FILES = ("model.safetensors", "open_clip_model.safetensors", "open_clip_pytorch_model.bin", "pytorch_model.bin")
"""In the order of preference: many repositories hold the same weights two or three times."""
LOGIN = "log in with `hf auth login`, or set HF_TOKEN"

_NAME = r"\w(?:[\w.-]*\w)?"
_SOURCE = re.compile(rf"(?:hf-hub:)?({_NAME}/{_NAME})(?:@([\w./-]+))?", re.ASCII)
_COMMIT = re.compile("[0-9a-f]{40}")
_LONGEST_NAME = 96
_TIMEOUT_S = 10.0
_Choose = Callable[[Iterable[str]], list[str]]


def fetch(source: str) -> Path:
    """Fetch the files of a model that are needed to load it, and no more than one copy of its weights.

    Args:
        source: `hf-hub:owner/name` or `hf-hub:owner/name@revision` (branch, tag or commit).

    Returns:
        The folder of the hub's cache that holds them: whichever of `SMALL_FILES` exist, and the first of `WEIGHTS_FILES`, whole or as
        its `.index.json` with all shards. Without a connection, or with HF_HUB_OFFLINE=1, what the cache holds.

    Raises:
        CheckpointError: the source is malformed, or the files are neither cached nor to be had; says which, where it looked, what to do.
    """
    repo, revision = parse_source(source)
    return _get(repo, revision, _model_files, f"a weights file ({', '.join(WEIGHTS_FILES)}, or shards with an index)")


def tokenizer_json(repo: str) -> Path:
    """Fetch tokenizer.json of a repository, as `fetch` does.

    Args:
        repo: `owner/name`, with or without `hf-hub:` and `@revision`.

    Raises:
        CheckpointError: it is neither cached nor to be had.
    """
    name, revision = parse_source(repo)
    return _get(name, revision, lambda names: [TOKENIZER] if TOKENIZER in names else [], TOKENIZER) / TOKENIZER


def parse_source(source: str) -> tuple[str, str | None]:
    """Split `hf-hub:owner/name@revision` into repository and revision.

    Raises:
        CheckpointError: it is not of that form.
    """
    found = _SOURCE.fullmatch(source)
    # names as the hub allows them; and a revision becomes a path in the cache, which it must not leave
    if found is None or ".." in source or "--" in found[1] or found[1].endswith(".git") or len(found[1]) > _LONGEST_NAME:
        raise CheckpointError(f"'{source}' names no repository; write hf-hub:owner/name or hf-hub:owner/name@revision")
    return found[1], found[2]


def endpoint() -> str | None:
    """The hub's address if HF_ENDPOINT sets one. Read at each call, as notebooks and tests set it late; huggingface_hub reads it once."""
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or None


def cache_folder() -> Path:
    """Where the hub's cache lies, from the variables huggingface_hub knows, read at each call."""
    from huggingface_hub import constants

    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if os.environ.get(name):
            return Path(os.environ[name]).expanduser()
    return Path(os.environ["HF_HOME"]).expanduser() / "hub" if os.environ.get("HF_HOME") else Path(constants.HF_HUB_CACHE)


def is_offline() -> bool:
    """Whether HF_HUB_OFFLINE is set, now or when huggingface_hub was imported (it then refuses every request)."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE) or os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def failures() -> tuple[type[Exception], ...]:
    """What a request to the hub may raise, connection failures included.

    The HTTP library underneath has changed with huggingface_hub's releases (requests, httpx, httpx2); its base class is that of
    `HfHubHTTPError`.
    """
    from huggingface_hub.errors import HfHubHTTPError

    return (OSError, *(base for base in HfHubHTTPError.__bases__ if issubclass(base, Exception)))


def reason(error: Exception) -> str:
    """The line of a hub failure that says what happened."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines[:2])}" if lines else type(error).__name__


def _get(repo: str, revision: str | None, choose: _Choose, wanted: str) -> Path:
    """The folder with the chosen files: from the hub if it answers, else from the cache."""
    from huggingface_hub.errors import RevisionNotFoundError

    # a commit never changes: no need to ask
    if revision and _COMMIT.fullmatch(revision) and (folder := _cached(repo, revision, choose)):
        return folder
    problem: Exception | None = None
    if not is_offline():
        try:
            return _download(repo, revision, choose, wanted)
        except RevisionNotFoundError:
            raise CheckpointError(f"{repo} on the hub has no revision '{revision}'; give one of its branches, tags or commits") from None
        except failures() as error:
            problem = error
    if folder := _cached(repo, revision, choose):
        return folder
    raise CheckpointError(_refusal(repo, revision, wanted, problem)) from None


def _download(repo: str, revision: str | None, choose: _Choose, wanted: str) -> Path:
    from huggingface_hub import HfApi, snapshot_download

    info = HfApi(endpoint=endpoint()).model_info(repo, revision=revision, timeout=_TIMEOUT_S)
    names = [sibling.rfilename for sibling in info.siblings or ()]
    chosen = choose(names)
    if not chosen:
        raise CheckpointError(f"{repo} on the hub holds no {wanted.removeprefix('a ')}; it holds {', '.join(names[:20]) or 'no files'}")
    # by the name of the revision, so that the cache knows it by that name too
    folder = Path(snapshot_download(repo, revision=revision, allow_patterns=chosen, cache_dir=cache_folder(), endpoint=endpoint()))
    if missing := [name for name in chosen if not (folder / name).is_file()]:
        raise FileNotFoundError(f"the download ended without {', '.join(missing)}")
    return folder


def _cached(repo: str, revision: str | None, choose: _Choose) -> Path | None:
    """The cache's folder of a revision, if it holds what is wanted."""
    from huggingface_hub import try_to_load_from_cache

    for name in (*SMALL_FILES, *WEIGHTS_FILES, *map(_index_of, WEIGHTS_FILES)):
        found = try_to_load_from_cache(repo, name, cache_dir=cache_folder(), revision=revision)
        if isinstance(found, str):
            folder = Path(found).parent
            return folder if choose([path.name for path in folder.iterdir() if path.is_file()]) else None
    return None


def _model_files(names: Iterable[str]) -> list[str]:
    """Of the files of a repository, those that are needed; none when there are no weights."""
    there = set(names)
    weights = next((files for name in WEIGHTS_FILES if (files := _weights_files(name, there))), [])
    return [*(name for name in SMALL_FILES if name in there), *weights] if weights else []


def _weights_files(name: str, there: set[str]) -> list[str]:
    """The weights file called `name`, or its index and shards; none when it is not there or a shard is missing."""
    if name in there:
        return [name]
    if _index_of(name) not in there:
        return []
    stem, suffix = name.split(".")
    shards = sorted(shard for shard in there if re.fullmatch(rf"{stem}-\d{{5}}-of-\d{{5}}\.{suffix}", shard))
    count = int(shards[0].removesuffix(f".{suffix}")[-5:]) if shards else -1
    return [_index_of(name), *shards] if len(shards) == count else []


def _index_of(name: str) -> str:
    return f"{name}.index.json"


def _refusal(repo: str, revision: str | None, wanted: str, problem: Exception | None) -> str:
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    where = endpoint() or "the hub"
    elsewhere = "download the repository on a connected machine and give the folder instead"
    match problem:
        case None:
            why, way = "HF_HUB_OFFLINE is set", f"unset it, or {elsewhere}"
        case GatedRepoError():
            why, way = "the repository is gated", f"accept its terms on its page, then {LOGIN}"
        case RepositoryNotFoundError():
            why, way = f"{where} knows no such repository, or it is private", f"check the name, or {LOGIN}"
        case HfHubHTTPError() if problem.response.status_code in (401, 403):
            why, way = f"{where} refused access ({reason(problem)})", LOGIN
        case _:
            why, way = f"{where} cannot be reached ({reason(problem)})", elsewhere
    return (
        f"cannot get {wanted} of {repo}{f'@{revision}' if revision else ''}: {why}, and it is not in the cache {cache_folder()}. "
        f"Way out: {way}"
    )
