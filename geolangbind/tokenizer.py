"""Text to token ids, offline: a `tokenizer.json` in the model folder, read by the `tokenizers` library.

Presets trained from scratch use the head of the byte-pair vocabulary that ships inside open_clip (merges are in order of frequency,
so any prefix of the list is a tokenizer itself). SigLIP presets bring their own `tokenizer.json`.
"""

from __future__ import annotations

import gzip
import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.resources import files
from itertools import islice
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from torch import Tensor

from geolangbind.errors import CheckpointError

_START, _END = "<start_of_text>", "<end_of_text>"
_WORD = r"<start_of_text>|<end_of_text>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def canonicalize(text: str) -> str:
    """SigLIP's text cleaning: lower case, no punctuation, single spaces (arXiv 2303.15343, big_vision's prompt code)."""
    text = text.replace("_", " ").translate(str.maketrans("", "", string.punctuation))
    return re.sub(r"\s+", " ", text.lower()).strip()


def words_of(text: str) -> list[str]:
    """The words of a text after `canonicalize`."""
    return canonicalize(text).split()


def clip_tokenizer(merges: int = 48894) -> Tokenizer:
    """CLIP's byte-pair tokenizer, from the vocabulary inside the open_clip package.

    Args:
        merges: how many of the 48,894 merges to use; the vocabulary has `merges` + 514 entries.

    Returns:
        A tokenizer that lower-cases and adds start and end tokens. With all merges its ids equal open_clip's.
    """
    listed = files("open_clip").joinpath("bpe_simple_vocab_16e6.txt.gz")
    with listed.open("rb") as packed, gzip.open(packed, "rt", encoding="utf-8") as lines:
        rules = [(first, second) for first, second in (line.split() for line in islice(lines, 1, merges + 1))]
    letters = _byte_letters()
    vocabulary = [*letters, *(letter + "</w>" for letter in letters), *(a + b for a, b in rules), _START, _END]
    ids = {token: index for index, token in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.BPE(ids, rules, end_of_word_suffix="</w>", unk_token=_END))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    split = pre_tokenizers.Split(Regex(_WORD), behavior="removed", invert=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{_START} $A {_END}", special_tokens=[(t, ids[t]) for t in (_START, _END)]
    )
    return tokenizer


def _byte_letters() -> list[str]:
    """GPT-2's printable stand-in for each byte, in the order in which CLIP numbers them."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    rest = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + i) for i in range(len(rest))]


@dataclass(frozen=True)
class TextTokenizer:
    """Sentences to a rectangle of ids.

    Attributes:
        name: what the tokenizer is called in `config.json`.
        core: the tokenizer.
        context_length: ids per sentence; longer ones are cut, keeping the last special token.
        clean: "lower" or "canonicalize" (SigLIP).
        pad_id: fills short sentences.
    """

    name: str
    core: Tokenizer = field(repr=False)
    context_length: int
    clean: str = "lower"
    pad_id: int = 0

    def __post_init__(self) -> None:
        if self.clean not in ("lower", "canonicalize"):
            raise CheckpointError(f"unknown text cleaning '{self.clean}' in the tokenizer's settings; known are lower, canonicalize")
        self.core.enable_truncation(self.context_length)
        self.core.enable_padding(length=self.context_length, pad_id=self.pad_id, pad_token=self.core.id_to_token(self.pad_id) or "")

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Return int64 ids (B, context_length) of B texts."""
        cleaned = [canonicalize(text) if self.clean == "canonicalize" else " ".join(text.split()) for text in texts]
        ids = [encoding.ids for encoding in self.core.encode_batch(cleaned)]
        return torch.tensor(ids, dtype=torch.int64).reshape(len(cleaned), self.context_length)

    def to_json(self) -> str:
        """The text of `tokenizer.json`."""
        return str(self.core.to_str(pretty=False))

    @property
    def sha256(self) -> str:
        """Hash of `tokenizer.json`, the tokenizer's identity."""
        return sha256(self.to_json().encode()).hexdigest()

    def settings(self) -> dict[str, Any]:
        """What `config.json` says of the tokenizer."""
        return {"name": self.name, "context_length": self.context_length, "clean": self.clean, "pad_id": self.pad_id, "sha256": self.sha256}


def tokenizer_from_json(text: str, settings: Mapping[str, Any]) -> TextTokenizer:
    """Rebuild a tokenizer from a model folder.

    Args:
        text: content of tokenizer.json.
        settings: the `tokenizer` entry of config.json.

    Raises:
        CheckpointError: the file is damaged or is not the one the weights were trained with.
    """
    try:
        name, clean, expected = settings["name"], settings["clean"], settings["sha256"]
        context_length, pad_id = int(settings["context_length"]), int(settings["pad_id"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"the tokenizer's settings in config.json are damaged: {error!r}") from None
    # the file's own bytes, before parsing: another release of `tokenizers` may write the same tokenizer differently
    if sha256(text.encode()).hexdigest() != expected:
        raise CheckpointError("tokenizer.json is not the one these weights were trained with (its SHA-256 differs from config.json)")
    return TextTokenizer(name, Tokenizer.from_str(text), context_length, clean, pad_id)
