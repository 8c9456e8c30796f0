"""The image-image term: two sensors that look at one place should say the same. Neither published system has it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from geolangbind.losses import info_nce

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

_START_SCALE = 1 / 0.07  # CLIP's (arXiv 2103.00020)


class CrossSensorTerm(nn.Module):
    """InfoNCE both ways between the vectors of a batch and those of its places in another sensor, with a temperature of its own.

    Softmax and not sigmoid: two images are far more alike than image and text, so the sigmoid's bias would have to travel first.

    Args:
        same_label: what other places of the same class are, see `losses.info_nce`.
    """

    def __init__(self, same_label: str) -> None:
        super().__init__()
        self.logit_scale = nn.Parameter(torch.tensor(math.log(_START_SCALE)))
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
            group: processes, see `info_nce`.
        """
        places = torch.tensor(rows, device=vectors.device)
        present = torch.zeros(len(vectors), dtype=torch.bool, device=vectors.device).index_fill(0, places, True)
        other = torch.zeros_like(vectors).index_put((places,), partners)
        there, back = (
            info_nce(a, b, self.logit_scale.exp(), labels, self.same_label, group, present) for a, b in ((vectors, other), (other, vectors))
        )
        return (there + back) / 2
