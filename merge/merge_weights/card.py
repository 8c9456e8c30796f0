"""What a merged model says about itself: parents, provenance, and the model card."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

from merge_weights import __version__
from merge_weights.describe import how, part_list
from merge_weights.plan import Plan

Parent = dict[str, Any]


def parents(plan: Plan, hashes: Sequence[str]) -> list[Parent]:
    """List the inputs of a merge.

    Args:
        plan: the merge.
        hashes: SHA-256 of each input's weights file, base first.

    Returns:
        Per input: path as given, sha256, role, coefficient (None for the base) and, if there are any, part_coefficients.
    """
    listed: list[Parent] = [{"path": plan.sources[0].given, "sha256": hashes[0], "role": "base", "coefficient": None}]
    for step, source, sha256 in zip(plan.steps, plan.sources[1:], hashes[1:], strict=True):
        entry: Parent = {"path": source.given, "sha256": sha256, "role": step.name, "coefficient": step.coefficient}
        if step.part_coefficients:
            entry["part_coefficients"] = dict(step.part_coefficients)
        listed.append(entry)
    return listed


def provenance(plan: Plan, command: str) -> dict[str, Any]:
    """Describe how the weights came about; `date` is UTC in ISO 8601."""
    return {
        "tool": "merge-weights",
        "version": __version__,
        "command": command,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "formula": how(plan),
        "coefficients": plan.coefficients(),
        "missing": plan.missing,
        "tensors": plan.counts(),
    }


def recorded(plan: Plan, keep_heads: bool, skip: Sequence[str]) -> dict[str, Any]:
    """The arguments of `merge` that lead to the same weights again, for `merge-weights verify`."""
    steps = [
        {"name": step.name, "path": str(step.source), "coefficient": step.coefficient, "parts": dict(step.part_coefficients)}
        for step in plan.steps
    ]
    return {
        "base": {"path": plan.sources[0].given},
        "steps": steps,
        "method": plan.method.name,
        "density": plan.method.density,
        "seed": plan.method.seed,
        "keep_heads": keep_heads,
        "missing": plan.missing,
        "skip": list(skip),
        "routes": [route.name for route in plan.routes],
    }


def card(listed: Sequence[Parent], how: dict[str, Any], config: dict[str, Any]) -> str:
    """Return the model card (Markdown with front matter) of a merged model.

    Args:
        listed: see `parents`.
        how: see `provenance`.
        config: the configuration of the merged model.
    """
    rows = []
    for parent in listed:
        parts = part_list(parent.get("part_coefficients", {}))
        coefficient = "" if parent["coefficient"] is None else ", ".join(filter(None, (f"{parent['coefficient']:g}", parts)))
        rows.append(f"| {parent['role']} | {coefficient} | `{parent['path']}` | `{parent['sha256'][:16]}` |")
    sensors = ", ".join(config.get("trained_sensors", ())) or "not recorded"
    return "\n".join(
        [
            "---",
            "library_name: geolangbind",
            "pipeline_tag: zero-shot-image-classification",
            "base_model_relation: merge",
            "---",
            "",
            "# Merged model",
            "",
            f"Weights of {len(listed)} models, merged by `{how['tool']}` {how['version']} on {how['date']}:",
            "",
            f"    {how['formula']}",
            "",
            "| role | coefficient | parent | sha256 |",
            "| --- | --- | --- | --- |",
            *rows,
            "",
            f"Sensors seen in training: {sensors}.",
            "",
            "Made with:",
            "",
            f"    {how['command']}",
            "",
        ]
    )
