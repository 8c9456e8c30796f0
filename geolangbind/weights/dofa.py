"""DOFA's masked autoencoder (arXiv 2403.15356; torchgeo ships it) as a start for our image tower."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from geolangbind.models.encoder import VisionConfig, VisionEncoder


def complete_dofa(trunk: Mapping[str, Tensor], config: VisionConfig, seed: int) -> tuple[dict[str, Tensor], str]:
    """Take over what fits: kernel generator, position embeddings, blocks.

    DOFA has a class token and averages tokens; our tower pools with attention and has no class token. DOFA's convolution pads by one
    pixel, which `VisionConfig.patch_padding` = 1 reproduces: patch tokens are the same.

    Args:
        trunk: DOFA's tensors.
        config: of our tower.
        seed: of the attention pooling, which starts at random.

    Returns:
        Tensors of our tower, and a sentence about what was dropped and what is new.
    """
    own = {key for key in trunk if key.startswith(("patch_embed.", "blocks."))}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = VisionEncoder(config).state_dict()
    new = {key: value for key, value in fresh.items() if key.startswith(("attn_pool.", "norm."))}
    state = {**new, **{key: trunk[key] for key in own}, "pos_embed": trunk["pos_embed"][:, 1:]}
    dropped = sorted(trunk.keys() - own - {"pos_embed"})
    told = (
        f"DOFA gives {len(own) + 1} tensors (generator, blocks, positions); attention pooling and final norm ({len(new)} tensors) are new, "
        f"so embeddings mean nothing before training; not used: {', '.join(dropped)}"
    )
    return state, told
