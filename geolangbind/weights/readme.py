"""The README of an ONNX or torch.export folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CLEAN = {
    "lower": '" ".join(text.split())',
    "canonicalize": '" ".join(text.replace("_", " ").translate(str.maketrans("", "", string.punctuation)).lower().split())',
}


def export_readme(told: Mapping[str, Any], name: str, imports_line: str, run: str) -> str:
    """Write the README of an export, with a snippet that runs as it stands.

    Args:
        told: content of export.json.
        name: of the format.
        imports_line: what the snippet imports to run the programs.
        run: an expression with `{file}` and `{name}` that runs a program on an array.
    """
    image, text = told["image"], told["text"]
    count, size = image["input"]["shape"][1:3]
    if image["sensor"]:
        what = f"{', '.join(image['bands'])} of {image['sensor']} in {image['unit']}, in this order; normalisation is inside"
    else:
        what = f"normalised already, at {', '.join(f'{um:g}' for um in image['wavelengths_um'])} µm"
    lines = [
        f"image = np.zeros((1, {count}, {size}, {size}), np.float32)  # your chips",
        f"image_vectors = {run.format(file=image['file'], name='image')}",
    ]
    standard = (
        ["import json", *(["import string"] if text["clean"] == "canonicalize" else []), "from pathlib import Path", ""] if text else []
    )
    imports = [*standard, "import numpy as np", imports_line]
    if text and text["tokenizer"]:
        imports.append("from tokenizers import Tokenizer")
        lines += [
            'texts = ["a satellite image of a harbour", "a satellite image of a field"]',
            f"clean = [{CLEAN[text['clean']]} for text in texts]",
            'ids = np.array([row.ids for row in Tokenizer.from_file("tokenizer.json").encode_batch(clean)], np.int64)',
        ]
    elif text:
        lines.append(f"ids = np.zeros((2, {text['context_length']}), np.int64)  # of your tokenizer, padded; the model had none")
    if text:
        lines += [
            f"text_vectors = {run.format(file=text['file'], name='ids')}",
            'told = json.loads(Path("export.json").read_text())',
            'scores = 1 / (1 + np.exp(-(told["logit_scale"] * image_vectors @ text_vectors.T + told["logit_bias"])))',
        ]
    snippet = "\n".join([*imports, "", *lines])
    return (
        f"# A geolangbind model for one channel set ({name})\n\n"
        f"`{image['file']}` maps (batch, {count}, {size}, {size}) float32 to unit vectors. Channels: {what}.\n"
        "Every pixel counts: fill pixels without data first, NaN is not noticed. `export.json` says everything else.\n\n"
        f"```python\n{snippet}\n```\n"
    )
