"""The demo's pictures: accuracy per modality and model, training curves, one chip per modality with its predicted caption."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch

from geolangbind.data.loader import iterate_all
from geolangbind.data.shards import ShardSet
from geolangbind.evaluate.pictures.heatmap import readable_view
from geolangbind.evaluate.prompts import label_phrases
from geolangbind.evaluate.zero_shot import class_vectors
from geolangbind.planet.groups import MODALITIES
from geolangbind.weights.load import load

mpl.use("Agg")
from matplotlib import pyplot as plt

_COLORS = {
    "base": "#999999",
    "rgb": "#D55E00",
    "others": "#0072B2",
    "merged": "#009E73",
    "joint": "#CC79A7",
    "merged-generator": "#56B4E9",
    "merged-best": "#F0E442",
}
"""Okabe and Ito's colour-blind-safe palette."""


def plot_accuracy(path: Path, report: Mapping[str, Any]) -> None:
    """Bars of top-1 per modality and model, with 95 % intervals, chance and ceiling."""
    models = list(report["zero_shot"])
    width = 0.8 / len(models)
    figure, axes = plt.subplots(figsize=(10, 4.2), layout="constrained")
    for i, name in enumerate(models):
        values = np.array([report["zero_shot"][name][modality] for modality in MODALITIES])
        spans = np.array([report["interval"][name][modality] for modality in MODALITIES]).T
        places = np.arange(len(MODALITIES)) + (i - (len(models) - 1) / 2) * width
        axes.bar(places, 100 * values, width * 0.92, label=name, color=_COLORS[name])
        errors = 100 * np.clip(np.abs(spans - values), 0, 1)
        axes.errorbar(places, 100 * values, errors, fmt="none", ecolor="#222222", elinewidth=1, capsize=2)
    for i, modality in enumerate(MODALITIES):
        top = 100 * report["ceiling"][modality]
        axes.plot([i - 0.45, i + 0.45], [top, top], color="black", linewidth=1.2, label="ceiling" if i == 0 else None)
    axes.axhline(100 * report["chance"], color="black", linewidth=1, linestyle=":", label="chance")
    axes.set_xticks(range(len(MODALITIES)), [modality.upper() for modality in MODALITIES])
    axes.set_ylabel("zero-shot top-1, %")
    axes.set_ylim(0, 105)
    axes.set_title(
        f"Held-out scenes of the synthetic planet, {report['classes']} classes, n = {report['n']['rgb']} per modality, bars: 95 %"
    )
    axes.legend(ncols=len(models) + 2, loc="upper center", bbox_to_anchor=(0.5, -0.08), frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def plot_curves(path: Path, runs: Mapping[str, Path]) -> None:
    """Contrastive loss of every run and modality over optimiser steps, running mean."""
    figure, panels = plt.subplots(1, len(runs), figsize=(3.2 * len(runs), 3), layout="constrained", squeeze=False)
    for axes, (name, folder) in zip(panels[0], runs.items(), strict=True):
        rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
        for modality in MODALITIES:
            points = [(row["step"], row["contrastive"]) for row in rows if row["modality"] == modality]
            if points:
                steps, losses = np.array(points).T
                span = max(1, len(losses) // 12)
                smooth = np.convolve(losses, np.ones(span) / span, mode="valid")
                axes.plot(steps[span - 1 :], smooth, label=modality)
        axes.set_title(name, fontsize=9)
        axes.set_xlabel("optimiser step")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(fontsize=7, frameon=False)
    panels[0][0].set_ylabel("contrastive loss")
    figure.savefig(path, dpi=130)
    plt.close(figure)


@torch.no_grad()
def plot_pictures(path: Path, model_folder: Path, data: Path, per_modality: int = 3) -> None:
    """Held-out chips of every modality with the class a model predicts for each, and the truth where it differs."""
    model, shards = load(model_folder), ShardSet.open(data)
    classes = label_phrases(shards, "scene_class")
    phrases = {name: words[0] for name, words in classes.items()}
    figure, panels = plt.subplots(per_modality, len(MODALITIES), figsize=(2.1 * len(MODALITIES), 2.45 * per_modality), layout="constrained")
    for column, modality in enumerate(MODALITIES):
        batch = next(iter(iterate_all(shards.select(modalities=[modality])[0], per_modality)))
        scores = (
            model.encode_physical(batch.image, batch.channels, batch.sensor, batch.bands, batch.valid)
            @ class_vectors(model, classes, modality).T
        )
        views = readable_view(batch)
        for row in range(per_modality):
            guess, truth = list(classes)[int(scores[row].argmax())], batch.labels["scene_class"][row]
            axes = panels[row][column]
            axes.imshow(views[row], interpolation="nearest")
            told = f"“{phrases[guess]}”" + ("" if guess == truth else f"\ntrue: {phrases[truth]}")
            axes.set_title(
                f"{modality.upper()}: {told}" if row == 0 else told, fontsize=8, color="#009E73" if guess == truth else "#D55E00"
            )
            axes.axis("off")
    figure.savefig(path, dpi=130)
    plt.close(figure)
