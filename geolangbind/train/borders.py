"""What the training loop knows of what it trains: a task, its batches, and who measures on the way."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from torch import Tensor, nn

if TYPE_CHECKING:
    from lightning.fabric import Fabric


class StepBatch(Protocol):
    """One process's part of the batch of a step."""

    @property
    def keys(self) -> tuple[str, ...]:
        """Names of its samples."""
        ...

    @property
    def origin(self) -> Mapping[str, str]:
        """What it is of: columns of its row in `metrics.jsonl`."""
        ...

    @property
    def described(self) -> str:
        """The same for people."""
        ...

    @property
    def skipped(self) -> Collection[object]:
        """Bad samples that others stand in for."""
        ...


class Task(nn.Module):
    """What is trained: `forward(fetch, generator)` returns named scalars, `loss` among them. See `AlignmentTask` for both arguments."""

    frozen_elsewhere: ClassVar[bool] = False
    """Whether weights that are not trained can be had again where they came from, so that checkpoints need not hold them."""

    def clamp_temperature(self) -> None:
        """Bring the temperature back into its bounds; called after every step."""

    def notes(self) -> dict[str, Any]:
        """JSON values to keep in a checkpoint beside the weights."""
        return {}

    def restore_notes(self, notes: Mapping[str, Any]) -> None:
        """Take over what `notes` returned before the checkpoint."""


class Measurer(Protocol):
    """Measures on the way, see `validate.Validator`."""

    def due(self, step: int) -> bool:
        """Whether to measure after `step` steps."""
        ...

    def measure(self, module: nn.Module, average: Mapping[str, Tensor], step: int, fabric: Fabric) -> list[dict[str, Any]]:
        """Rows of `validation.jsonl`, each with its `step` and its `modality` or `source`."""
        ...
