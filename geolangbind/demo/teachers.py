"""Two small teachers trained on the planet's RGB chips: a scene classifier, and a ViT with register tokens that maps land cover.

Stand-ins for the supervised ViT and DINOv2 of the paper: plain timm vision transformers, so that the code that loads real ones is used.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm
import torch
from rich.progress import track
from torch import Tensor, nn
from torch.nn import functional as F

from geolangbind.data.batch import Batch
from geolangbind.data.loader import make_loader
from geolangbind.data.order import MixtureOrder
from geolangbind.data.shards import ShardSet
from geolangbind.errors import DataError
from geolangbind.planet.groups import CLASSES
from geolangbind.planet.materials import MASK_CLASSES
from geolangbind.teachers import save_teacher
from geolangbind.train.loop import short_attention

_ARCHITECTURE = "vit_tiny_patch16_224"
_ARGUMENTS: dict[str, Any] = {"img_size": 64, "patch_size": 8, "embed_dim": 96, "depth": 3, "num_heads": 3}
_MEAN = _STD = (0.5, 0.5, 0.5)
_GRID = 8
_LEARNING_RATE = 1e-3


class _SceneClassifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.arguments = dict(_ARGUMENTS)
        self.backbone = timm.create_model(_ARCHITECTURE, num_classes=len(CLASSES), **self.arguments)

    def forward(self, view: Tensor, batch: Batch) -> Tensor:
        truth = torch.tensor([CLASSES.index(name) for name in batch.labels["scene_class"]])
        return F.cross_entropy(self.backbone(view).float(), truth, label_smoothing=0.1)


class _LandCoverMapper(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.arguments = {**_ARGUMENTS, "reg_tokens": 4}
        self.backbone = timm.create_model(_ARCHITECTURE, num_classes=0, **self.arguments)
        self.head = nn.Linear(_ARGUMENTS["embed_dim"], len(MASK_CLASSES))

    def forward(self, view: Tensor, batch: Batch) -> Tensor:
        if batch.masks is None:
            raise DataError("the land-cover teacher needs shards with masks")
        tokens = self.backbone.forward_features(view)[:, self.backbone.num_prefix_tokens :]
        # each token answers for the shares of land cover inside its patch
        cover = F.one_hot(batch.masks.long(), len(MASK_CLASSES)).permute(0, 3, 1, 2).float()
        shares = F.adaptive_avg_pool2d(cover, _GRID).flatten(2).transpose(1, 2)
        return F.cross_entropy(self.head(tokens).float().flatten(0, 1), shares.flatten(0, 1))


KINDS: dict[str, type[_SceneClassifier | _LandCoverMapper]] = {"scene": _SceneClassifier, "register": _LandCoverMapper}
"""Teachers by name, as conf/teachers/planet.yaml knows them."""


def train_teacher(kind: str, data: Path, out: Path, steps: int, batch_size: int, seed: int, progress: bool = True) -> None:
    """Train one teacher and write its folder.

    Args:
        kind: key of `KINDS`.
        data: planet shards with RGB.
        out: teacher folder to write.
        steps: optimiser steps.
        batch_size: chips per step.
        seed: of weights and order.
        progress: show a bar.
    """
    torch.manual_seed(seed)
    task = KINDS[kind]()
    optimizer = torch.optim.AdamW(task.parameters(), lr=_LEARNING_RATE, weight_decay=0.05, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LEARNING_RATE, total_steps=steps)
    streams = ShardSet.open(data).select(modalities=["rgb"])
    order = MixtureOrder([len(stream) for stream in streams], [1.0] * len(streams), batch_size, seed)
    batches = make_loader(streams, order, start_step=0, stop_step=steps)
    for batch in track(batches, f"teacher {kind}", total=steps, disable=not progress):
        with short_attention(torch.device("cpu")):
            with torch.autocast("cpu", torch.bfloat16):
                loss = task((batch.image - _MEAN[0]) / _STD[0], batch)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
        optimizer.step()
        schedule.step()
    config = {
        "timm": _ARCHITECTURE,
        "arguments": task.arguments,
        "size_px": 64,
        "mean": _MEAN,
        "std": _STD,
        "trained_on": "planet (synthetic)",
    }
    save_teacher(out, task.backbone, config)
