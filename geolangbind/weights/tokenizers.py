"""The tokenizer of a checkpoint of open_clip's layout: beside the weights, in the hub's cache, or on the hub."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from geolangbind.checkpoint import TOKENIZER
from geolangbind.errors import CheckpointError
from geolangbind.models import zoo
from geolangbind.models.text import TextConfig
from geolangbind.tokenizer import TextTokenizer, tokenizer_from_json
from geolangbind.weights.hub import tokenizer_json
from geolangbind.weights.source import Source

_PAD_TOKENS = ("<pad>", "</s>")  # SigLIP 2's; SigLIP's, its end token


def find_tokenizer(found: Source, told: Mapping[str, Any], text: TextConfig) -> tuple[TextTokenizer | None, str]:
    """Find and read the tokenizer of a checkpoint.

    Args:
        found: the checkpoint.
        told: content of open_clip_config.json; may be empty.
        text: the text tower, whose vocabulary must be large enough.

    Returns:
        The tokenizer and ""; or None and where it was looked for: images can be encoded without.

    Raises:
        CheckpointError: the file is damaged, or of another vocabulary.
    """
    settings = ((told.get("model_cfg") or {}).get("text_cfg")) or {}
    repo = str(settings.get("hf_tokenizer_name", "timm/ViT-B-16-SigLIP"))
    path = found.folder / TOKENIZER
    if path.is_file() and (ours := (told.get("geolangbind") or {}).get("tokenizer")):
        return tokenizer_from_json(path.read_text(encoding="utf-8"), ours), ""
    if not path.is_file():
        try:
            path = tokenizer_json(repo)
        except CheckpointError as error:
            return None, f"{path} does not exist, and {repo} could not be had: {error}"
    clean = str((settings.get("tokenizer_kwargs") or {}).get("clean", "canonicalize"))
    return _read(path, repo, text, clean, found.json("tokenizer_config.json").get("pad_token")), ""


def size_tokenizer(name: str) -> TextTokenizer | None:
    """The tokenizer of a named size, from the hub or its cache; None for sizes that bring their own.

    Raises:
        CheckpointError: it cannot be had; says where it looked and how to provide it.
        SettingsError: unknown name.
    """
    size = zoo.get_size(name)
    if size.tokenizer_repo is None:
        return None
    try:
        return _read(tokenizer_json(size.tokenizer_repo), size.tokenizer_repo, size.text, "canonicalize", None)
    except CheckpointError as error:
        raise CheckpointError(f"size {name} needs a tokenizer: {error}; or start from a folder that holds one (model=FOLDER)") from None


def _read(path: Path, name: str, text: TextConfig, clean: str, pad_token: object) -> TextTokenizer:
    try:
        core = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing narrower
        raise CheckpointError(f"cannot read {path}: {error}") from None
    if core.get_vocab_size() > text.vocab_size:
        raise CheckpointError(
            f"{path} has {core.get_vocab_size()} entries, the text tower {text.vocab_size}: not the tokenizer of these weights"
        )
    told = pad_token.get("content") if isinstance(pad_token, dict) else pad_token
    for token in (told, *_PAD_TOKENS):
        if isinstance(token, str) and (pad_id := core.token_to_id(token)) is not None:
            return TextTokenizer(name, core, text.context_length, clean, int(pad_id))
    raise CheckpointError(f"{path}: no padding token; put tokenizer_config.json beside it")
