"""Class names to sentences. Templates are data with a version and a hash, so that a score says what it was prompted with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256

PROMPTS_VERSION = "1"

TEMPLATES: dict[str, tuple[str, ...]] = {
    "rgb": ("a satellite image of {}", "an aerial image of {}", "a satellite photo of {}"),
    "msi": ("a satellite image of {}", "a multispectral image of {}"),
    "hsi": ("a satellite image of {}", "a hyperspectral image of {}"),
    "sar": ("a radar image of {}", "a SAR image of {}"),
    "ir": ("a thermal image of {}", "an infrared image of {}"),
    "dem": ("an elevation model of {}", "a terrain model of {}"),
}


def prompts(phrases: Sequence[str], modality: str) -> list[str]:
    """All sentences for one class: every phrase in every template of the modality."""
    return [template.format(phrase) for phrase in phrases for template in TEMPLATES[modality]]


def prompts_hash(classes: Mapping[str, Sequence[str]], modality: str) -> str:
    """Identity of a prompt set: 12 hex digits over version, templates and phrases."""
    told = json.dumps([PROMPTS_VERSION, TEMPLATES[modality], {name: list(phrases) for name, phrases in classes.items()}])
    return sha256(told.encode()).hexdigest()[:12]
