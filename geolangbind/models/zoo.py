"""Named sizes in one literal table."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from geolangbind.errors import SettingsError
from geolangbind.model import GeoLangBind
from geolangbind.models.encoder import VisionConfig
from geolangbind.models.text import TextConfig
from geolangbind.models.two_tower import TwoTower
from geolangbind.statistics import Statistics
from geolangbind.tokenizer import TextTokenizer, clip_tokenizer

_TINY_MERGES = 7678  # 8,192 ids with bytes and specials: common English in one or two pieces, a sixth of the table to train


@dataclass(frozen=True)
class Size:
    """A named architecture.

    Attributes:
        vision: image tower.
        text: text tower.
        tokenizer_repo: hub repository of its tokenizer.json; None for the vocabulary bundled with open_clip.
        start: hub repository of SigLIP weights to start from, or of a released model; None for sizes trained from scratch.
        note: one line for people.
    """

    vision: VisionConfig
    text: TextConfig
    tokenizer_repo: str | None
    start: str | None
    note: str


_SO400M = 4304 / 1152  # MLP ratio of the shape-optimised ViT (arXiv 2305.13035)
_GEMMA = 256000  # vocabulary of SigLIP 2

SIZES: dict[str, Size] = {
    "tiny": Size(
        VisionConfig(64, 2, 128, 3, 4, 384, stem=(32, 64), generator_hidden=256),
        TextConfig(8192, 24, 128, 2, 4, 2.0, 128),
        None,
        None,
        "trained from scratch on the synthetic planet in minutes on a CPU",
    ),
    "b-224": Size(
        VisionConfig(),
        TextConfig(),
        "timm/ViT-B-16-SigLIP",
        "timm/ViT-B-16-SigLIP",
        "SigLIP B/16; GeoLangBind-B-224",
    ),
    "l-384": Size(
        VisionConfig(384, 14, 1152, 27, 16, 4304),
        TextConfig(32000, 64, 1152, 27, 16, _SO400M, 1152),
        "timm/ViT-SO400M-14-SigLIP-384",
        "timm/ViT-SO400M-14-SigLIP-384",
        "SigLIP so400m/14; GeoLangBind-L-384",
    ),
    "b-224-siglip2": Size(
        VisionConfig(),
        TextConfig(_GEMMA, gelu_tanh=True),
        "timm/ViT-B-16-SigLIP2",
        "timm/ViT-B-16-SigLIP2",
        "SigLIP 2 B/16, many languages",
    ),
    "l-378-siglip2": Size(
        VisionConfig(378, 14, 1152, 27, 16, 4304),
        TextConfig(_GEMMA, 64, 1152, 27, 16, _SO400M, 1152, True),
        "timm/ViT-SO400M-14-SigLIP2-378",
        "timm/ViT-SO400M-14-SigLIP2-378",
        "SigLIP 2 so400m/14, many languages",
    ),
    "l-384-siglip2": Size(
        VisionConfig(384, 16, 1152, 27, 16, 4304, gelu_tanh=True),
        TextConfig(_GEMMA, 64, 1152, 27, 16, _SO400M, 1152, True),
        "timm/ViT-SO400M-16-SigLIP2-384",
        "timm/ViT-SO400M-16-SigLIP2-384",
        "SigLIP 2 so400m/16, many languages",
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


@dataclass(frozen=True)
class Cost:
    """What a size weighs.

    Attributes:
        vision: parameters of the image tower.
        generator: of these, parameters of the patch embedding with its kernel generator.
        text: parameters of the text tower.
        gflops: by number of channels, GFLOPs (two per multiply-add) of one image with its kernels at hand.
    """

    vision: int
    generator: int
    text: int
    gflops: dict[int, float]


def cost(name: str, channel_counts: tuple[int, ...] = (3, 202)) -> Cost:
    """Count parameters and operations of a size, on the meta device: nothing is allocated.

    Raises:
        SettingsError: unknown name.
    """
    size = get_size(name)
    with torch.device("meta"):
        towers = TwoTower(size.vision, size.text).eval().requires_grad_(False)  # the counter trips over gradients
    vision, side = towers.vision, size.vision.image_size
    rows, patch = side // size.vision.patch_size, size.vision.patch_size
    gflops = {}
    for count in channel_counts:
        with FlopCounterMode(display=False) as counter:
            vision.encode_patches(torch.empty(1, rows, rows, vision.patch_embed.width, device="meta"))
        embedding = 2 * rows * rows * count * patch * patch * vision.patch_embed.width
        gflops[count] = (counter.get_total_flops() + embedding) / 1e9
    return Cost(_count(vision), _count(vision.patch_embed), _count(towers.text), gflops)


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def get_size(name: str) -> Size:
    """Look a size up.

    Raises:
        SettingsError: unknown name.
    """
    if name not in SIZES:
        raise SettingsError(f"unknown model size '{name}'; sizes are {', '.join(SIZES)}")
    return SIZES[name]
