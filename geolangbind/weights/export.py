"""Frozen towers as ONNX or torch.export programs: a folder that runs without this package, checked before it takes its name."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from geolangbind.checkpoint import TOKENIZER, atomic_folder
from geolangbind.errors import CheckpointError
from geolangbind.model import GeoLangBind
from geolangbind.sensors.units import PLAUSIBLE_RANGE, to_canonical
from geolangbind.weights.frozen import FrozenTextTower, ImageInput, channel_statistics, freeze
from geolangbind.weights.readme import export_readme

EXPORT, FORMAT, FORMAT_VERSION = "export.json", "geolangbind-export", 1
TOLERANCE = 1e-4
_CHECKED_BATCHES = (1, 3)
_ONE_FILE_BYTES = 1_500_000_000  # an ONNX file ends at 2 GB, graph included
FORMULAS = {
    "identity": "x",
    "log": "log(max(x, 0) + 0.02)",
    "relief": "asinh((x - mean(x)) / 5)",
    "warmth": "asinh((x - mean(x)) / 2)",
}
"""`statistics.transform` in words for readers without this package; mean(x) is over the pixels of one channel of one image."""

_RULE = "(transform(x) - mean) / std per channel, x in `unit`; display_u8 is divided by 255 first"

Run = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class _Program:
    """One tower on its way out.

    Attributes:
        name: "image" or "text".
        module: what is exported.
        draw: makes a random input of so many images or texts.
        live: what the live model makes of such an input.
    """

    name: str
    module: nn.Module
    draw: Callable[[int], Tensor]
    live: Run


@dataclass(frozen=True)
class _Kind:
    """One format: its name in export.json, the ending of its files, how it is written and run, and what the README says."""

    name: str
    suffix: str
    write: Callable[[torch.export.ExportedProgram, Path], dict[str, Any]]
    read: Callable[[Path], Run]
    imports: str
    run: str


def export_onnx(model: GeoLangBind, folder: str | Path, image: ImageInput, *, text: bool = True) -> Path:
    """Write image.onnx and text.onnx with tokenizer.json, export.json and README.md.

    Weights above 1.5 GB go to a file beside each program (`image.onnx.data`), for ONNX files end at 2 GB.

    Args:
        model: the live model, unchanged afterwards.
        folder: final place; replaced whole if it holds an earlier export.
        image: the channels to freeze, see `frozen.image_input`.
        text: export the text tower too.

    Returns:
        The path of the folder.

    Raises:
        CheckpointError: onnx, onnxscript or onnxruntime is not installed, the folder holds something else, or the exported program does
            not agree with the live model to 1e-4. Nothing is left behind then.
        SensorError, UnitError: see `frozen.freeze`.
    """
    _onnx_runtime()
    return _export(model, Path(folder), image, text, _ONNX)


def export_torch(model: GeoLangBind, folder: str | Path, image: ImageInput, *, text: bool = True) -> Path:
    """Write image.pt2 and text.pt2, which `torch.export.load` reads; otherwise like `export_onnx`."""
    return _export(model, Path(folder), image, text, _TORCH)


@contextmanager
def export_folder(folder: Path) -> Iterator[Path]:
    """`checkpoint.atomic_folder`, which replaces nothing but an earlier export.

    Raises:
        CheckpointError: there is a file of that name, or a folder that holds something else (a model, say).
    """
    if folder.exists() and not (folder / EXPORT).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise CheckpointError(f"{folder} exists and is no earlier export (it has no {EXPORT}); give a new folder")
    with atomic_folder(folder) as part:
        yield part


def check_agreement(found: Tensor, expected: Tensor, what: str) -> float:
    """Compare an export with the live model.

    Returns:
        The largest difference; where the expected values exceed 1, as a share of the largest of them.

    Raises:
        CheckpointError: it is above 1e-4 or not a number.
    """
    if found.shape != expected.shape:
        raise CheckpointError(f"{what} gives {tuple(found.shape)} where the live model gives {tuple(expected.shape)}; nothing was written")
    difference = float((found - expected).abs().max() / expected.abs().max().clamp_min(1))
    if not difference <= TOLERANCE:
        raise CheckpointError(f"{what} differs from the live model by {difference:.1e}, more than {TOLERANCE:g}; nothing was written")
    return difference


def describe_image(model: GeoLangBind, image: ImageInput, *, folded: bool) -> dict[str, Any]:
    """What export.json says of the image input.

    Args:
        model: the live model.
        image: the frozen channels.
        folded: the export normalises by itself, so that its input is in `unit`.
    """
    config = model.vision.config
    rows: list[dict[str, Any]] = []
    if image.sensor is not None:
        statistics = channel_statistics(model.statistics, image.channels, image.sensor, image.bands or ())
        rows = [{"band": band, **asdict(row)} for band, row in zip(image.bands or (), statistics, strict=True)]
    shape = ["batch", len(image.channels), config.image_size, config.image_size]
    return {
        "input": {"name": "image", "dtype": "float32", "shape": shape},
        "sensor": image.sensor,
        "bands": image.bands,
        "unit": image.unit,
        "wavelengths_um": image.channels.wavelengths_um,
        "image_size": config.image_size,
        "gsd_m": model.gsd_m,
        "normalisation": {
            "folded": folded and image.sensor is not None,
            "rule": _RULE if rows else "the input is normalised already, as the model was taught",
            "transforms": {name: FORMULAS[name] for name in sorted({row["transform"] for row in rows})},
            "channels": rows,
        },
    }


def write_told(part: Path, told: Mapping[str, Any]) -> None:
    """Write export.json."""
    whole = {"format": FORMAT, "format_version": FORMAT_VERSION, **told, "torch": torch.__version__}
    (part / EXPORT).write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")


def _export(model: GeoLangBind, folder: Path, image: ImageInput, text: bool, kind: _Kind) -> Path:
    programs = [_image_program(model, image), *([_text_program(model)] if text else [])]
    described = {"image": describe_image(model, image, folded=True), "text": _describe_text(model)}
    told: dict[str, Any] = {
        "program": kind.name,
        "image": None,
        "text": None,
        "logit_scale": float(model.towers.logit_scale.detach().exp()),
        "logit_bias": float(model.towers.logit_bias.detach()),
        "score": "sigmoid(logit_scale * image vectors @ text vectors.T + logit_bias)",
    }
    with export_folder(folder) as part:
        for program in programs:
            path = part / f"{program.name}.{kind.suffix}"
            extra = kind.write(_capture(program), path)
            run = kind.read(path)
            batches = [program.draw(count) for count in _CHECKED_BATCHES]
            difference = max(check_agreement(run(batch), program.live(batch), path.name) for batch in batches)
            told[program.name] = {
                "file": path.name,
                **described[program.name],
                # both towers end at the width of the image tower, else their vectors could not be compared
                "output": {"name": "vectors", "dtype": "float32", "shape": ["batch", model.vision.config.width], "length": 1},
                **extra,
                "largest_difference": difference,
            }
        if text and model.tokenizer is not None:
            (part / TOKENIZER).write_text(model.tokenizer.to_json(), encoding="utf-8")
        write_told(part, told)
        (part / "README.md").write_text(export_readme(told, kind.name, kind.imports, kind.run), encoding="utf-8")
    return folder


def _image_program(model: GeoLangBind, image: ImageInput) -> _Program:
    size = model.vision.config.image_size
    module = freeze(model, image.channels, sensor=image.sensor, bands=image.bands)

    def draw(count: int) -> Tensor:
        shape, generator = (count, len(image.channels), size, size), torch.Generator().manual_seed(count)
        if image.unit is None:
            return torch.randn(shape, generator=generator)
        low, high = PLAUSIBLE_RANGE[image.unit]
        return low + (high - low) * torch.rand(shape, generator=generator)

    def live(batch: Tensor) -> Tensor:
        if image.sensor is None or image.unit is None:
            return model.encode_channels(batch, image.channels).cpu()
        values, _ = to_canonical(batch.numpy(), image.unit)
        return model.encode_physical(torch.from_numpy(values), image.channels, image.sensor, image.bands or ()).cpu()

    return _Program("image", module, draw, live)


def _text_program(model: GeoLangBind) -> _Program:
    config = model.towers.text_config

    def draw(count: int) -> Tensor:
        return torch.randint(config.vocab_size, (count, config.context_length), generator=torch.Generator().manual_seed(count))

    @torch.no_grad()
    def live(ids: Tensor) -> Tensor:
        return model.towers.text_vectors(ids.to(model.towers.logit_bias.device)).cpu()

    return _Program("text", FrozenTextTower(model), draw, live)


def _describe_text(model: GeoLangBind) -> dict[str, Any]:
    config, tokenizer = model.towers.text_config, model.tokenizer
    return {
        "input": {"name": "ids", "dtype": "int64", "shape": ["batch", config.context_length]},
        "context_length": config.context_length,
        "vocab_size": config.vocab_size,
        "tokenizer": TOKENIZER if tokenizer else None,
        "pad_id": tokenizer.pad_id if tokenizer else None,
        "clean": tokenizer.clean if tokenizer else None,
    }


def _capture(program: _Program) -> torch.export.ExportedProgram:
    # an example of two: torch takes a batch of one for a constant
    captured = torch.export.export(program.module, (program.draw(2),), dynamic_shapes=_batch_axis())
    for node in captured.graph.nodes:
        # would carry the paths of this machine into the files
        node.meta.pop("stack_trace", None)
    return captured


def _batch_axis() -> tuple[dict[int, Any], ...]:
    return ({0: torch.export.Dim("batch")},)


def _write_onnx(program: torch.export.ExportedProgram, path: Path) -> dict[str, Any]:
    names = list(program.graph_signature.user_inputs)
    with warnings.catch_warnings():
        # which operators it could not simplify is the exporter's own business; what counts is checked by running the file
        warnings.filterwarnings("ignore", module=r"torch\.(onnx|export)|onnxscript|onnx_ir")
        exported = torch.onnx.export(
            program, dynamo=True, verbose=False, input_names=names, output_names=["vectors"], dynamic_shapes=_batch_axis()
        )
    if exported is None:
        raise CheckpointError("torch.onnx.export returned no program; torch 2.7 or newer is needed")
    size = sum(tensor.nbytes for tensor in program.state_dict.values())
    exported.save(path, external_data=size > _ONE_FILE_BYTES)
    return {"opset": exported.model.opset_imports[""]}


def _read_onnx(path: Path) -> Run:
    session = _onnx_runtime().InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda batch: torch.from_numpy(session.run(None, {name: batch.numpy()})[0])


def _onnx_runtime() -> Any:  # noqa: ANN401 - an untyped module
    try:
        return [import_module(name) for name in ("onnx", "onnxscript", "onnxruntime")][-1]
    except ImportError as error:
        raise CheckpointError(f"ONNX export needs onnx, onnxscript and onnxruntime ({error}): pip install 'geolangbind[onnx]'") from None


def _write_torch(program: torch.export.ExportedProgram, path: Path) -> dict[str, Any]:
    torch.export.save(program, path)
    return {}


def _read_torch(path: Path) -> Run:
    return torch.export.load(path).module()


_ONNX = _Kind(
    "onnx",
    "onnx",
    _write_onnx,
    _read_onnx,
    "import onnxruntime",
    'onnxruntime.InferenceSession("{file}").run(None, {{"{name}": {name}}})[0]',
)
_TORCH = _Kind(
    "torch-export",
    "pt2",
    _write_torch,
    _read_torch,
    "import torch",
    'torch.export.load("{file}").module()(torch.from_numpy({name})).numpy()',
)
