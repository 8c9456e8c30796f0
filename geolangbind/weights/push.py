"""Publish a model folder on the hub: four files, checked first, with a card that names licences and results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from geolangbind import checkpoint
from geolangbind.card import INHERITED, UNKNOWN, forbids_commerce, lineage, model_card
from geolangbind.checkpoint import CARD, CONFIG, TOKENIZER, WEIGHTS
from geolangbind.errors import CheckpointError
from geolangbind.weights.hub import LOGIN, endpoint, failures, is_offline, parse_source, reason

_GENERATIONS = 8


@dataclass(frozen=True)
class Upload:
    """What would be published.

    Attributes:
        folder: the model folder.
        card: text of README.md.
        sizes: bytes by file name.
        notes: what the user should know first.
    """

    folder: Path
    card: str
    sizes: Mapping[str, int]
    notes: tuple[str, ...]

    def __str__(self) -> str:
        files = [f"  {size:>13,}  {name}" for name, size in self.sizes.items()]
        return "\n".join([f"{self.folder} would be published as", *files, *self.notes, "", self.card])


def push(
    folder: str | Path,
    repo: str,
    *,
    private: bool = False,
    results: str | Path | None = None,
    message: str | None = None,
    dry_run: bool = False,
    revision: str | None = None,
    licence: str | None = None,
) -> str:
    """Publish a model folder as one commit; writes its card (README.md) anew.

    Args:
        folder: model folder, or run folder.
        repo: `owner/name`; made if there is none.
        private: make a new repository private; else its owner's default holds.
        results: a results.jsonl; the rows measured on these very weights go into the card.
        message: of the commit.
        dry_run: change nothing and ask no network; return what would be published, the card included.
        revision: branch to commit to, made if there is none; by default the main one.
        licence: of these weights, as the hub spells licences; by default the parents', if they agree.

    Returns:
        The address of the model's page; with `dry_run` a listing.

    Raises:
        CheckpointError: the folder is no whole model, no result is of these weights, or the hub refuses.
    """
    name, branch = parse_source(f"{repo}@{revision}" if revision else repo)
    upload = prepare(folder, f"hf-hub:{name}", results=results, licence=licence)
    if dry_run:
        return str(upload)
    if is_offline():
        raise CheckpointError(f"cannot publish {name}: HF_HUB_OFFLINE is set; unset it, or look at the card with a dry run")
    with checkpoint.atomic_path(upload.folder / CARD) as part:
        part.write_text(upload.card, encoding="utf-8")
    return _send(upload, name, private, message or "Publish a geolangbind model", branch)


def prepare(folder: str | Path, source: str, *, results: str | Path | None = None, licence: str | None = None) -> Upload:
    """Check a model folder and write its card, without a network and without changing anything.

    Arguments as of `push`; `source` is what the card's example gives to `geolangbind.load`.

    Raises:
        CheckpointError: the folder is no whole model, or no result is of these weights.
    """
    place = checkpoint.find_model(folder)
    config = checkpoint.read_config(place)
    _check_weights(place / WEIGHTS)
    _check_tokenizer(place / TOKENIZER, config)
    rows, left_out = _read_results(Path(results), place / WEIGHTS) if results else ([], 0)
    traced = {**config, "parents": _trace(config)}
    card = model_card(traced, results=rows, licence=licence, source=source)
    names = [WEIGHTS, CONFIG, *([TOKENIZER] if config.get("tokenizer") else [])]
    sizes = {**{name: (place / name).stat().st_size for name in names}, CARD: len(card.encode())}
    notes = [f"{left_out} result rows of other weights are left out"] if left_out else []
    bound = {str(parent.get("path")): parent["licence"] for parent in traced["parents"] if forbids_commerce(parent["licence"])}
    notes += [f"parent {path} is {terms}: no commercial use, which holds for what is made from it" for path, terms in bound.items()]
    return Upload(place, card, sizes, tuple(notes))


def _check_weights(path: Path) -> None:
    """Read the header only: names, shapes and the file's length."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            names = list(file.keys())
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"cannot read {path}: {error}") from None
    if not any(name.startswith("vision.") for name in names):
        raise CheckpointError(f"{path} holds no image tower (no tensor vision.*); save the model again")


def _check_tokenizer(path: Path, config: Mapping[str, Any]) -> None:
    settings = config.get("tokenizer")
    if not settings:
        return
    try:
        found = sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise CheckpointError(f"model folder is incomplete: {error}") from None
    if found != settings.get("sha256"):
        raise CheckpointError(f"{path} is not the one these weights were trained with (its SHA-256 differs from {CONFIG})")


def _read_results(path: Path, weights: Path) -> tuple[list[dict[str, Any]], int]:
    """The rows measured on these weights, and how many others there are."""
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        digests = [row["model_sha256"] for row in rows]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"cannot read the results {path}: {error!r}; give a results.jsonl of geolangbind-evaluate") from None
    own = checkpoint.file_sha256(weights)
    kept = [row for row, digest in zip(rows, digests, strict=True) if digest == own]
    if not kept:
        models = ", ".join(sorted({str(row.get("model")) for row in rows})) or "no model"
        raise CheckpointError(
            f"{path} holds no result of {weights} (SHA-256 {own[:12]}), only of {models}; evaluate these weights, or leave the results out"
        )
    return kept, len(rows) - len(kept)


def _trace(config: Mapping[str, Any], generation: int = 0) -> list[dict[str, Any]]:
    """The parents, and where one's licence is unknown but its folder is still there, its parents too: their terms must not get lost."""
    found: list[dict[str, Any]] = []
    for parent in lineage(config):
        older = _trace(theirs, generation + 1) if parent["licence"] == UNKNOWN and (theirs := _config_of(parent, generation)) else []
        found.append({**parent, "licence": INHERITED} if older else parent)
        found += [{**entry, "role": f"{entry.get('role', '?')} of {parent.get('role', '?')}", "coefficient": None} for entry in older]
    return found


def _config_of(parent: Mapping[str, Any], generation: int) -> dict[str, Any] | None:
    if generation >= _GENERATIONS or not parent.get("path"):
        return None
    try:
        place = checkpoint.find_model(str(parent["path"]))
        if checkpoint.file_sha256(place / WEIGHTS) != parent.get("sha256"):
            return None  # another model has taken its place
        return checkpoint.read_config(place)
    except (CheckpointError, OSError):
        return None


def _send(upload: Upload, repo: str, private: bool, message: str, branch: str | None) -> str:
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HfHubHTTPError

    api = HfApi(endpoint=endpoint())
    expected: tuple[type[Exception], ...] = (ValueError, *failures())  # huggingface_hub raises the first for a card it does not like
    try:
        url = str(api.create_repo(repo, private=private or None, exist_ok=True))
        if branch:
            api.create_branch(repo, branch=branch, exist_ok=True)
        files = [CommitOperationAdd(path_in_repo=name, path_or_fileobj=upload.folder / name) for name in upload.sizes]
        api.create_commit(repo, files, commit_message=message, revision=branch)
    except expected as error:
        status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
        way = f"{LOGIN}, with a token that may write to {repo.split('/')[0]}" if status in (401, 403) else "try again when it answers"
        raise CheckpointError(f"cannot publish {upload.folder} as {repo}: {reason(error)}. Way out: {way}") from None
    return f"{url}/tree/{branch}" if branch else url
