"""The training losses: sigmoid contrastive between images and texts, feature matching between student and teachers.

Shapes: b local batch, B global batch, D embedding size, N tokens, T teacher width.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from geolangbind.errors import SettingsError

SAME_LABEL = ("negative", "ignore", "positive")


def sigmoid_contrastive(
    image: Tensor, text: Tensor, logit_scale: Tensor, logit_bias: Tensor, targets: Tensor, weights: Tensor | None = None
) -> Tensor:
    """Sigmoid loss of SigLIP (arXiv 2303.15343) with any set of positive pairs.

    Args:
        image: (b, D) unit vectors of this process.
        text: (B, D) unit vectors of all processes.
        logit_scale: scalar, the scale itself (not its logarithm).
        logit_bias: scalar.
        targets: (b, B), +1 for pairs that belong together, -1 for others.
        weights: (b, B) non-negative; 0 leaves a pair out. None weighs all alike.

    Returns:
        Scalar: sum over pairs of -log sigmoid(target * logit) over b. With one process and +1 on the diagonal only, open_clip's value.
    """
    logits = logit_scale * image @ text.T + logit_bias
    pairs = -F.logsigmoid(targets * logits)
    return (pairs if weights is None else pairs * weights).sum() / image.shape[0]


def pair_targets(labels: Tensor | None, rows: slice, total: int, same_label: str) -> tuple[Tensor, Tensor | None]:
    """Which image-text pairs are positive, which are left out.

    Captions of one class may describe each other's images; treating them as negatives teaches a falsehood.

    Args:
        labels: (B,) int64 group of each pair of the global batch, or None when unknown; -1 groups with nothing.
        rows: this process's part of the global batch.
        total: B.
        same_label: what two different pairs of one group are to each other: "negative" (as published), "ignore" or "positive".

    Returns:
        `targets` and `weights` for `sigmoid_contrastive`, (b, B).

    Raises:
        SettingsError: `same_label` is none of the three.
    """
    if same_label not in SAME_LABEL:
        raise SettingsError(f"same_label is '{same_label}'; use one of {', '.join(SAME_LABEL)}")
    diagonal = torch.eye(total, dtype=torch.bool, device=None if labels is None else labels.device)[rows]
    if labels is None or same_label == "negative":
        return torch.where(diagonal, 1.0, -1.0), None
    same = (labels[rows, None] == labels[None, :]) & (labels[None, :] >= 0)
    if same_label == "positive":
        return torch.where(diagonal | same, 1.0, -1.0), None
    return torch.where(diagonal, 1.0, -1.0), (diagonal | ~same).float()


def feature_matching(predicted: Tensor, target: Tensor, *, standardize: bool = False) -> Tensor:
    """MaKA's matching loss: smooth-L1 + MSE + (1 - cosine of the flattened samples), as in the published code.

    Args:
        predicted: (B, N, T) projected student tokens.
        target: (B, N, T) teacher tokens.
        standardize: bring each target token to zero mean and unit deviation first, so that teachers of different scale count alike.
    """
    predicted, target = predicted.float(), target.float()
    if standardize:
        target = F.layer_norm(target, target.shape[-1:])
    cosine = F.cosine_similarity(predicted.flatten(1), target.flatten(1), dim=1)
    return F.smooth_l1_loss(predicted, target) + F.mse_loss(predicted, target) + (1 - cosine).mean()
