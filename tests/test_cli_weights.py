"""`geolangbind zoo | import | export | push` as typed."""

import json
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from geolangbind.models import zoo
from geolangbind.statistics import KindStatistics, Statistics
from geolangbind.weights.load import load

sys.path.insert(0, str(Path(__file__).parent / "weights"))
import made as make

sys.path.pop(0)


@pytest.fixture(scope="module")
def native(tmp_path_factory):
    torch.manual_seed(0)
    model = zoo.build("tiny")
    model.statistics = Statistics({"display": KindStatistics("identity", (0.5,), (0.4,), (0.2,))})
    return model.save(tmp_path_factory.mktemp("native") / "model")


@pytest.fixture
def official(tmp_path):
    return make.write_folder(tmp_path / "official", make.official_state(), make.open_clip_config(f"dofa_{make.NAME}"))


@pytest.mark.parametrize("command", ["zoo", "import", "export", "push"])
def test_help_teaches(typed_flat, command):
    code, out, _ = typed_flat(command, "--help")
    assert code == 0 and ("Example: geolangbind" in out or command == "zoo")


def test_zoo(typed_flat):
    code, out, err = typed_flat("zoo")
    assert (code, err) == (0, "") and "b-224" in out and "hf-hub:timm/ViT-B-16-SigLIP2" in out


def test_import_writes_a_model_folder_and_says_what_it_assumed(typed_flat, official, tmp_path):
    code, out, err = typed_flat("import", official, "--out", tmp_path / "ours")
    assert code == 0 and "wrote" in out and "(official)" in out and "geolangbind-train" in out
    assert "assumed: reflectance 0 to 0.3" in err
    assert load(tmp_path / "ours").provenance["layout"] == "official"


def test_import_lists_what_does_not_fit_and_can_be_forced(typed_flat, official, tmp_path):
    config = make.open_clip_config(f"dofa_{make.NAME}", context_length=20)
    (official / "open_clip_config.json").write_text(json.dumps(config))
    code, out, err = typed_flat("import", official, "--out", tmp_path / "ours")
    assert (code, out) == (1, "") and "1 difference: tensor checkpoint model text.positional_embedding (16, 64) (20, 64)" in err
    assert not (tmp_path / "ours").exists()
    code, _, err = typed_flat("import", official, "--out", tmp_path / "ours", "--force")
    assert code == 0 and "warning:" in err and "stays at random" in err and (tmp_path / "ours" / "config.json").is_file()


def test_import_of_nothing(typed_flat, tmp_path):
    code, _, err = typed_flat("import", tmp_path / "absent", "--out", tmp_path / "ours")
    assert code == 1 and "there is no such folder or file" in err and "Traceback" not in err


def test_official_in_and_out(typed_flat, official, tmp_path):
    code, out, _ = typed_flat("export", official, "--to", "official", "--out", tmp_path / "out")
    assert code == 0 and "open_clip_model.safetensors" in out
    first, second = (load_file(folder / "open_clip_model.safetensors") for folder in (official, tmp_path / "out"))
    assert first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def test_a_frozen_export(typed_flat, native, tmp_path):
    code, out, err = typed_flat(
        "export", native, "--to", "torch-export", "--sensor", "aerial-rgb", "--bands", "R,G,B", "--no-text", "--out", tmp_path / "out"
    )
    assert code == 0, err
    assert "README.md, export.json, image.pt2" in out
    image = torch.randint(0, 256, (2, 3, 64, 64)).float()
    live = load(native).encode_image(image, sensor="aerial-rgb", bands=["R", "G", "B"], unit="display_u8")
    assert torch.allclose(torch.export.load(tmp_path / "out" / "image.pt2").module()(image), live, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--to", "tensorrt"], "unknown target --to tensorrt; targets are official, timm, onnx, torch-export"),
        (["--to", "onnx"], "say which channels are frozen in"),
        (["--to", "onnx", "--sensor", "aerial-rgb", "--wavelengths-um", "0.6"], "say which channels are frozen in"),
        (["--to", "official", "--sensor", "aerial-rgb"], "keeps the kernel generator"),
        (["--to", "timm", "--sensor", "aerial-rgb", "--dtype", "float16"], "--dtype is for --to official"),
        (["--to", "timm", "--wavelengths-um", "red"], "--wavelengths-um takes numbers"),
    ],
)
def test_wrong_options_end_with_2(typed_flat, native, tmp_path, arguments, message):
    code, _, err = typed_flat("export", native, *arguments, "--out", tmp_path / "out")
    assert code == 2 and message in err and not (tmp_path / "out").exists()


def test_a_native_model_is_not_official(typed_flat, native, tmp_path):
    code, _, err = typed_flat("export", native, "--to", "official", "--out", tmp_path / "out")
    assert code == 1 and "the official layout cannot hold this model" in err


def test_a_dry_run_shows_card_and_files(typed_flat, native):
    code, out, _ = typed_flat("push", native, "owner/name", "--dry-run")
    assert code == 0 and "model.safetensors" in out and "library_name: geolangbind" in out and "owner/name" in out
