"""Typed settings of an interleaved run. They check themselves when built; `conf/interleaved.yaml` fills them in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from geolangbind.train.run_settings import RunSettings, require, settings_of

NEGATIVES = ("batch", "block")
STOCK = "stock"
"""In place of a tower: the one that Qwen2-VL comes with."""
_BACKBONES = ("tiny", "text", "qwen2-vl")


@dataclass
class BackboneChoice:
    """The language model, see `geolangbind.interleaved.backbone.describe_backbone`.

    Attributes:
        kind: tiny, text or qwen2-vl.
        source: its weights; empty draws them at random.
        config: of random weights, in transformers' words; a tiny one gets its vocabulary's size by itself.
        positions: empty for the kind's own.
        dtype: of its weights; bfloat16 with adapters only, see `Lora`.
    """

    kind: str = "tiny"
    source: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    positions: str = ""
    dtype: str = "float32"

    def __post_init__(self) -> None:
        require(self.kind in _BACKBONES, f"backbone.kind is '{self.kind}'; use one of {', '.join(_BACKBONES)}")


@dataclass
class Lora:
    """Adapters on the language model, see `geolangbind.interleaved.lora.LoraSettings`; `r=0` trains the whole language model instead.

    Adapters are float32 on a backbone of any dtype. A whole language model is trained in float32: bfloat16 has no room for small updates.
    """

    r: int = 0
    alpha: int = 64
    dropout: float = 0.1
    dora: bool = False

    def __post_init__(self) -> None:
        require(self.r >= 0 and self.alpha > 0, f"lora.r ({self.r}) must not be negative and lora.alpha ({self.alpha}) must be above 0")


@dataclass
class ModelShape:
    """Between tower and language model, see `geolangbind.models.interleaved.InterleavedConfig`."""

    projector: str = "shuffle"
    factor: int = 2
    queries: int = 4
    enlarge: int = 1
    waves: int = 6
    place_waves: int = 6
    around: int = 8
    differences: bool = True
    readout: bool = True


@dataclass
class RenderingChoice:
    """How segments are written, see `geolangbind.interleaved.render.Rendering`."""

    box: str = "both"
    place: str = "both"
    image_facts: list[str] = field(default_factory=lambda: ["sensor", "gsd_m", "date"])
    max_length: int = 512


@dataclass
class SourceChoice:
    """A source of rows.

    Attributes:
        weight: its share of the blocks, any positive scale, at least 1/4096 of the sum; 0 leaves it out.
        together: how many rows that follow one another are drawn at once, and count as one in batch and block. Where the questions about an
            image follow one another, each image is then read once, and each box asked once for all its phrases.
    """

    weight: float = 1.0
    together: int = 1

    def __post_init__(self) -> None:
        require(self.weight >= 0, f"sources: a weight is {self.weight}; it must not be negative")
        require(self.together > 0, f"sources: together is {self.together}; it is a number of rows, at least 1")


@dataclass
class Temperature:
    """What similarities are divided by: `start`, and if `learned` then kept between `lowest` and `highest`."""

    start: float = 0.05
    learned: bool = True
    lowest: float = 0.01
    highest: float = 1.0

    def __post_init__(self) -> None:
        ordered = 0 < self.lowest <= self.start <= self.highest
        require(ordered, f"temperature: lowest ({self.lowest}), start ({self.start}) and highest ({self.highest}) ascend from above 0")


@dataclass
class Matryoshka:
    """Cuts of the vectors that must work too (arXiv 2205.13147): sizes, and the weight of each one's loss beside 1 for the whole."""

    dims: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        ascending = self.dims == sorted(set(self.dims)) and min(self.dims, default=1) > 0
        require(ascending, f"matryoshka.dims are sizes above 0 that ascend, got {self.dims}")
        require(len(self.weights) in (0, len(self.dims)), "matryoshka.weights has one weight per size in matryoshka.dims, or none (all 1)")
        require(min(self.weights, default=1) > 0, "matryoshka.weights must be above 0")


@dataclass
class HeldOut:
    """Precision at 1 while the run goes on, per source, in `validation.jsonl`.

    Attributes:
        pairs: folder of held-out pairs (rows to train on); empty switches it off.
        every: steps between validations; 0 validates at the end only.
        samples: at most this many queries per source.
        batch_size: sequences encoded at once.
    """

    pairs: str = ""
    every: int = 0
    samples: int = 256
    batch_size: int = 64

    def __post_init__(self) -> None:
        require(self.every >= 0, f"validation.every is {self.every}; it must not be negative")
        require(self.samples > 1 and self.batch_size > 0, "validation.samples must be above 1 and validation.batch_size above 0")


@dataclass
class InterleavedSettings(RunSettings):
    """One run of the interleaved encoder; see `RunSettings` for what is not told here.

    Attributes:
        tower: model or run folder whose vision tower sees the images, or planet-tiny; "stock" for a qwen2-vl backbone's own, with
            model.projector "none".
        backbone: the language model.
        lora: adapters on it.
        model: between the two.
        rendering: how sequences are written.
        pairs: folder of rows.
        sources: which of its sources; none for all, each by its number of rows (see `run.by_rows`).
        fraction: share of each source's rows, chosen by the hash of their ids: a smaller share is part of a larger one.
        projector_steps: first so many steps with tower and language model frozen, in `run_dir/projector`.
        projector_sources: sources of these steps; none for those that look from images to anything without.
        batch_size: draws of a step, over all processes; a draw is a row, or several, see `SourceChoice`.
        block: draws of one source side by side; 0 for the whole batch.
        negatives: what a query is set against: the targets of the whole batch, or of its block.
        hard_negatives: most of a row's own that are used.
        both_directions: targets must find their queries too.
        temperature: of the loss.
        matryoshka: cuts of the vectors.
        train_tower: factor of the learning rate for the vision tower; 0 freezes it.
        feature_cache: folder for what the frozen tower sees; it then runs once for each image in shards. Empty runs it in every step.
        validation: measuring on the way.
    """

    task: str = "interleaved"
    tower: str = "planet-tiny"
    backbone: BackboneChoice = field(default_factory=BackboneChoice)
    lora: Lora = field(default_factory=Lora)
    model: ModelShape = field(default_factory=ModelShape)
    rendering: RenderingChoice = field(default_factory=RenderingChoice)
    pairs: str = ""
    sources: dict[str, SourceChoice] = field(default_factory=dict)
    fraction: float = 1.0
    projector_steps: int = 0
    projector_sources: list[str] = field(default_factory=list)
    block: int = 0
    negatives: str = "batch"
    hard_negatives: int = 1
    both_directions: bool = True
    temperature: Temperature = field(default_factory=Temperature)
    matryoshka: Matryoshka = field(default_factory=Matryoshka)
    train_tower: float = 0.0
    feature_cache: str = ""
    validation: HeldOut = field(default_factory=HeldOut)

    def __post_init__(self) -> None:
        require(self.pairs != "", "pairs is empty; give a pairs folder, e.g. pairs=runs/interleaved/pairs")
        super().__post_init__()
        fits = self.block == 0 or (self.block > 1 and self.batch_size % self.block == 0)
        require(fits, f"block is {self.block}; it is a number of rows above 1 that divides batch_size ({self.batch_size}), or 0")
        require(0 < self.fraction <= 1, f"fraction is {self.fraction}; it is a share of rows, above 0 and at most 1")
        require(self.negatives in NEGATIVES, f"negatives is '{self.negatives}'; use one of {', '.join(NEGATIVES)}")
        stock = (self.tower == STOCK, self.model.projector == "none")
        require(stock[0] == stock[1], f"tower=stock and model.projector=none go together; got '{self.tower}' and '{self.model.projector}'")
        if self.tower == STOCK:
            require(
                self.backbone.kind == "qwen2-vl", f"tower=stock is that of Qwen2-VL; set backbone.kind=qwen2-vl, not {self.backbone.kind}"
            )
            still = self.train_tower == 0 and self.projector_steps == 0
            require(still, "Qwen2-VL's own tower and merger stay as they are; set train_tower=0 and projector_steps=0")
        least = min(self.projector_steps, self.hard_negatives, self.train_tower)
        require(least >= 0, "projector_steps, hard_negatives and train_tower must not be negative")
        rounded = self.lora.r == 0 and self.backbone.dtype == "bfloat16"
        require(
            not rounded,
            "lora.r=0 trains the whole language model, and small updates of bfloat16 weights are rounded away; set lora.r=16, or "
            "backbone.dtype=float32 (machine.precision=bf16-mixed computes in bfloat16 all the same)",
        )
        cached = self.feature_cache != "" and self.train_tower > 0
        require(not cached, "feature_cache holds what a frozen tower sees; set train_tower=0, or feature_cache=''")
        require(self.machine.strategy != "fsdp", "machine.strategy=fsdp splits the alignment task only; use ddp here")
        on = [choice for choice in self.sources.values() if choice.weight > 0]
        require(not self.sources or bool(on), "sources: every weight is 0; leave one on")

    @property
    def model_format(self) -> str:
        """See `RunSettings.model_format`."""
        return "geolangbind-interleaved"

    @property
    def held_out(self) -> str:
        """See `RunSettings.held_out`."""
        return "validation.pairs"

    def validated(self) -> tuple[tuple[str, ...], int]:
        """See `RunSettings.validated`."""
        return ("precision_1",), self.validation.every if self.validation.pairs else 0

    def neutral(self) -> Self:
        """See `RunSettings.neutral`."""
        return type(self)(pairs=self.pairs, run_dir=self.run_dir)


def from_config(config: Mapping[str, Any]) -> InterleavedSettings:
    """Settings of an interleaved run from a composed configuration, see `settings_of`."""
    return settings_of(InterleavedSettings, config)
