"""ONNX and torch.export folders: they run elsewhere, agree with the live model, say what they are, or are not there at all."""

import builtins
import importlib
import json
import re
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from geolangbind.errors import CheckpointError
from geolangbind.model import GeoLangBind
from geolangbind.models import zoo
from geolangbind.models.encoder import VisionConfig
from geolangbind.models.text import TextConfig
from geolangbind.models.two_tower import TwoTower
from geolangbind.statistics import KindStatistics, Statistics, transform
from geolangbind.tokenizer import TextTokenizer, clip_tokenizer
from geolangbind.weights import export, readme
from geolangbind.weights.export import export_onnx, export_torch
from geolangbind.weights.frozen import image_input

STATISTICS = Statistics(
    {
        "reflectance_surface": KindStatistics("log", (0.4, 2.4), (-2.0, -1.5), (0.7, 0.9)),
        "sigma0_vv_c": KindStatistics("identity", (0.0,), (-11.0,), (5.0,)),
        "sigma0_vh_c": KindStatistics("identity", (0.0,), (-18.0,), (4.0,)),
        "elevation": KindStatistics("relief", (0.0,), (0.1,), (1.5,)),
    }
)
CASES = {
    "reflectance": ("sentinel-2-l2a", ["B04", "B03", "B12"], "reflectance", 0, 0.5),
    "decibel": ("sentinel-1-grd", ["VV", "VH"], "sigma0_db", -25, 0),
    "metres": ("copernicus-dem", ["elevation"], "elevation_m", 0, 900),
}
RGB_UM = (0.665, 0.56, 0.49)
TEXTS = ["a satellite image of a harbour", "a satellite image of a field"]


def build(native=True, tokenizer=True) -> GeoLangBind:
    torch.manual_seed(0)
    vision = VisionConfig(32, 8, 32, 1, 2, 64, generator_hidden=64, kinds=native, mean_over_channels=native, patch_padding=int(not native))
    towers = TwoTower(vision, TextConfig(614, 10, 16, 1, 2, 2.0, 32))
    words = TextTokenizer("cut", clip_tokenizer(100), 10, "canonicalize") if tokenizer else None
    return GeoLangBind(towers, words, STATISTICS, gsd_m=(0.5, 10.0)).eval()


@pytest.fixture(scope="module")
def model() -> GeoLangBind:
    return build()


def chips(case: str, count: int) -> torch.Tensor:
    _, bands, _, low, high = CASES[case]
    return low + (high - low) * torch.rand(count, len(bands), 32, 32, generator=torch.Generator().manual_seed(count))


def of(model, case):
    sensor, bands, unit, *_ = CASES[case]
    return image_input(model, sensor=sensor, bands=bands, unit=unit)


def live(model, case, pixels):
    sensor, bands, unit, *_ = CASES[case]
    return model.encode_image(pixels, sensor=sensor, bands=bands, unit=unit)


def run_onnx(path, batch: torch.Tensor) -> torch.Tensor:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(["vectors"], {session.get_inputs()[0].name: batch.numpy()})[0])


@pytest.fixture(scope="module")
def onnx_folder(model, tmp_path_factory):
    return export_onnx(model, tmp_path_factory.mktemp("onnx") / "out", of(model, "reflectance"))


@pytest.fixture(scope="module")
def torch_folder(model, tmp_path_factory):
    return export_torch(model, tmp_path_factory.mktemp("pt2") / "out", of(model, "reflectance"))


@pytest.mark.parametrize("count", [1, 2, 5])
def test_reflectance_in_onnxruntime(model, onnx_folder, count):
    pixels = chips("reflectance", count)
    assert (run_onnx(onnx_folder / "image.onnx", pixels) - live(model, "reflectance", pixels)).abs().max() < 1e-4


def test_decibel_in_onnxruntime(model, tmp_path, capfd):
    folder = export_onnx(model, tmp_path / "out", of(model, "decibel"), text=False)
    assert capfd.readouterr() == ("", ""), "the terminal stays clean"
    for count in (1, 2, 5):
        pixels = chips("decibel", count)
        assert (run_onnx(folder / "image.onnx", pixels) - live(model, "decibel", pixels)).abs().max() < 1e-4
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "export.json", "image.onnx"]
    assert json.loads((folder / "export.json").read_text())["text"] is None


def test_elevation_in_onnxruntime_with_large_weights_beside_the_program(model, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "_ONE_FILE_BYTES", 1000)
    folder = export_onnx(model, tmp_path / "out", of(model, "metres"), text=False).rename(tmp_path / "moved")
    assert (folder / "image.onnx.data").stat().st_size > 10_000
    for count in (1, 2, 5):
        pixels = chips("metres", count)
        assert (run_onnx(folder / "image.onnx", pixels) - live(model, "metres", pixels)).abs().max() < 1e-4


def test_wavelengths_only_with_padded_patches_in_onnxruntime(tmp_path):
    model = build(native=False)
    (tmp_path / "empty").mkdir()
    folder = export_onnx(model, str(tmp_path / "empty"), image_input(model, wavelengths_um=RGB_UM), text=False)
    assert folder == tmp_path / "empty"
    for count in (1, 2, 5):
        pixels = torch.randn(count, 3, 32, 32)
        assert (run_onnx(folder / "image.onnx", pixels) - model.encode_image(pixels, wavelengths_um=RGB_UM)).abs().max() < 1e-4
    told = json.loads((folder / "export.json").read_text())["image"]
    assert (told["sensor"], told["bands"], told["unit"], told["wavelengths_um"]) == (None, None, None, list(RGB_UM))
    assert told["normalisation"] == {
        "folded": False,
        "rule": "the input is normalised already, as the model was taught",
        "transforms": {},
        "channels": [],
    }


def test_the_tiny_size_with_its_stem_in_onnxruntime(tmp_path):
    torch.manual_seed(3)
    model = zoo.build("tiny")
    model.statistics = STATISTICS
    folder = export_onnx(model, tmp_path / "out", of(model, "reflectance"), text=False)
    for count in (1, 2, 5):
        pixels = 0.5 * torch.rand(count, 3, 64, 64)
        assert (run_onnx(folder / "image.onnx", pixels) - live(model, "reflectance", pixels)).abs().max() < 1e-4


def test_text_in_onnxruntime(model, onnx_folder):
    assert (run_onnx(onnx_folder / "text.onnx", model.tokenizer(TEXTS)) - model.encode_text(TEXTS)).abs().max() < 1e-4
    assert run_onnx(onnx_folder / "text.onnx", model.tokenizer(TEXTS[:1])).shape == (1, 32)


def test_torch_export(model, torch_folder):
    program = torch.export.load(torch_folder / "image.pt2").module()
    for count in (1, 2, 5):
        pixels = chips("reflectance", count)
        assert (program(pixels) - live(model, "reflectance", pixels)).abs().max() < 1e-4
    texts = torch.export.load(torch_folder / "text.pt2").module()(model.tokenizer(TEXTS))
    assert (texts - model.encode_text(TEXTS)).abs().max() < 1e-4


def test_export_json_says_what_the_input_is(model, onnx_folder, torch_folder):
    told = json.loads((onnx_folder / "export.json").read_text())
    image, text = told["image"], told["text"]
    assert (told["format"], told["format_version"], told["program"], told["torch"]) == ("geolangbind-export", 1, "onnx", torch.__version__)
    assert (image["sensor"], image["bands"], image["unit"]) == ("sentinel-2-l2a", ["B04", "B03", "B12"], "reflectance")
    assert image["wavelengths_um"] == [0.6646, 0.5598, 2.2024] and image["image_size"] == 32 and image["gsd_m"] == [0.5, 10.0]
    assert image["normalisation"]["folded"] is True
    assert [row["band"] for row in image["normalisation"]["channels"]] == ["B04", "B03", "B12"]
    assert told["logit_scale"] == pytest.approx(10.0) and told["logit_bias"] == -10.0
    assert (text["context_length"], text["pad_id"], text["clean"], text["tokenizer"]) == (10, 0, "canonicalize", "tokenizer.json")
    for entry in (image, text):
        session = onnxruntime.InferenceSession(onnx_folder / entry["file"], providers=["CPUExecutionProvider"])
        for side, found in (("input", session.get_inputs()), ("output", session.get_outputs())):
            assert [(one.name, one.shape) for one in found] == [(entry[side]["name"], entry[side]["shape"])]
        assert entry["opset"] >= 18 and entry["largest_difference"] < 1e-4
    again = json.loads((torch_folder / "export.json").read_text())
    assert again["program"] == "torch-export" and "opset" not in again["image"]
    assert (onnx_folder / "tokenizer.json").read_text() == model.tokenizer.to_json() == (torch_folder / "tokenizer.json").read_text()


def test_the_formulas_in_export_json_are_the_transforms():
    values = np.random.default_rng(0).uniform(-3, 40, (8, 8)).astype(np.float32)
    known = {"x": values, "log": np.log, "max": np.maximum, "asinh": np.arcsinh, "mean": np.mean}
    for name, formula in export.FORMULAS.items():
        exec(f"found = {formula}", known)
        expected = transform(torch.from_numpy(values)[None, None].clone(), [name])[0, 0].numpy()
        assert np.allclose(known["found"], expected, atol=1e-5), name


def snippet(folder) -> str:
    (found,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), flags=re.DOTALL)
    return found


def run_snippet(folder, monkeypatch) -> dict:
    monkeypatch.chdir(folder)
    scope: dict = {}
    exec(snippet(folder), scope)
    return scope


@pytest.mark.parametrize("kind", ["onnx_folder", "torch_folder"])
def test_the_snippet_of_the_readme_classifies_as_the_live_model(model, kind, monkeypatch, request):
    folder = request.getfixturevalue(kind)
    scores = run_snippet(folder, monkeypatch)["scores"]
    logits = 10 * live(model, "reflectance", torch.zeros(1, 3, 32, 32)) @ model.encode_text(TEXTS).T - 10
    assert np.allclose(scores, logits.sigmoid().numpy(), rtol=1e-3)
    assert "B04, B03, B12 of sentinel-2-l2a in reflectance" in (folder / "README.md").read_text()


def test_the_snippet_of_a_model_without_tokenizer(tmp_path, monkeypatch):
    model = build(native=False, tokenizer=False)
    folder = export_torch(model, tmp_path / "out", image_input(model, wavelengths_um=RGB_UM))
    assert run_snippet(folder, monkeypatch)["scores"].shape == (1, 2)
    assert not (folder / "tokenizer.json").exists()
    assert "at 0.665, 0.56, 0.49 µm" in (folder / "README.md").read_text()


@pytest.mark.parametrize("clean", ["canonicalize", "lower"])
def test_the_cleaning_of_the_snippet_is_the_tokenizers(clean, onnx_folder):
    texts = ["  A satellite_image,\tof; a Harbour!  ", "co-op's  SAR\n(VV)"]
    scope: dict = {"texts": texts}
    exec(f"import string\nclean = [{readme.CLEAN[clean]} for text in texts]", scope)
    core = clip_tokenizer(100)
    expected = TextTokenizer("cut", core, 10, clean)(texts)
    assert [row.ids for row in core.encode_batch(scope["clean"])] == expected.tolist()
    assert f"[{readme.CLEAN['canonicalize']} for text in texts]" in snippet(onnx_folder)


def test_no_file_names_the_folder_of_the_source(onnx_folder, torch_folder):
    here = str(Path(export.__file__).parent).encode()
    for path in (*onnx_folder.iterdir(), *torch_folder.iterdir()):
        assert here not in path.read_bytes(), path.name


def test_what_disagrees_is_not_left_behind(model, tmp_path, monkeypatch):
    def wrong(*args, **options):
        frozen = freeze(*args, **options)
        frozen.patch_embed.weight.mul_(1.01)
        return frozen

    freeze = export.freeze
    monkeypatch.setattr(export, "freeze", wrong)
    with pytest.raises(CheckpointError, match=r"image\.pt2 differs from the live model by .*more than 0.0001"):
        export_torch(model, tmp_path / "out", of(model, "metres"), text=False)
    assert list(tmp_path.iterdir()) == []


def test_an_earlier_export_survives_a_failure_and_is_replaced_by_success(model, torch_folder, tmp_path, monkeypatch):
    folder = shutil.copytree(torch_folder, tmp_path / "out")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with monkeypatch.context() as patch:
        patch.setattr(export.torch.export, "save", lambda program, path: path.write_bytes(b"half"))
        with pytest.raises(Exception):  # noqa: B017 - whatever torch says of half a file
            export_torch(model, folder, of(model, "decibel"), text=False)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    export_torch(model, folder, of(model, "decibel"), text=False)
    assert json.loads((folder / "export.json").read_text())["image"]["bands"] == ["VV", "VH"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_of_something_else_is_never_replaced(model, tmp_path):
    model.save(tmp_path / "model")
    (tmp_path / "file").write_text("mine")
    for place in ("model", "file"):
        with pytest.raises(CheckpointError, match=rf"{place} exists and is no earlier export.*give a new folder"):
            export_torch(model, tmp_path / place, of(model, "metres"), text=False)
    assert (tmp_path / "model" / "model.safetensors").is_file() and (tmp_path / "file").read_text() == "mine"


def test_shapes_and_numbers_that_do_not_agree():
    ones = torch.ones(2, 3)
    assert export.check_agreement(ones, ones, "x") == 0
    assert export.check_agreement(1000 * ones, 1000 * ones + 0.05, "x") == pytest.approx(5e-5, rel=0.1)
    for found, message in ((torch.ones(1, 3), r"x gives \(1, 3\) where the live model gives \(2, 3\)"), (ones * torch.nan, "by nan")):
        with pytest.raises(CheckpointError, match=message):
            export.check_agreement(found, ones, "x")


def test_without_the_extra_the_way_to_it_is_said(model, tmp_path, monkeypatch):
    def missing(name):
        if name == "onnxruntime":
            raise ImportError("No module named 'onnxruntime'")
        return builtins.__import__(name)

    assert export.import_module is importlib.import_module
    monkeypatch.setattr(export, "import_module", missing)
    with pytest.raises(CheckpointError, match=r"No module named 'onnxruntime'.*pip install 'geolangbind\[onnx\]'"):
        export_onnx(model, tmp_path / "out", of(model, "metres"))
    assert list(tmp_path.iterdir()) == []
