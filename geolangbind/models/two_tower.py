"""Image tower and text tower side by side, with the temperature and bias of the sigmoid loss. Tensors only."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geolangbind.models.encoder import EncoderOutput, VisionConfig, VisionEncoder
from geolangbind.models.text import TextConfig, build_text_tower
from geolangbind.sensors.channels import ChannelSet


class TwoTower(nn.Module):
    """Both towers of a model.

    `logit_scale` holds the logarithm of the scale; both logit parameters start as in SigLIP (arXiv 2303.15343): scale 10, bias -10.
    """

    def __init__(self, vision: VisionConfig, text: TextConfig) -> None:
        super().__init__()
        self.text_config = text
        self.vision = VisionEncoder(vision)
        self.text = build_text_tower(text)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(10.0)))
        self.logit_bias = nn.Parameter(torch.tensor(-10.0))

    def image_vectors(
        self, image: Tensor, channels: ChannelSet, valid: Tensor | None = None, keep_tokens: float = 1.0
    ) -> tuple[Tensor, EncoderOutput]:
        """Encode normalised images (B, C, H, W).

        Returns:
            Unit vectors (B, D) in float32 and the encoder's full output.
        """
        output = self.vision(image, channels=channels, valid=valid, keep_tokens=keep_tokens)
        return F.normalize(output.embedding.float(), dim=-1), output

    def text_vectors(self, ids: Tensor) -> Tensor:
        """Encode token ids (B, L) to unit vectors (B, D) in float32."""
        return F.normalize(self.text(ids).float(), dim=-1)
