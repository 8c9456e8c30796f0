"""What an evaluation asks of a model. Ours answers it, and so do the peers of the crash test and the traps of the tests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

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
        earlier: the same patches out of three earlier layers, (B, N, D) float32 each, evenly spread and in order; empty if there are none.
        stride: pixels between neighbouring patches, the first of which starts in the upper left corner; None if the grid spans the image.
    """

    features: Tensor
    grid: tuple[int, int]
    joint: Tensor | None = None
    earlier: tuple[Tensor, ...] = ()
    stride: int | None = None


class Embedder(Protocol):
    """A frozen model that turns batches and sentences into unit vectors of one space."""

    @property
    def name(self) -> str:
        """As people call it."""

    @property
    def sha256(self) -> str:
        """Identity of the weights and of everything else that changes a vector."""

    @property
    def scale(self) -> float:
        """What cosine similarities are multiplied by before a softmax over classes."""

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

    @property
    def scale(self) -> float:
        """See `Embedder`."""
        return math.exp(float(self.model.towers.logit_scale.detach()))

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
        """See `Embedder`.

        The joint vector of a patch is what the attention pool makes of that patch alone: with one key the softmax is 1, whatever the
        query, so that the token passes through values, output projection and MLP, as all tokens would if they were equal to it.
        """
        model, vision = self.model, self.model.vision
        image, _ = model.statistics.normalize(batch.image, batch.channels, batch.sensor, batch.bands, batch.valid)
        device = model.towers.logit_bias.device
        valid = None if batch.valid is None else batch.valid.to(device)
        depth, earlier = len(vision.blocks), list[Tensor]()
        layers = [depth * quarter // 4 - 1 for quarter in (1, 2, 3)] if depth >= 4 else []
        hooks = [vision.blocks[layer].register_forward_hook(lambda _, __, tokens: earlier.append(tokens)) for layer in layers]
        try:
            features = vision(image.to(device), channels=batch.channels, valid=valid).features
        finally:
            for hook in hooks:
                hook.remove()
        joint = F.normalize(vision.attn_pool(features.flatten(0, 1).unsqueeze(1)).float(), dim=-1).reshape(features.shape)
        rows, columns = (vision.config.tokens_along(side) for side in batch.image.shape[2:])
        return Patches(
            features.float().cpu(), (rows, columns), joint.cpu(), tuple(tokens.float().cpu() for tokens in earlier), vision.config.stride
        )
