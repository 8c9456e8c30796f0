"""The model card: its header is YAML the hub accepts, its example runs, and it says only what the configuration says."""

import json

import numpy as np
import pytest
import yaml

import geolangbind
from geolangbind.card import hub_name, model_card
from geolangbind.models import zoo
from geolangbind.statistics import KindStatistics, Statistics

REFLECTANCE = KindStatistics("log", (0.49, 2.2), (-2.0, -1.5), (0.7, 0.7))
PICTURE = KindStatistics("identity", (0.49, 0.66), (0.4, 0.4), (0.2, 0.2))
RADAR = KindStatistics("identity", (0.0,), (-11.0,), (5.0,))
PAIR = (0.0, 1.0)


def header(card):
    assert card.startswith("---\n")
    return yaml.safe_load(card.split("---\n")[1])


def rows(card, title):
    """The rows of the table under a heading, as lists of cells."""
    section = card.split(f"## {title}\n")[1].split("\n## ")[0]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in section.splitlines() if line.startswith("| ")][2:]


def config(**changes):
    """As model.config() gives it, with a sensor of two kinds of radar values, an optical one and one that is in no catalogue."""
    bands = {
        "sentinel-1-grd/sigma0_vv_c": {"VV": PAIR},
        "sentinel-1-grd/gamma0_vv_c": {"VV": PAIR},
        "sentinel-2-l2a/reflectance_surface": {"B04": PAIR, "B8A": PAIR, "B11": PAIR},
        "enmap-l2a/reflectance_surface": {f"B{i}": PAIR for i in range(1, 41)},
        "copernicus-dem/elevation": {"elevation": PAIR},
    }
    kinds = {
        "reflectance_surface": REFLECTANCE,
        "sigma0_vv_c": RADAR,
        "gamma0_vv_c": RADAR,
        "elevation": KindStatistics("relief", (0.0,), *[(1.0,)] * 2),
    }
    return {
        "architecture": {"vision": {"image_size": 64}, "text": {}},
        "channel_code": {"convention": "native-1", "mean_over_channels": True},
        "statistics": Statistics(kinds, bands).to_json(),
        "preprocessing": {"image_size": 64, "gsd_m": [10.0, 20.0]},
        "tokenizer": {"name": "clip-bpe-8192"},
        "trained_sensors": ["copernicus-dem", "enmap-l2a", "my-drone", "sentinel-1-grd", "sentinel-2-l2a"],
        "trained_words": ["forest", "lake"],
        "parents": [],
        "provenance": {"tool": "geolangbind-train", "steps": 900, "seed": 0, "note": "a | b\nc"},
        **changes,
    }


def test_the_header_is_what_the_hub_reads():
    from huggingface_hub import ModelCard

    card = model_card(config())
    assert header(card) == {
        "license": "unknown",
        "library_name": "geolangbind",
        "pipeline_tag": "zero-shot-image-classification",
        "tags": ["earth-observation", "remote-sensing", "dem", "hsi", "msi", "sar"],
    }
    parsed = ModelCard(card).data
    assert parsed.library_name == "geolangbind" and parsed.license == "unknown"


def test_bands_wavelengths_and_units():
    assert rows(model_card(config()), "Sensors") == [
        ["copernicus-dem", "elevation", "", "elevation_m"],
        ["enmap-l2a", "B1 ... B40 (40 bands)", "0.4182 to 0.6167", "reflectance"],
        ["my-drone", "not in the catalogue", "", ""],
        ["sentinel-1-grd", "VV", "radar, 5.405 GHz", "sigma0_db, gamma0_db"],
        ["sentinel-2-l2a", "B04", "0.6646", "reflectance"],
        ["sentinel-2-l2a", "B8A", "0.8647", "reflectance"],
        ["sentinel-2-l2a", "B11", "1.6137", "reflectance"],
    ]


def test_kinds_pixel_sizes_and_provenance():
    card = model_card(config())
    assert rows(card, "Input")[0] == ["reflectance_surface", "log", "0.49 to 2.2"]
    assert rows(card, "Input")[-1] == ["elevation", "relief", ""]
    assert "Pixel sizes seen in training: 10, 20 m." in card
    assert ["steps", "900"] in rows(card, "How it was made")
    assert "| note | a \\| b c |" in card
    assert "trained from scratch on 2 words" in card and "native-1" in card


def test_a_sensor_whose_bands_were_not_recorded_claims_none():
    assert rows(model_card(config(trained_sensors=["naip"])), "Sensors") == [["naip", "not recorded", "", ""]]


def test_a_configuration_cannot_make_the_card_read_files(tmp_path):
    path = tmp_path / "sensor.yaml"
    path.write_text("not a sensor")
    assert rows(model_card(config(trained_sensors=[str(path)])), "Sensors") == [[str(path), "not in the catalogue", "", ""]]


def test_an_almost_empty_configuration_has_a_card():
    card = model_card({})
    assert header(card)["pipeline_tag"] == "image-feature-extraction"
    assert "Sensors seen in training: none recorded." in card and "No parents are recorded" in card and "Not recorded." in card
    assert "Pixel sizes are not recorded" in card and "No results are recorded" in card and "encode images only" in card
    assert "wavelengths_um=[0.665, 0.56, 0.49]" in card


def test_what_an_import_assumed_is_among_the_limits():
    vision = {"image_size": 224, "radar_um": 5.405}
    told = config(
        architecture={"vision": vision}, channel_code={"convention": "wavelengths-only"}, provenance={"assumed": ["black is -25 dB"]}
    )
    limits = model_card(told).split("## Limits")[1]
    assert "wavelengths-only): radar is given as 5.405" in limits and "- Assumed: black is -25 dB." in limits


@pytest.mark.parametrize(
    ("paths", "given", "expected"),
    [
        (["hf-hub:earthflow/GeoLB-2-B-16@main"], None, "cc-by-nc-4.0"),
        (["hf-hub:timm/ViT-B-16-SigLIP", "hf-hub:timm/ViT-B-16-SigLIP2"], None, "apache-2.0"),
        (["hf-hub:timm/ViT-B-16-SigLIP", "hf-hub:earthflow/GeoLB-2-B-16"], None, "other"),
        (["hf-hub:timm/ViT-B-16-SigLIP", "runs/base"], None, "other"),
        (["runs/base", "runs/rgb"], None, "unknown"),
        (["hf-hub:else/GeoLB-2"], None, "unknown"),
        ([], None, "unknown"),
        ([], "MIT", "mit"),
        (["runs/base"], "mit", "mit"),
        (["hf-hub:earthflow/GeoLB-2-B-16"], "cc-by-nc-sa-4.0", "cc-by-nc-sa-4.0"),
        (["hf-hub:earthflow/GeoLB-2-B-16"], "mit", "other"),
    ],
)
def test_licences_follow_the_parents(paths, given, expected):
    parents = [{"path": path, "sha256": "a" * 64, "role": "start"} for path in paths]
    card = model_card(config(parents=parents), licence=given)
    assert header(card)["license"] == expected
    assert ("forbids commercial use, which that would drop" in card) == (given == "mit" and expected == "other")
    assert card.count("(no commercial use)") == sum("earthflow" in path for path in paths)


def test_parents_are_listed_with_what_is_known():
    parents = [
        {"path": "hf-hub:timm/ViT-B-16-SigLIP", "sha256": "0123456789abcdef", "role": "base", "coefficient": None},
        {"path": "runs/rgb", "sha256": "fedcba9876543210", "role": "rgb", "coefficient": 0.9, "licence": "cc-by-4.0"},
        {"role": "others"},
    ]
    card = model_card(config(parents=parents, provenance={"tool": "merge-weights"}))
    assert rows(card, "Parents and licences") == [
        ["base", "hf-hub:timm/ViT-B-16-SigLIP", "0123456789ab", "", "apache-2.0"],
        ["rgb", "runs/rgb", "fedcba987654", "0.9", "cc-by-4.0"],
        ["others", "unknown", "", "", "unknown"],
    ]
    assert header(card)["base_model"] == ["timm/ViT-B-16-SigLIP"] and header(card)["base_model_relation"] == "merge"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("hf-hub:a/b@v1", "a/b"),
        ("/cache/hub/models--earthflow--GeoLB-2-B-16/snapshots/0123/open_clip_model.safetensors", "earthflow/GeoLB-2-B-16"),
        ("runs/base", None),
        ("a/b", None),
    ],
)
def test_hub_names_are_read_from_paths(path, name):
    assert hub_name({"path": path}) == name
    assert hub_name({}) is None


def test_results_are_a_table_with_intervals():
    row = {"suite": "zero_shot", "dataset": "planet", "modality": "sar", "metric": "top1", "value": 0.65833, "low": 0.6147, "high": 0.6994}
    row |= {"n": 480, "chance": 1 / 24, "synthetic": True, "command": "geolangbind demo"}
    card = model_card(config(), results=[row, row])
    assert rows(card, "Results") == [["zero_shot", "planet (synthetic)", "sar", "top1", "0.658", "0.615 to 0.699", "480", "0.0417"]] * 2
    assert card.count("    geolangbind demo\n") == 1 and "drawn scenes, not on satellite images" in card


def example(card):
    (code,) = [block.split("```")[0] for block in card.split("```python\n")[1:]]
    return code


@pytest.mark.parametrize(
    ("changes", "channels"),
    [
        (
            {
                "trained_sensors": ("copernicus-dem", "sentinel-2-l2a"),
                "bands": ("copernicus-dem/elevation", "sentinel-2-l2a/reflectance_surface"),
            },
            3,
        ),
        ({"trained_sensors": ("sentinel-1-grd",), "bands": ("sentinel-1-grd/sigma0_vv_c",)}, 1),
        ({"trained_sensors": ("enmap-l2a",), "bands": ("enmap-l2a/reflectance_surface",)}, 3),
        ({"kinds": {"display": PICTURE}}, 3),
        ({}, 3),
    ],
)
def test_the_example_on_the_card_runs(tmp_path, changes, channels):
    model = zoo.build("tiny")
    everything = Statistics.from_json(config()["statistics"])
    bands = {key: everything.bands[key] for key in changes.get("bands", ())}
    model.statistics = Statistics(changes.get("kinds", everything.kinds if bands else {}), bands)
    model.trained_sensors = changes.get("trained_sensors", ())
    folder = model.save(tmp_path / "model")
    code = example((folder / "README.md").read_text()).replace("FOLDER", str(folder))
    assert len([line for line in code.splitlines() if line and not line.startswith("import")]) == 3
    found = {"image": np.full((channels, 64, 64), 0.3, np.float32)}
    exec(code, {"geolangbind": geolangbind}, found)
    assert found["images"].shape == (1, 128) and found["words"].shape == (1, 128)


def test_a_saved_model_says_the_same_as_its_configuration(tmp_path):
    folder = zoo.build("tiny").save(tmp_path / "model")
    assert (folder / "README.md").read_text() == model_card(json.loads((folder / "config.json").read_text()))
