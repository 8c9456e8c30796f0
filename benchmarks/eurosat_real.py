"""Zero-shot accuracy of a model on real EuroSAT chips (ten classes), thirteen bands and RGB.

    python benchmarks/eurosat_real.py FOLDER --model runs/demo/merged --half even

FOLDER holds `ms/<class>/*.tif` (13 bands, B8A last) and `rgb/<class>/*.jpg`. The generator was developed on the chips whose file name has
an even SHA-1; the other half is reported once in docs/results.md. A model trained on the planet never saw a real pixel, but the planet
was aimed at these classes: say so beside any such number.
"""

from __future__ import annotations

import argparse
from hashlib import sha1
from pathlib import Path

from geolangbind import load
from geolangbind.evaluate.classify import classify, parse_labels, read_truth
from geolangbind.evaluate.metrics import wilson_interval
from geolangbind.model import GeoLangBind
from geolangbind.paths import cards_dir

MSI = {
    "sensor": "sentinel-2-l1c",
    "bands": ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B09", "B10", "B11", "B12", "B8A"],
    "scale": 1e-4,
    "offset": 0.0,
}
RGB = {"sensor": "sentinel-2-tci", "bands": ["R", "G", "B"]}


def even(path: Path) -> bool:
    """Whether the chip belongs to the half that may be developed on."""
    return int(sha1(path.name.encode()).hexdigest(), 16) % 2 == 0


def score(model: GeoLangBind, folder: Path, half: str) -> dict[str, tuple[int, int]]:
    """Right answers and chips per sensor ("ms", "rgb") on one half ("even", "odd", "all")."""
    classes = parse_labels(str(cards_dir() / "eurosat" / "card.yaml"))
    found = {}
    for kind, suffix, options in (("ms", "tif", MSI), ("rgb", "jpg", RGB)):
        paths = [p for p in sorted((folder / kind).rglob(f"*.{suffix}")) if half == "all" or even(p) == (half == "even")]
        truth = read_truth("folder", paths, classes)
        guesses = [next(iter(classify(model, path, classes, options))).label for path in paths]
        found[kind] = (sum(a == b for a, b in zip(guesses, truth, strict=True)), len(paths))
    return found


def main() -> None:
    """Print one line per sensor."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="runs/demo/merged")
    parser.add_argument("--half", choices=("even", "odd", "all"), default="even")
    arguments = parser.parse_args()
    for kind, (right, n) in score(load(arguments.model), arguments.folder, arguments.half).items():
        low, high = wilson_interval(right / n, n)
        print(
            f"{kind:>4}  top-1 {100 * right / n:5.1f} %  95 % interval {100 * low:.1f}-{100 * high:.1f}  n = {n}  ({arguments.half} half)"
        )


if __name__ == "__main__":
    main()
