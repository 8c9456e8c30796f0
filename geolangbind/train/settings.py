"""Typed settings of a training run. They check themselves when built; `conf/` fills them in, the run folder keeps them resolved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from geolangbind.losses import SAME_LABEL
from geolangbind.train.run_settings import RunSettings, require, settings_of

MODALITIES = ("rgb", "sar", "msi", "hsi", "ir", "dem")


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
        sensor_group: which sensors.
        teachers: MaKA.
        augment: augmentation.
        virtual_sensors: hyperspectral images seen through drawn band responses.
        cross_sensor: image-image term between sensors of one place.
        validation: measuring on the way.
    """

    task: str = "alignment"
    model: str = "tiny"
    data: str = ""
    on_error: str = "raise"
    max_skipped: int = 100
    train_text: bool = False
    same_label: str = "negative"
    label: str = "scene_class"
    keep_tokens: float = 1.0
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

    def validated(self) -> tuple[tuple[str, ...], int]:
        """See `RunSettings.validated`."""
        return ("zero_shot", "recall_1", "recall_5"), self.validation.every if self.validation.data else 0

    def neutral(self) -> Self:
        """The defaults, with what has none taken from here; see `RunSettings.neutral`."""
        return type(self)(data=self.data, run_dir=self.run_dir, sensor_group=self.sensor_group)


def from_config(config: Mapping[str, Any]) -> TrainSettings:
    """Settings of an alignment run from a composed configuration, see `settings_of`."""
    return settings_of(TrainSettings, config)
