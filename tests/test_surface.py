"""The public surface: what users import and type exists and says what it does."""

import importlib
import inspect
import re
import tomllib
from pathlib import Path

import pytest

import geolangbind

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_every_public_name_resolves():
    assert {"load", "GeoLangBind", "read_raster", "__version__"} <= set(geolangbind.__all__)
    for name in geolangbind.__all__:
        assert getattr(geolangbind, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'loads'"):
        _ = geolangbind.loads


def test_the_version_is_said_once():
    from importlib.metadata import version

    assert geolangbind.__version__ == PROJECT["version"] == version("geolangbind")


def test_encoding_an_image_takes_what_the_readme_says():
    parameters = inspect.signature(geolangbind.GeoLangBind.encode_image).parameters
    assert {"sensor", "bands", "unit", "gsd_m", "valid", "wavelengths_um"} <= set(parameters)
    assert all(parameters[name].default is None for name in ("sensor", "bands", "unit", "gsd_m")), "nothing about the channels is assumed"


@pytest.mark.parametrize("name", sorted(PROJECT["scripts"]))
def test_commands_point_at_functions(name):
    module, function = PROJECT["scripts"][name].split(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_the_four_commands_of_the_design_are_there():
    assert {"geolangbind", "geolangbind-train", "geolangbind-evaluate", "merge-weights"} <= set(PROJECT["scripts"])


def test_required_dependencies_are_declared():
    declared = {entry.split(">")[0].split("[")[0].strip() for entry in PROJECT["dependencies"]}
    needed = (
        "torch",
        "timm",
        "open_clip_torch",
        "torchgeo",
        "webdataset",
        "safetensors",
        "hydra-core",
        "lightning",
        "rasterio",
        "rich",
        "typer",
    )
    assert declared >= {*needed, "torchmetrics", "tokenizers", "requests"}
    assert all(">=" in entry for entry in PROJECT["dependencies"])


@pytest.mark.parametrize("path", ["geolangbind", "conf", "merge", "datasets", "tests", "benchmarks", "docs"])
def test_the_top_folders_are_there(path):
    assert (ROOT / path).is_dir()


@pytest.mark.parametrize(
    "path", ["pyproject.toml", "constraints.txt", "Makefile", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE", ".ci/run"]
)
def test_the_top_files_are_there(path):
    assert (ROOT / path).is_file()


def test_constraints_name_no_index():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert not [line for line in lines if "://" in line or line.startswith("-")]
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in lines if "==" in line and not line.startswith((" ", "#"))}
    assert {re.split(r"[>\[]", entry)[0].lower().replace("_", "-") for entry in PROJECT["dependencies"]} <= pinned
