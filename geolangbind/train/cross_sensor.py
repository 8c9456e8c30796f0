"""The image-image term: two sensors that look at one place should say the same. Neither published system has it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from geolangbind.losses import sigmoid_contrastive

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

_START_SCALE = 10.0  # as SigLIP's (arXiv 2303.15343)


class CrossSensorTerm(nn.Module):
    """Sigmoid loss between the vectors of a batch and those of its places in another sensor, with a temperature and bias of its own.

    Args:
        batch_size: global; the bias starts at the log odds of a positive pair.
        same_label: what different places of one class are to each other, see `losses.pair_targets`.
    """

    def __init__(self, batch_size: int, same_label: str) -> None:
        super().__init__()
        self.logit_scale = nn.Parameter(torch.tensor(math.log(_START_SCALE)))
        self.logit_bias = nn.Parameter(torch.tensor(-math.log(max(1, batch_size - 1))))
        self.same_label = same_label

    def forward(
        self, vectors: Tensor, partners: Tensor, rows: tuple[int, ...], labels: Tensor | None, group: ProcessGroup | None
    ) -> Tensor:
        """The term, a scalar.

        Args:
            vectors: (b, D) unit vectors of this process's batch.
            partners: (m, D) unit vectors of the other sensor.
            rows: m positions in the batch that `partners` show.
            labels: (b,) int64 class of each place, -1 for none.
            group: processes, see `sigmoid_contrastive`.
        """
        present = torch.zeros(len(vectors), dtype=torch.bool, device=vectors.device)
        present[list(rows)] = True
        other = torch.zeros_like(vectors).index_put((torch.tensor(rows, device=vectors.device),), partners)
        return sigmoid_contrastive(
            vectors, other, self.logit_scale.exp(), self.logit_bias, labels, self.same_label, group, present=present
        )  # fmt: skip
