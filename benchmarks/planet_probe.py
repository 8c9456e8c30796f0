"""Quality meter of the planet: a simple classifier trained on synthetic chips alone, tested on real EuroSAT chips.

Hand features and logistic regression: it ranks changes of the generator as a trained model does, in a hundredth of the time.
Develop on the chips whose file name has an even SHA-1 (the default); the odd half is for the one report at the end (`--half odd`).

    python benchmarks/planet_probe.py path/to/eurosat --count 4000 --seeds 2
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import rasterio
import typer
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from geolangbind.planet.groups import EUROSAT
from geolangbind.planet.products import PRODUCTS
from geolangbind.planet.scene import draw_scene
from geolangbind.planet.write import sample_of

Floats = NDArray[np.float32]
_EUROSAT_ORDER = (0, 1, 2, 3, 4, 5, 6, 7, 12, 8, 9, 10, 11)
"""EuroSAT's files hold B8A last; this brings them into the product's order."""
_SCALES = (1, 3)


def features(image: Floats) -> Floats:
    """Return one vector per chip from (C, H, W) in [0, 1]: log levels, their spread and percentiles, ratios, texture at two scales."""
    logs = np.log(np.maximum(image, 0.004))
    flat = logs.reshape(len(logs), -1)
    parts = [flat.mean(1), flat.std(1), *np.percentile(flat, [2, 10, 50, 90, 98], axis=1)]
    dark, bright = logs[: len(logs) // 2], logs[len(logs) // 2 :]
    channels = [logs[len(logs) // 2], dark.mean(0) - bright.mean(0), logs[0] - logs[2]]
    if len(logs) == 13:
        channels = [logs[3], logs[7] - logs[3], logs[11] - logs[7]]
    for channel in channels:
        for step in _SCALES:
            right, down = channel[:, step:] - channel[:, :-step], channel[step:] - channel[:-step]
            energy = np.sqrt((right**2).mean() + (down**2).mean())
            strongest = np.percentile(np.abs(right), 98) + np.percentile(np.abs(down), 98)
            parts.append(np.log(np.array([energy, strongest, np.abs(right).mean() + np.abs(down).mean()]) + 1e-3))
        parts.append(np.percentile(channel, [5, 50, 95]))
    return np.concatenate([np.ravel(part) for part in parts]).astype(np.float32)


def real_chips(folder: Path, half: str) -> dict[str, list[tuple[str, Floats]]]:
    """Return {"msi": [(class, chip)], "rgb": [...]} of the files in the wanted half, chips scaled to [0, 1]."""
    wanted = 0 if half == "even" else 1
    found: dict[str, list[tuple[str, Floats]]] = {"msi": [], "rgb": []}
    for path in sorted(folder.glob("*/*/*")):
        if int(hashlib.sha1(path.name.encode()).hexdigest(), 16) % 2 != wanted or path.parent.name not in EUROSAT:
            continue
        name = EUROSAT[path.parent.name]
        if path.suffix == ".tif":
            with rasterio.open(path) as file:
                found["msi"].append((name, file.read()[list(_EUROSAT_ORDER)].astype(np.float32) * np.float32(1e-4)))
        elif path.suffix == ".jpg":
            found["rgb"].append((name, np.moveaxis(np.asarray(Image.open(path), np.float32), -1, 0) / np.float32(255)))
    return found


def synthetic_chips(count: int, seed: int, modality: str) -> list[tuple[str, Floats]]:
    """Return `count` (class, chip) of EuroSAT's ten classes from planet `seed`, chips scaled to [0, 1]."""
    product, names = PRODUCTS[modality][0], list(EUROSAT.values())
    chips = []
    for index in track(range(count), description=f"drawing {modality}", transient=True):
        name = names[index % len(names)]
        image = sample_of(draw_scene(seed, index, name), product).image.astype(np.float32)
        chips.append((name, image / np.float32(255) if modality == "rgb" else image * np.float32(product.scale)))
    return chips


def _vectors(chips: list[tuple[str, Floats]]) -> tuple[Floats, NDArray[Any]]:
    return np.stack([features(chip) for _, chip in chips]), np.array([name for name, _ in chips])


def main(
    eurosat: Annotated[Path, typer.Argument(help="Folder with ms/<class>/*.tif and rgb/<class>/*.jpg.")],
    count: Annotated[int, typer.Option(help="Synthetic chips to train on.")] = 4000,
    seeds: Annotated[int, typer.Option(help="Planets to average over.")] = 2,
    first_seed: Annotated[int, typer.Option(help="Seed of the first planet.")] = 900,
    half: Annotated[str, typer.Option(help="even (to develop on) or odd (for the one final report).")] = "even",
) -> None:
    """Train the probe on the planet, test it on real chips, print accuracies and the real chips' confusion."""
    console = Console()
    real = real_chips(eurosat, half)
    for modality, chips in real.items():
        wanted, truth = _vectors(chips)
        scores, guesses = [], []
        for seed in range(first_seed, first_seed + seeds):
            trained, names = _vectors(synthetic_chips(count, seed, modality))
            model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300))
            model.fit(trained[: -count // 8], names[: -count // 8])
            guess = model.predict(wanted)
            held_out = model.score(trained[-count // 8 :], names[-count // 8 :])
            scores.append((float((guess == truth).mean()), float(held_out)))
            guesses.append(guess)
        table = Table("class", "n", "right", "taken for")
        for name in EUROSAT.values():
            hits = np.concatenate([guess[truth == name] for guess in guesses])
            others, counts = np.unique(hits[hits != name], return_counts=True)
            order = np.argsort(-counts)[:4]
            right = f"{100 * (hits == name).mean():.0f} %" if len(hits) else "-"
            table.add_row(name, str(int((truth == name).sum())), right, ", ".join(f"{others[i]} {counts[i]}" for i in order))
        console.print(table)
        real_mean, held_mean = np.mean(scores, axis=0)
        console.print(f"{modality}: real {100 * real_mean:.1f} % of {len(chips)} chips ({half} half), synthetic {100 * held_mean:.1f} %\n")


if __name__ == "__main__":
    typer.run(main)
