"""Settings that every training run has, whatever its task. They check themselves when built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

from geolangbind.checkpoint import FORMAT
from geolangbind.errors import SettingsError

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
STRATEGIES = ("auto", "ddp", "fsdp")

_Settings = TypeVar("_Settings", bound="RunSettings")


def require(condition: bool, message: str) -> None:
    """Refuse a setting.

    Raises:
        SettingsError: the condition does not hold.
    """
    if not condition:
        raise SettingsError(message)


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
            "validation/COLUMN" (see `validated`), with the best last validation since the one before, mean over its rows;
            empty keeps none.
        best_is: "lowest" or "highest".
        deterministic: bit-identical reruns on one machine.
        progress: show a progress bar, and at the start what the run is.
        report: write report.md and curves.png after the run.
        optim: optimiser and schedule.
        machine: devices and precision.
    """

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
    report: bool = True
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
            columns, every = self.validated()
            known = [f"validation/{name}" for name in columns]
            require(self.best_metric in known, f"best_metric is '{self.best_metric}'; of the validation, use one of {', '.join(known)}")
            told = 0 < every <= self.checkpoint_every
            require(told, f"best_metric={self.best_metric} needs {self.held_out} and validation.every, at most checkpoint_every")

    @property
    def title(self) -> str:
        """A short name for people."""
        return self.task

    @property
    def model_format(self) -> str:
        """What `config.json` of the trained model says it is."""
        return FORMAT

    @property
    def held_out(self) -> str:
        """The setting that says what to validate on."""
        return "validation.data"

    def validated(self) -> tuple[tuple[str, ...], int]:
        """Columns of `validation.jsonl`, and steps between validations; 0 for none on the way."""
        return (), 0

    def neutral(self) -> Self:
        """The defaults, with what has none taken from here: what settings that an earlier start did not know yet stood for."""
        return type(self)(run_dir=self.run_dir)


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
