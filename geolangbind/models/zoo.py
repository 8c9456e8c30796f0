"""Named sizes in one literal table."""

from __future__ import annotations

from dataclasses import dataclass

from geolangbind.errors import CheckpointError, SettingsError
from geolangbind.model import GeoLangBind
from geolangbind.models.encoder import VisionConfig
from geolangbind.models.text import TextConfig
from geolangbind.models.two_tower import TwoTower
from geolangbind.statistics import Statistics
from geolangbind.tokenizer import TextTokenizer, clip_tokenizer, tokenizer_from_hub

_TINY_MERGES = 7678  # 8,192 ids with bytes and specials: common English in one or two pieces, a sixth of the table to train


@dataclass(frozen=True)
class Size:
    """A named architecture.

    Attributes:
        vision: image tower.
        text: text tower.
        tokenizer_repo: hub repository of its tokenizer.json; None for the vocabulary bundled with open_clip.
        note: one line for people.
    """

    vision: VisionConfig
    text: TextConfig
    tokenizer_repo: str | None
    note: str


SIZES: dict[str, Size] = {
    "tiny": Size(
        VisionConfig(64, 2, 128, 3, 4, 384, stem=(32, 64), generator_hidden=256),
        TextConfig(8192, 24, 128, 2, 4, 2.0, 128),
        None,
        "trained from scratch on the synthetic planet in minutes on a CPU",
    ),
    "b-224": Size(VisionConfig(), TextConfig(), "timm/ViT-B-16-SigLIP", "SigLIP B/16 at 224 px; GeoLangBind-B-224"),
    "l-384": Size(
        VisionConfig(384, 14, 1152, 27, 16, 4304),
        TextConfig(32000, 64, 1152, 27, 16, 4304 / 1152, 1152),
        "timm/ViT-SO400M-14-SigLIP-384",
        "SigLIP so400m/14 at 384 px; GeoLangBind-L-384",
    ),
}


def build(name: str, *, tokenizer: TextTokenizer | None = None) -> GeoLangBind:
    """A model of random weights. Seed torch first for reproducible ones.

    Args:
        name: a key of `SIZES`.
        tokenizer: instead of the size's own. Sizes with a hub tokenizer work without one until text is encoded.

    Raises:
        SettingsError: unknown name.
    """
    size = get_size(name)
    if tokenizer is None and size.tokenizer_repo is None:
        tokenizer = TextTokenizer(
            f"clip-bpe-{size.text.vocab_size}", clip_tokenizer(_TINY_MERGES), size.text.context_length, "canonicalize"
        )
    towers = TwoTower(size.vision, size.text)
    return GeoLangBind(towers, tokenizer, Statistics()).eval()


def fetch_tokenizer(name: str) -> TextTokenizer | None:
    """Read the tokenizer of a size from the hub (or its local cache); None for sizes that bring their own.

    Raises:
        CheckpointError: it cannot be had; says what was wanted and how to provide it.
    """
    size = get_size(name)
    if size.tokenizer_repo is None:
        return None
    try:
        return tokenizer_from_hub(size.tokenizer_repo, size.text.context_length)
    except OSError as error:
        raise CheckpointError(
            f"size {name} needs tokenizer.json of {size.tokenizer_repo}, which is neither cached nor reachable ({error}); "
            "start from a model folder that holds a tokenizer.json instead (model=FOLDER)"
        ) from None


def get_size(name: str) -> Size:
    """Look a size up.

    Raises:
        SettingsError: unknown name.
    """
    if name not in SIZES:
        raise SettingsError(f"unknown model size '{name}'; sizes are {', '.join(SIZES)}")
    return SIZES[name]
