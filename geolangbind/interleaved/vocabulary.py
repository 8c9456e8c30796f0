"""Words to token ids for a language backbone, and the ids that have a meaning of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from typing import Any

from tokenizers import Tokenizer

from geolangbind.errors import CheckpointError
from geolangbind.interleaved.serialize import BOX_END, BOX_START
from geolangbind.tokenizer import clip_tokenizer

# the names that all Qwen tokenizers since 2 give them, those of the text models included
_IMAGE_START, _IMAGE_END, _FILLER, _EOS = "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|endoftext|>"


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """A tokenizer and the ids that the renderer sets itself. Made by `vocabulary_of`.

    Attributes:
        name: what it is called in `config.json`.
        core: the tokenizer.
        image_start: before an image's slots.
        image_end: behind them.
        filler: stands in the ids where a slot is computed.
        eos: ends every sequence; the embedding is read there.
        pad: fills short sequences of a batch (masked, so it may equal `eos`).
        box: ids around a box, or None where the tokenizer has none.
    """

    name: str
    core: Tokenizer = field(repr=False)
    image_start: int
    image_end: int
    filler: int
    eos: int
    pad: int
    box: tuple[int, int] | None

    def __reduce__(self) -> tuple[Any, ...]:
        # a tokenizer forgets `encode_special_tokens` on its way to another process
        return vocabulary_of, (self.name, self.core)

    def encode(self, text: str) -> tuple[int, ...]:
        """Ids of a piece of text. The spelling of a special token in it is text like any other."""
        return _encode(self, text)

    @property
    def size(self) -> int:
        """Number of ids, special ones included."""
        return int(self.core.get_vocab_size())

    def to_json(self) -> str:
        """The text of `tokenizer.json`."""
        return str(self.core.to_str(pretty=False))

    def settings(self) -> dict[str, Any]:
        """What `config.json` says of the vocabulary."""
        return {"name": self.name, "sha256": sha256(self.to_json().encode()).hexdigest()}


@lru_cache(maxsize=1 << 16)  # instructions, labels and facts repeat all the time
def _encode(vocabulary: Vocabulary, text: str) -> tuple[int, ...]:
    return tuple(vocabulary.core.encode(text, add_special_tokens=False).ids)


def vocabulary_of(name: str, core: Tokenizer) -> Vocabulary:
    """Find the special tokens of a tokenizer by name; `core` is set to treat their spelling in texts as text.

    Raises:
        CheckpointError: a token that every sequence needs is missing.
    """
    special = {token.content: number for number, token in core.get_added_tokens_decoder().items() if token.special}
    missing = [token for token in (_IMAGE_START, _IMAGE_END, _FILLER, _EOS) if token not in special]
    if missing:
        raise CheckpointError(
            f"tokenizer '{name}' lacks the special tokens {' '.join(missing)}; take a model of the families Qwen2 to Qwen3"
        )
    core.encode_special_tokens = True
    core.no_truncation()
    core.no_padding()
    box = (special[BOX_START], special[BOX_END]) if {BOX_START, BOX_END} <= set(special) else None
    image_start, image_end, filler, eos = (special[token] for token in (_IMAGE_START, _IMAGE_END, _FILLER, _EOS))
    return Vocabulary(name, core, image_start, image_end, filler, eos, eos, box)


def tiny_vocabulary() -> Vocabulary:
    """The head of CLIP's byte-pair vocabulary (8192 entries, offline) and six special tokens: for tests, demos and small models."""
    core = clip_tokenizer(7678)
    core.add_special_tokens([_IMAGE_START, _IMAGE_END, _FILLER, BOX_START, BOX_END, _EOS])
    return vocabulary_of("tiny", core)


def vocabulary_from_json(text: str, settings: Mapping[str, Any]) -> Vocabulary:
    """Rebuild a vocabulary from a model folder.

    Args:
        text: content of tokenizer.json.
        settings: the `vocabulary` entry of config.json, see `Vocabulary.settings`.

    Raises:
        CheckpointError: the file is damaged or is not the one the weights were trained with.
    """
    if not isinstance(settings, Mapping) or set(settings) != {"name", "sha256"}:
        raise CheckpointError(f"the vocabulary's settings in config.json are damaged: need name and sha256, got {settings!r:.200}")
    # the file's own bytes, before parsing: another release of `tokenizers` may write the same tokenizer differently
    if sha256(text.encode()).hexdigest() != settings["sha256"]:
        raise CheckpointError("tokenizer.json is not the one these weights were trained with (its SHA-256 differs from config.json)")
    return vocabulary_of(str(settings["name"]), Tokenizer.from_str(text))
