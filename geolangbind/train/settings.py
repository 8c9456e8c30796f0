"""Typed settings of a training run. They check themselves when built; `conf/` fills them in, the run folder keeps them resolved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self, TypeVar

from geolangbind.errors import SettingsError
from geolangbind.losses import SAME_LABEL

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
STRATEGIES = ("auto", "ddp", "fsdp")
MODALITIES = ("rgb", "sar", "msi", "hsi", "ir", "dem")

_Settings = TypeVar("_Settings", bound="RunSettings")


def require(condition: bool, message: str) -> None:
    """Refuse a setting.

    Raises:
        SettingsError: the condition does not hold.
    """
    if not condition:
        raise SettingsError(message)


@dataclass
class SensorGroup:
    """Which streams of the shards a run trains on.

    Attributes:
        name: names the run folder.
        modalities: share of steps per modality, any positive scale; a modality's streams share by their number of samples.
    """

    name: str = "all"
    modalities: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = sorted(set(self.modalities) - set(MODALITIES))
        require(not unknown, f"sensor_group.modalities: unknown {unknown}; modalities are {', '.join(MODALITIES)}")
        require(min(self.modalities.values(), default=1) > 0, "sensor_group.modalities: give each a share above 0")


@dataclass
class TeacherChoice:
    """One MaKA teacher.

    Attributes:
        source: see `geolangbind.teachers`; empty when its features are in the shards.
        weight: factor of its matching loss.
        projector: map student tokens through a wavelength-conditioned projector; False compares them directly (equal width and grid).
    """

    source: str = ""
    weight: float = 1.0
    projector: bool = True


@dataclass
class Teachers:
    """MaKA (arXiv 2503.06312).

    Attributes:
        choices: teachers by name; none switches MaKA off.
        weight: factor of the sum of matching losses.
        standardize: bring target tokens to zero mean and unit deviation, so that teachers of different scale count alike.
        balance: divide each matching loss by what predicting the mean would cost, see `losses.feature_matching`.
        pool: average tokens of student and teachers over blocks of this many a side before they are projected and compared.
    """

    choices: dict[str, TeacherChoice] = field(default_factory=dict)
    weight: float = 1.0
    standardize: bool = False
    balance: bool = False
    pool: int = 1

    def __post_init__(self) -> None:
        require(self.pool > 0, f"teachers.pool is {self.pool}; it is a number of tokens, 1 for no pooling")


@dataclass
class Optim:
    """AdamW with linear warm-up and cosine decay, both counted in global optimiser steps.

    Attributes:
        lr: peak learning rate.
        weight_decay: on matrices only.
        beta1: AdamW.
        beta2: AdamW.
        eps: AdamW.
        warmup_steps: steps of linear warm-up.
        final_lr: learning rate at the end, as a share of `lr`.
        clip_norm: largest gradient norm; 0 switches clipping off.
        layer_decay: factor of the learning rate per layer from the top of a tower down to its embeddings; 1 treats all alike.
    """

    lr: float = 5e-4
    weight_decay: float = 1e-2
    beta1: float = 0.9
    beta2: float = 0.98
    eps: float = 1e-6
    warmup_steps: int = 100
    final_lr: float = 0.0
    clip_norm: float = 1.0
    layer_decay: float = 1.0

    def __post_init__(self) -> None:
        require(self.lr > 0, f"optim.lr is {self.lr}; it must be above 0")
        require(0 <= self.final_lr <= 1, f"optim.final_lr is {self.final_lr}; it is a share of lr, between 0 and 1")
        least = min(self.warmup_steps, self.clip_norm, self.weight_decay, self.eps)
        require(least >= 0, "optim.warmup_steps, clip_norm, weight_decay and eps must not be negative")
        require(0 < self.layer_decay <= 1, f"optim.layer_decay is {self.layer_decay}; it is above 0 and at most 1")
        require(0 <= self.beta1 < 1 and 0 <= self.beta2 < 1, f"optim.beta1 ({self.beta1}) and beta2 ({self.beta2}) lie in [0, 1)")


@dataclass
class Machine:
    """Where it runs.

    Attributes:
        accelerator: as in Lightning Fabric: auto, cpu, cuda.
        devices: processes per node.
        num_nodes: nodes.
        precision: one of `PRECISIONS`, as in Lightning Fabric.
        threads: torch threads per process; 0 leaves torch's choice.
        workers: loader processes; 0 reads in the training process.
        strategy: what several processes share: "ddp" averages gradients, "fsdp" also splits weights and optimiser state (FSDP2, for models
            that do not fit one device), "auto" is ddp. One process alone trains as ever.
    """

    accelerator: str = "auto"
    devices: int = 1
    num_nodes: int = 1
    precision: str = "bf16-mixed"
    threads: int = 0
    workers: int = 0
    strategy: str = "auto"

    def __post_init__(self) -> None:
        require(self.strategy in STRATEGIES, f"machine.strategy is '{self.strategy}'; use one of {', '.join(STRATEGIES)}")
        scaled = self.strategy == "fsdp" and self.precision == "16-mixed"
        require(not scaled, f"machine.strategy=fsdp does not go with machine.precision={self.precision}; use bf16-mixed or 32-true")
        require(self.precision in PRECISIONS, f"machine.precision is '{self.precision}'; use one of {', '.join(PRECISIONS)}")
        require(self.devices > 0 and self.num_nodes > 0, "machine.devices and machine.num_nodes must be above 0")
        require(self.threads >= 0 and self.workers >= 0, "machine.threads and machine.workers must not be negative")


@dataclass
class CrossSensor:
    """An image-image term between two sensors of one place, beside the image-text one. Neither published system has it.

    Attributes:
        weight: factor of the term; 0 switches it off.
        share: share of steps that look at a second sensor.
        modalities: of the second sensor; empty for those of the run's own group.
        same_label: what different places of one class are to each other: negative or ignore.
    """

    weight: float = 0.0
    share: float = 1.0
    modalities: list[str] = field(default_factory=list)
    same_label: str = "ignore"

    def __post_init__(self) -> None:
        require(self.weight >= 0, f"cross_sensor.weight is {self.weight}; it must not be negative")
        require(0 < self.share <= 1, f"cross_sensor.share is {self.share}; it is a share of steps, above 0 and at most 1")
        unknown = sorted(set(self.modalities) - set(MODALITIES))
        require(not unknown, f"cross_sensor.modalities: unknown {unknown}; modalities are {', '.join(MODALITIES)}")
        known = ("negative", "ignore")
        require(self.same_label in known, f"cross_sensor.same_label is '{self.same_label}'; use one of {', '.join(known)}")


@dataclass
class Virtual:
    """See `geolangbind.data.virtual.VirtualSensors`."""

    share: float = 0.0
    fewest: int = 3
    most: int = 16
    narrowest: float = 0.01
    widest: float = 0.2

    def __post_init__(self) -> None:
        require(0 <= self.share <= 1, f"virtual_sensors.share is {self.share}; it is a share of the hyperspectral steps")
        require(0 < self.fewest <= self.most, f"virtual_sensors.fewest ({self.fewest}) and most ({self.most}) must ascend from 1")
        require(
            0 < self.narrowest <= self.widest < 1,
            f"virtual_sensors.narrowest ({self.narrowest}) and widest ({self.widest}) are shares of a wavelength and must ascend",
        )


@dataclass
class Augment:
    """See `geolangbind.data.transforms.Augmentation`."""

    flips: bool = True
    image_gain: float = 0.2
    band_gain: float = 0.1
    contrast: float = 0.1
    most_bands: int = 0
    drop_bands: float = 0.0
    wavelength_jitter: float = 0.0
    crop: float = 0.0

    def __post_init__(self) -> None:
        require(0 <= self.wavelength_jitter < 0.2, f"augment.wavelength_jitter is {self.wavelength_jitter}; it is a share, below 0.2")
        require(0 <= self.drop_bands <= 1, f"augment.drop_bands is {self.drop_bands}; it is a share of steps")
        require(0 <= self.crop <= 1, f"augment.crop is {self.crop}; it is a share of the image's area, between 0 (off) and 1")


@dataclass
class Validation:
    """Zero-shot accuracy and retrieval while the run goes on, in `validation.jsonl`.

    Attributes:
        data: folder of held-out shards; empty switches validation off.
        every: steps between validations; 0 validates at the end only.
        samples: at most this many per modality.
        batch_size: samples encoded at once.
    """

    data: str = ""
    every: int = 0
    samples: int = 256
    batch_size: int = 64

    def __post_init__(self) -> None:
        require(self.every >= 0, f"validation.every is {self.every}; it must not be negative")
        require(self.samples > 0 and self.batch_size > 0, "validation.samples and validation.batch_size must be above 0")


@dataclass
class RunSettings:
    """What every training run has, whatever its task.

    Attributes:
        task: what is trained.
        run_dir: everything the run writes lies here.
        steps: global optimiser steps. A later start may ask for more; the learning rate then follows the longer schedule from there on.
        batch_size: global batch, over all processes.
        memory_chunk: samples that a process encodes at a time; 0 for its whole share of the batch. See the tasks.
        seed: of weights, data order and all that is drawn in training.
        resume: "auto" continues from the newest checkpoint in run_dir, "never" starts anew (and refuses a run_dir that has one).
        ema_decay: the saved model is an exponential moving average of the weights; 0 saves the last weights.
        checkpoint_every: steps between checkpoints.
        keep_checkpoints: how many of the newest to keep.
        best_metric: keep also the checkpoint with the best mean of this column of metrics.jsonl since the one before, or, as
            "validation/COLUMN" (see the tasks' `VALIDATED`), with the best last validation since the one before, mean over its rows;
            empty keeps none.
        best_is: "lowest" or "highest".
        deterministic: bit-identical reruns on one machine.
        progress: show a progress bar, and at the start what the run is.
        optim: optimiser and schedule.
        machine: devices and precision.
    """

    VALIDATED: ClassVar[tuple[str, ...]] = ()
    """Columns of validation.jsonl that `best_metric` may name."""

    task: str = ""
    run_dir: str = ""
    steps: int = 1000
    batch_size: int = 256
    memory_chunk: int = 0
    seed: int = 0
    resume: str = "auto"
    ema_decay: float = 0.0
    checkpoint_every: int = 500
    keep_checkpoints: int = 2
    best_metric: str = ""
    best_is: str = "lowest"
    deterministic: bool = False
    progress: bool = True
    optim: Optim = field(default_factory=Optim)
    machine: Machine = field(default_factory=Machine)

    def __post_init__(self) -> None:
        own = type(self).task
        require(self.task == own, f"task is '{self.task}'; these settings are of task={own}")
        require(self.run_dir != "", "run_dir is empty; give a folder for the run")
        require(self.steps > 0 and self.batch_size > 0, f"steps ({self.steps}) and batch_size ({self.batch_size}) must be above 0")
        require(self.memory_chunk >= 0, f"memory_chunk is {self.memory_chunk}; it must not be negative")
        require(self.seed >= 0, f"seed is {self.seed}; it must not be negative")
        require(self.resume in ("auto", "never"), f"resume is '{self.resume}'; use auto or never")
        require(0 <= self.ema_decay < 1, f"ema_decay is {self.ema_decay}; it lies in [0, 1)")
        require(self.checkpoint_every > 0 and self.keep_checkpoints > 0, "checkpoint_every and keep_checkpoints must be above 0")
        require(self.best_is in ("lowest", "highest"), f"best_is is '{self.best_is}'; use lowest or highest")
        if self.best_metric.startswith("validation/"):
            known = [f"validation/{name}" for name in self.VALIDATED]
            require(self.best_metric in known, f"best_metric is '{self.best_metric}'; of the validation, use one of {', '.join(known)}")
            told = 0 < self.validated_every() <= self.checkpoint_every
            require(told, f"best_metric={self.best_metric} needs validation.data and validation.every, at most checkpoint_every")

    @property
    def title(self) -> str:
        """A short name for people."""
        return self.task

    def validated_every(self) -> int:
        """Steps between validations; 0 for none on the way."""
        return 0

    def neutral(self) -> Self:
        """The defaults, with what has none taken from here: what settings that an earlier start did not know yet stood for."""
        return type(self)(run_dir=self.run_dir)


@dataclass
class TrainSettings(RunSettings):
    """One run of the image-text alignment; see `RunSettings` for what is not told here.

    Attributes:
        model: a size from the zoo (random weights) or a model or run folder to start from.
        data: folder of shards with an index.json.
        on_error: what a sample that cannot be read does: "raise" stops the run, "skip" puts the next good sample in its place.
        max_skipped: with "skip", most different bad samples that a process replaces before it stops after all.
        train_text: train the text tower too (the base stage); otherwise it is frozen.
        same_label: what two pairs of one scene class are to each other: negative, ignore or positive.
        label: label that `same_label` compares.
        keep_tokens: share of tokens that enter the transformer in training.
        report: write report.md and curves.png after the run.
        sensor_group: which sensors.
        teachers: MaKA.
        augment: augmentation.
        virtual_sensors: hyperspectral images seen through drawn band responses.
        cross_sensor: image-image term between sensors of one place.
        validation: measuring on the way.
    """

    VALIDATED: ClassVar[tuple[str, ...]] = ("zero_shot", "recall_1", "recall_5")

    task: str = "alignment"
    model: str = "tiny"
    data: str = ""
    on_error: str = "raise"
    max_skipped: int = 100
    train_text: bool = False
    same_label: str = "negative"
    label: str = "scene_class"
    keep_tokens: float = 1.0
    report: bool = True
    sensor_group: SensorGroup = field(default_factory=SensorGroup)
    teachers: Teachers = field(default_factory=Teachers)
    augment: Augment = field(default_factory=Augment)
    virtual_sensors: Virtual = field(default_factory=Virtual)
    cross_sensor: CrossSensor = field(default_factory=CrossSensor)
    validation: Validation = field(default_factory=Validation)

    def __post_init__(self) -> None:
        require(
            self.data != "", "data is empty; give a folder of shards, e.g. data=runs/demo/planet (`geolangbind planet --out DIR` makes one)"
        )
        super().__post_init__()
        require(self.on_error in ("raise", "skip"), f"on_error is '{self.on_error}'; use raise or skip")
        require(self.max_skipped > 0, f"max_skipped is {self.max_skipped}; it must be above 0 (on_error=raise skips none)")
        require(bool(self.sensor_group.modalities), "sensor_group.modalities is empty; choose a group, e.g. sensor_group=rgb")
        require(self.same_label in SAME_LABEL, f"same_label is '{self.same_label}'; use one of {', '.join(SAME_LABEL)}")
        require(0 < self.keep_tokens <= 1, f"keep_tokens is {self.keep_tokens}; it is a share, above 0 and at most 1")
        masked = bool(self.teachers.choices) and self.keep_tokens < 1
        require(not masked, "teachers need all tokens of the student: set keep_tokens=1, or teachers=none")

    @property
    def title(self) -> str:
        """The sensor group."""
        return self.sensor_group.name

    def validated_every(self) -> int:
        """Steps between validations; 0 for none on the way."""
        return self.validation.every if self.validation.data else 0

    def neutral(self) -> Self:
        """The defaults, with what has none taken from here; see `RunSettings.neutral`."""
        return type(self)(data=self.data, run_dir=self.run_dir, sensor_group=self.sensor_group)


def from_config(config: Mapping[str, Any]) -> TrainSettings:
    """Settings of an alignment run from a composed configuration, see `settings_of`."""
    return settings_of(TrainSettings, config)


def settings_of(kind: type[_Settings], config: Mapping[str, Any]) -> _Settings:
    """Build settings from a composed configuration; every unknown key is refused with the nearest known one.

    Args:
        kind: the dataclass to build.
        config: plain values.

    Raises:
        SettingsError: unknown keys, values of the wrong type, or an impossible combination.
    """
    from difflib import get_close_matches

    from omegaconf import OmegaConf
    from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

    try:
        settings = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(kind), config))
    except ConfigKeyError as error:
        prefix = str(error.full_key).rpartition(".")[0]
        known = list(getattr(error.object_type, "__dataclass_fields__", ()))
        near = [".".join(filter(None, (prefix, name))) for name in get_close_matches(str(error.key), known, 1)]
        raise SettingsError(f"unknown setting '{error.full_key}'" + (f"; did you mean '{near[0]}'?" if near else "")) from None
    except OmegaConfBaseException as error:
        raise SettingsError(f"setting '{getattr(error, 'full_key', '?')}': {str(error).splitlines()[0]}") from None
    if not isinstance(settings, kind):
        raise SettingsError("the configuration does not describe a training run")
    return settings
