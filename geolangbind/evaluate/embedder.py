"""What an evaluation asks of a model. Ours answers it, and so do the peers of the crash test and the traps of the tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from geolangbind.checkpoint import file_sha256
from geolangbind.data.batch import Batch
from geolangbind.errors import UnitError
from geolangbind.model import GeoLangBind
from geolangbind.sensors.units import Unit
from geolangbind.weights.load import load
from geolangbind.weights.source import find_source


@dataclass(frozen=True, eq=False)
class Patches:
    """Patch tokens of a batch.

    Attributes:
        features: (B, N, D) float32, what heads and probes learn from.
        grid: rows and columns, N = rows * columns, row by row from the upper left.
        joint: (B, N, E) unit vectors in the space of the texts, or None if the model has none.
    """

    features: Tensor
    grid: tuple[int, int]
    joint: Tensor | None = None


class Embedder(Protocol):
    """A frozen model that turns batches and sentences into unit vectors of one space."""

    @property
    def name(self) -> str:
        """As people call it."""

    @property
    def sha256(self) -> str:
        """Identity of the weights and of everything else that changes a vector."""

    def images(self, batch: Batch) -> Tensor:
        """Return (B, D) float32 unit vectors on the CPU.

        Raises:
            GeoLangBindError: the model cannot see this sensor, these bands or this unit; the message says why.
        """

    def texts(self, sentences: Sequence[str]) -> Tensor:
        """Return (T, D) float32 unit vectors on the CPU.

        Raises:
            GeoLangBindError: the model has no text tower.
        """

    def patches(self, batch: Batch) -> Patches:
        """Return the patch tokens of a batch.

        Raises:
            GeoLangBindError: as `images`, or the model has no patches.
        """


@dataclass(frozen=True, eq=False)
class Ours:
    """A geolangbind model as an embedder.

    Attributes:
        name: path or address as given.
        sha256: hash of the weights file.
        model: in inference mode.
    """

    name: str
    sha256: str
    model: GeoLangBind

    @classmethod
    def open(cls, source: str) -> Ours:
        """Load a model folder, a run folder, a hub address or a bundled model.

        Raises:
            CheckpointError: there is no model, or it is damaged.
        """
        return cls(source, file_sha256(find_source(source).weights), load(source).eval())

    @torch.no_grad()
    def images(self, batch: Batch) -> Tensor:
        """See `Embedder`."""
        if batch.unit is Unit.DN:
            raise UnitError(f"{batch.sensor}: digital numbers have no physical meaning; give their scale, offset and unit")
        return self.model.encode_physical(batch.image, batch.channels, batch.sensor, batch.bands, batch.valid).float().cpu()

    @torch.no_grad()
    def texts(self, sentences: Sequence[str]) -> Tensor:
        """See `Embedder`."""
        return self.model.encode_text(list(sentences)).float().cpu()

    @torch.no_grad()
    def patches(self, batch: Batch) -> Patches:
        """See `Embedder`."""
        model = self.model
        image, _ = model.statistics.normalize(batch.image, batch.channels, batch.sensor, batch.bands, batch.valid)
        device = model.towers.logit_bias.device
        valid = None if batch.valid is None else batch.valid.to(device)
        _, output = model.towers.image_vectors(image.to(device), batch.channels, valid)
        stride = model.vision.config.stride
        grid = (batch.image.shape[2] // stride, batch.image.shape[3] // stride)
        return Patches(output.features.float().cpu(), grid)
