"""LoRA (arXiv 2106.09685) and DoRA (arXiv 2402.09353) through peft, on the language path only.

Modules are named by one pattern over their full names: a list of short names would also adapt vision modules that share them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Self

from torch import Tensor, nn

from geolangbind.errors import CheckpointError, SettingsError
from geolangbind.interleaved.backbone import LanguageBackbone

LANGUAGE_PROJECTIONS = r"model\.(language_model\.)?layers\.\d+\.(self_attn\.[qkvo]_proj|mlp\.(gate|up|down)_proj)"
"""Attention and MLP of the decoder's layers, in models of the LLaMA family."""
_MARK = ".lora_"


@dataclass(frozen=True)
class LoraSettings:
    """How the backbone is adapted.

    Attributes:
        r: rank.
        alpha: updates are scaled by alpha / r.
        dropout: on the adapters' input, in training.
        dora: learn the lengths of the weights' columns apart (DoRA); slower.
        targets: regular expression that the full name of an adapted linear layer matches.
    """

    r: int = 16
    alpha: int = 64
    dropout: float = 0.1
    dora: bool = False
    targets: str = LANGUAGE_PROJECTIONS

    def __post_init__(self) -> None:
        if self.r < 1 or self.alpha <= 0 or not 0 <= self.dropout < 1:
            raise SettingsError(f"LoRA needs r >= 1, alpha > 0 and 0 <= dropout < 1; got {self.r}, {self.alpha}, {self.dropout}")
        try:
            re.compile(self.targets)
        except re.error as error:
            raise SettingsError(f"LoRA targets '{self.targets}' are no regular expression: {error}") from None

    def to_json(self) -> dict[str, Any]:
        """Plain values, for `config.json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild from `to_json`.

        Raises:
            CheckpointError: entries are missing, unknown or impossible.
        """
        try:
            return cls(**data)
        except (TypeError, SettingsError) as error:
            raise CheckpointError(f"the LoRA settings in config.json are damaged: {error}") from None


def add_lora(backbone: LanguageBackbone, settings: LoraSettings) -> tuple[str, ...]:
    """Put adapters on a backbone, in place; they start as no change, and they alone stay trainable.

    They are float32 whatever the backbone is: in bfloat16, small steps and running averages would be rounded away.

    Args:
        backbone: as `build_backbone` returns it.
        settings: see `LoraSettings`.

    Returns:
        Names of the adapted layers.

    Raises:
        SettingsError: it has adapters already, the targets match no linear layer, or peft is not installed.
    """
    if backbone.lora is not None:
        raise SettingsError("the backbone has adapters already; load the model they were made for")
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise SettingsError("LoRA needs peft: pip install 'geolangbind[interleaved]'") from None
    names = tuple(name for name, layer in backbone.named_modules() if isinstance(layer, nn.Linear) and re.fullmatch(settings.targets, name))
    if not names:
        some = next((name for name, layer in backbone.named_modules() if isinstance(layer, nn.Linear)), "none")
        raise SettingsError(f"LoRA targets '{settings.targets}' match no linear layer of the backbone; one of its layers is {some}")
    config = LoraConfig(
        r=settings.r, lora_alpha=settings.alpha, lora_dropout=settings.dropout, use_dora=settings.dora, target_modules=settings.targets
    )
    inject_adapter_in_model(config, backbone)
    for name, parameter in backbone.named_parameters():
        if is_adapter(name):
            parameter.data = parameter.data.float()  # peft makes them as the layer they sit on, and casts what goes in and out
    backbone.lora = settings
    backbone.train(backbone.training)  # new layers come in training mode
    return names


def lora_state(backbone: nn.Module) -> dict[str, Tensor]:
    """The adapters' tensors by name; empty without adapters."""
    return {name: tensor for name, tensor in backbone.state_dict().items() if is_adapter(name)}


def is_adapter(name: str) -> bool:
    """Whether a tensor of this name belongs to an adapter."""
    return _MARK in name


@contextmanager
def merged_lora(backbone: nn.Module) -> Iterator[None]:
    """Within, the adapters' changes are part of the weights: faster inference, other last bits. Afterwards all is as before, exactly."""
    from peft.tuners.lora import LoraLayer

    layers: list[Any] = [layer for layer in backbone.modules() if isinstance(layer, LoraLayer)]
    weights = [layer.get_base_layer().weight for layer in layers]
    before = [weight.detach().clone() for weight in weights]
    for layer in layers:
        layer.merge()
    try:
        yield
    finally:
        for layer, weight, kept in zip(layers, weights, before, strict=True):
            layer.unmerge()
            weight.data.copy_(kept)  # taking a sum apart leaves rounding behind
