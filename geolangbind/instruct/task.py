"""What a step of the interleaved encoder computes: rows in, contrastive loss out."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from geolangbind.instruct.reading import InstructBatch
from geolangbind.instruct.settings import InterleavedSettings
from geolangbind.interleaved.lora import is_adapter
from geolangbind.interleaved.prompts import Prompts
from geolangbind.losses import HardNegatives, truthful_nce
from geolangbind.models.interleaved import InterleavedModel, matryoshka
from geolangbind.train.borders import Task
from geolangbind.train.distributed import averaged, processes


class InterleavedTask(Task):
    """InfoNCE between queries and targets under instructions.

    Sequences are encoded part by part. With `settings.memory_chunk`, the activations of a part are thrown away and computed again in the
    backward pass, with the same random numbers; only the vectors of the batch stay. That is the gradient cache of arXiv 2101.06983 with
    its second pass left to autograd.

    Args:
        model: trained in place.
        settings: of the run.
        projector_only: first stage: tower and backbone rest.
    """

    frozen_elsewhere = True

    def __init__(self, model: InterleavedModel, settings: InterleavedSettings, *, projector_only: bool = False) -> None:
        super().__init__()
        self.model, self.settings = model, settings
        temperature = settings.temperature
        self.log_scale = nn.Parameter(torch.tensor(-math.log(temperature.start)), requires_grad=temperature.learned)
        tower = settings.train_tower > 0 and not projector_only
        for name, parameter in model.named_parameters():
            if name.startswith("tower."):
                parameter.requires_grad_(tower)
            elif name.startswith("backbone."):
                parameter.requires_grad_(not projector_only and (settings.lora.r == 0 or is_adapter(name)))
        self._resting = [part for part, trains in ((model.tower, tower), (model.backbone, not projector_only)) if not trains]

    def train(self, mode: bool = True) -> InterleavedTask:
        """Switch modes; what rests stays in inference mode."""
        super().train(mode)
        for part in self._resting:
            part.eval()
        return self

    def forward(self, fetch: Callable[[], InstructBatch], generator: torch.Generator) -> dict[str, Tensor]:
        """Losses of one batch.

        Args:
            fetch: returns the batch. A function, because Fabric would take a dataclass apart to cast its tensors.
            generator: not used; nothing is drawn for a whole batch.

        Returns:
            `loss` and `temperature`, scalars: means over the processes, with the gradients of this one's rows.
        """
        batch, group = fetch(), processes()
        vectors = torch.cat([self._encode(part) for part in batch.parts])
        scale = self.log_scale.exp()
        choice, whole = self.settings.matryoshka, self.model.hidden
        dims = {**dict(zip(choice.dims, choice.weights or [1.0] * len(choice.dims), strict=True)), whole: 1.0}
        with torch.autocast(vectors.device.type, enabled=False):  # a similarity over a temperature of 0.02 needs more than bfloat16
            losses = [weight * self._contrast(matryoshka(vectors, dim), scale, batch) for dim, weight in dims.items()]
        told = {"loss": torch.stack(losses).sum() / sum(dims.values()), "temperature": 1 / scale.detach()}
        return told if group is None else averaged(told, group)

    @torch.no_grad()
    def clamp_temperature(self) -> None:
        """Keep the temperature in its bounds."""
        bounds = self.settings.temperature
        self.log_scale.clamp_(-math.log(bounds.highest), -math.log(bounds.lowest))

    def _encode(self, part: Prompts) -> Tensor:
        if not self.settings.memory_chunk:
            found: Tensor = self.model(part)
            return found
        # the ids stand beside the part: torch keeps the random numbers of those devices only on which an argument itself is a tensor
        again: Tensor = checkpoint(lambda ids, part: self.model(part), part.ids, part, use_reentrant=False)
        return again

    def _contrast(self, vectors: Tensor, scale: Tensor, batch: InstructBatch) -> Tensor:
        negatives = None
        if batch.negatives.shape[1]:
            present = batch.negatives >= 0
            rows = vectors[batch.negatives.clamp_min(0)] * present[..., None]
            negatives = HardNegatives(rows, batch.negative_keys, present)
        return truthful_nce(
            vectors[batch.query], vectors[batch.target], scale, batch.truth, negatives,
            within_blocks=self.settings.negatives == "block", both_directions=self.settings.both_directions, group=processes(),
        )  # fmt: skip
