"""What publications state, as result rows flagged as published."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from geolangbind.evaluate.results import ResultRow


def published_rows(suite: str) -> list[ResultRow]:
    """Rows of `published.yaml` that belong beside a suite's own; they have no hashes, and their trials and chance are not known."""
    listed: list[dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("published.yaml").read_text(encoding="utf-8"))
    unknown: dict[str, Any] = dict.fromkeys(("model_sha256", "revision", "sensor", "bands", "prompts", "command", "date"), "")
    unknown |= dict.fromkeys(("chance", "low", "high")) | {"n": 0, "synthetic": False}
    return [
        ResultRow(
            model=model,
            suite=suite,
            dataset=dataset,
            value=value / 100,
            published=True,
            **{key: entry[key] for key in ("modality", "metric", "task", "source")},
            **unknown,
        )
        for entry in listed
        if entry["suite"] == suite
        for model, values in entry["models"].items()
        for dataset, value in zip(entry["datasets"], values, strict=True)
    ]
