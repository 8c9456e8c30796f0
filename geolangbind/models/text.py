"""The text tower: open_clip's text transformer, configured as SigLIP's (no causal mask, last token pooled)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from torch import nn


@dataclass(frozen=True)
class TextConfig:
    """Architecture of a text tower.

    Attributes:
        vocab_size: token ids.
        context_length: tokens per text.
        width: token width.
        layers: transformer layers.
        heads: attention heads.
        mlp_ratio: MLP hidden size over width.
        embed_dim: size of the embedding.
        gelu_tanh: MLPs use the tanh approximation of GELU (SigLIP 2 does).
    """

    vocab_size: int = 32000
    context_length: int = 64
    width: int = 768
    layers: int = 12
    heads: int = 12
    mlp_ratio: float = 4.0
    embed_dim: int = 768
    gelu_tanh: bool = False


def build_text_tower(config: TextConfig) -> nn.Module:
    """Return a tower that maps int64 ids (B, context_length) to float embeddings (B, embed_dim), not normalised."""
    from open_clip.transformer import TextTransformer

    tower: nn.Module = TextTransformer(
        context_length=config.context_length,
        vocab_size=config.vocab_size,
        width=config.width,
        heads=config.heads,
        layers=config.layers,
        mlp_ratio=config.mlp_ratio,
        output_dim=config.embed_dim,
        no_causal_mask=True,
        pool_type="last",
        proj_bias=True,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        act_layer=partial(nn.GELU, approximate="tanh" if config.gelu_tanh else "none"),
    )
    return tower
