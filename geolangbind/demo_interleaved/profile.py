"""How big the demo is, and the one recipe of its models: all figures are here, the same for every seed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Any

from geolangbind.demo_interleaved.fit import Recipe
from geolangbind.demo_interleaved.world import WorldSettings
from geolangbind.errors import SettingsError
from geolangbind.planet.regions import GROUPS

TASKS = {
    "region_landmark": 3.0,
    "region_attribute": 1.25,
    "region_extreme": 1.0,
    "region_size": 0.5,
    "referring": 1.25,
    "sensors_landmark": 2.5,
    "sensors_attribute": 0.75,
    "sensors_extreme": 0.5,
    "sensors_size": 0.25,
    "two_sensors": 1.0,
    "place": 2.0,
    "place_to_image": 0.25,
    "scene_class": 1.25,
    "caption": 0.75,
    "change": 1.5,
}
"""Share of steps by source, for the interleaved encoder and, of their own tasks, for the controls. Groups of phrases are sources of their
own: what is set against each other in a step is then of one kind, as it is in the rankings."""

TOGETHER = {
    **{f"{task}_{group}": 24 if group == "landmark" else 6 for task in ("region", "sensors") for group in GROUPS},
    "referring": 12, "two_sensors": 8, "place": 8, "place_to_image": 8, "scene_class": 8, "caption": 8, "change": 4,
}  # fmt: skip
"""Rows that count as one in the batch: what is asked of a scene's boxes, where a further phrase costs next to nothing."""

RECIPE: Mapping[str, Any] = {
    "tower": "planet-tiny",
    "backbone": {
        "config": {
            "hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 32,
            "intermediate_size": 320,
        }
    },
    "model": {"factor": 4, "enlarge": 2},
    "rendering": {"box": "token", "place": "both", "image_facts": ["date"]},
    "sources": {name: {"weight": weight, "together": TOGETHER[name]} for name, weight in TASKS.items()},
    "steps": 1300,
    "batch_size": 32,
    "block": 8,
    "negatives": "block",
    "hard_negatives": 1,
    "temperature": {"start": 0.07},
    "optim": {"lr": 2e-3, "weight_decay": 0.05, "warmup_steps": 50},
    "machine": {"accelerator": "cpu", "precision": "bf16-mixed", "devices": 1},
    "checkpoint_every": 200,
    "keep_checkpoints": 1,
}  # fmt: skip
"""Of the interleaved encoder, in the words of `conf/interleaved.yaml`."""


@dataclass(frozen=True)
class Profile:
    """Sizes of a demo.

    Attributes:
        name: key of `PROFILES`.
        world: its data.
        seeds: how many models of each kind, from seed 0.
        recipe: of the interleaved encoder.
        control_batch: rows of a step of the controls.
        dual_lr: learning rate of the dual encoder, whose training ends when it has taken as many operations as the interleaved one's.
        small: recipe of the MLP and of box + type.
        ablation_steps: of each run of the ablations.
    """

    name: str
    world: WorldSettings = field(default_factory=WorldSettings)
    seeds: int = 1
    recipe: Mapping[str, Any] = field(default_factory=lambda: RECIPE)
    control_batch: int = 256
    dual_lr: float = 5e-4
    small: Recipe = field(default_factory=lambda: Recipe(1500))
    ablation_steps: int = 450

    def key(self) -> str:
        """Short hash of the recipe: models of another one lie in folders of another name."""
        return short_hash({"recipe": self.recipe, "batch": self.control_batch, "dual_lr": self.dual_lr, "small": asdict(self.small)})


def short_hash(told: object) -> str:
    """Eight letters that stand for plain values."""
    return sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:8]


def _smoke() -> Profile:
    world = WorldSettings(
        staged=16, sensors=6, changed=6, ordinary=16, held_out=8, held_out_sensors=4, held_out_changed=4, held_out_ordinary=8,
        queries=5, phrases=12, boxes=6, places=5, captions=6, changes=6,
    )  # fmt: skip
    slim = {"config": {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 16}}
    changes = {"backbone": slim, "model": {"factor": 4}, "steps": 3, "batch_size": 2, "block": 2, "optim": {"warmup_steps": 1}}
    return Profile("smoke", world, 1, {**RECIPE, **changes}, control_batch=8, small=Recipe(3), ablation_steps=2)


def _quick() -> Profile:
    world = WorldSettings(
        staged=3000, sensors=750, changed=1000, ordinary=2400,
        held_out=600, held_out_sensors=200, held_out_changed=300, held_out_ordinary=400, captions=300,
    )  # fmt: skip
    return Profile("quick", world, recipe={**RECIPE, "steps": 450}, small=Recipe(500))


PROFILES = {profile.name: profile for profile in (_smoke(), _quick(), Profile("full", seeds=3))}


def get_profile(name: str) -> Profile:
    """Look a profile up.

    Raises:
        SettingsError: unknown name.
    """
    if name not in PROFILES:
        raise SettingsError(f"unknown profile '{name}'; profiles are {', '.join(PROFILES)}")
    return PROFILES[name]
