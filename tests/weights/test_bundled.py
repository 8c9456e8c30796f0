"""The model that comes with the package."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

import geolangbind
from geolangbind.weights.bundled import BUNDLED, bundled_folder
from geolangbind.weights.source import find_source

MODALITIES = {
    "rgb": ("sentinel-2-tci", ["R", "G", "B"], "display_u8", 100.0),
    "sar": ("sentinel-1-grd", ["VV", "VH"], "sigma0_db", -12.0),
    "msi": ("sentinel-2-l2a", ["B02", "B03", "B04", "B08"], "reflectance", 0.2),
    "hsi": ("enmap-l2a", ["B10", "B50", "B100"], "reflectance", 0.2),
    "ir": ("landsat-8-9-l1", ["B10"], "brightness_temperature_k", 290.0),
    "dem": ("copernicus-dem", ["elevation"], "elevation_m", 300.0),
}


@pytest.fixture(scope="module")
def model():
    return geolangbind.load("planet-tiny")


@pytest.mark.parametrize("modality", MODALITIES)
def test_it_takes_every_modality(model, modality):
    sensor, bands, unit, level = MODALITIES[modality]
    image = np.random.default_rng(0).normal(level, abs(level) / 10, (2, len(bands), 64, 64)).astype(np.float32)
    vectors = model.encode_image(image, sensor=sensor, bands=bands, unit=unit)
    assert vectors.shape == (2, 128) and vectors.isfinite().all()
    assert (vectors @ model.encode_text(["a satellite image of a forest"]).T).abs().max() <= 1


def test_it_is_small_in_half_precision_and_says_what_it_is():
    folder = bundled_folder("planet-tiny")
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 6_000_000
    with safe_open(folder / "model.safetensors", "pt") as file:
        assert {file.get_slice(key).get_dtype() for key in file.keys()} == {"F16"}  # noqa: SIM118 - not a dictionary
        assert not [key for key in file.keys() if key.startswith("maka.")]  # noqa: SIM118
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "license: apache-2.0" in card and "(synthetic)" in card and 'load("planet-tiny")' in card
    assert card.count("| zero_shot |") == 6
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert len(config["trained_sensors"]) == 8 and not Path(config["parents"][0]["path"]).is_absolute()


def test_a_folder_of_that_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_source("planet-tiny").folder == bundled_folder("planet-tiny")
    geolangbind.load("planet-tiny").save("planet-tiny")
    assert find_source("planet-tiny").folder == Path("planet-tiny") and bundled_folder("planet-tiny") is None
    assert bundled_folder("planet-huge") is None and BUNDLED == ("planet-tiny",)
