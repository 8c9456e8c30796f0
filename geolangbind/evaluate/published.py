"""What publications state, as result rows flagged as published."""

from __future__ import annotations

from pathlib import Path

import yaml

from geolangbind.evaluate.results import ResultRow


def published_rows(suite: str) -> list[ResultRow]:
    """Rows of `published.yaml` that belong beside a suite's own; they have no hashes, and their trials and chance are not known."""
    listed = yaml.safe_load(Path(__file__).with_name("published.yaml").read_text(encoding="utf-8"))
    return [
        ResultRow(
            model=model, model_sha256="", suite=suite, dataset=dataset, revision="", sensor="", bands="", modality=entry["modality"],
            metric=entry["metric"], value=value / 100, n=0, chance=None, low=None, high=None, prompts="", synthetic=False, command="", date="",
            task=entry["task"], published=True, source=entry["source"],
        )
        for entry in listed
        if entry["suite"] == suite
        for model, values in entry["models"].items()
        for dataset, value in zip(entry["datasets"], values, strict=True)
    ]  # fmt: skip
