"""The model card: README.md of a model folder, for people and for the hub."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def model_card(config: Mapping[str, Any]) -> str:
    """Write the card of a model.

    Args:
        config: content of config.json.

    Returns:
        Markdown with the hub's YAML header.
    """
    kinds = "\n".join(f"| {kind} | {entry['transform']} |" for kind, entry in config["statistics"]["kinds"].items())
    sensors = ", ".join(config["trained_sensors"]) or "none"
    return (
        "---\nlibrary_name: geolangbind\npipeline_tag: zero-shot-image-classification\n---\n\n"
        f"# A geolangbind model\n\nSensors seen in training: {sensors}.\n\n"
        f"| physical kind at the input | transform before normalisation |\n| --- | --- |\n{kinds}\n\n"
        "Load it with `geolangbind.load(folder)`. Statistics, tokenizer, parents and provenance are in config.json.\n"
    )
