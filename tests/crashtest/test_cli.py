import json

import pytest


@pytest.fixture(autouse=True)
def few_views(monkeypatch):
    from geolangbind.crashtest import planet

    names = ("Sentinel-2 L2A", "Sentinel-2 L1C", "Sentinel-1", "SuperDove")
    monkeypatch.setattr(planet, "VIEWS", {name: planet.VIEWS[name] for name in names})


def test_two_models_side_by_side(typed_flat, tmp_path):
    code, out, err = typed_flat(
        "crashtest", "--model", "planet-tiny", "--model", "torchgeo:resnet18_s2", "--model", "no/such", "--places", 2, "--out", tmp_path
    )
    assert code == 0, err
    assert "planet-tiny on planet (synthetic, 2 places)" in out and "Same place, another sensor" in out
    assert "cannot see Sentinel-1: torchgeo:resnet18_s2 cannot see" in out and f"pages: {tmp_path}/index.html" in out.replace(
        " /", "/"
    ).replace("pages:/", "pages: /")
    assert "warning: no/such is left out" in err
    told = json.loads((tmp_path / "crashtest.json").read_text(encoding="utf-8"))
    values = {measure["metric"]: measure["value"] for measure in told["runs"][0]["measures"] if measure["modality"] == "all"}
    # our own promises: names, order, units and masks are read
    for metric in ("permuted_drift", "renamed_drift", "stored_declared_drift", "stored_bare_drift", "swapped_with_names_drift"):
        assert values[metric] == pytest.approx(0, abs=1e-3), metric
    assert values["swap_noticed"] > 0.99 and values["coverage"] == 1
    assert (tmp_path / "planet-tiny.html").is_file() and (tmp_path / "torchgeo-resnet18-s2-random-weights.md").is_file()


def test_json_goes_to_the_output_alone(typed, tmp_path):
    code, out, _ = typed("crashtest", "--model", "planet-tiny", "--places", 2, "--out", tmp_path, "--json")
    assert code == 0
    assert json.loads(out) == json.loads((tmp_path / "crashtest.json").read_text(encoding="utf-8"))


def test_mistakes_are_one_line(typed_flat, tmp_path):
    code, _, err = typed_flat("crashtest", "--model", "torchgeo:nothing", "--out", tmp_path / "x")
    assert code == 2 and "torchgeo:nothing has no adapter" in err
    code, _, err = typed_flat("crashtest", "--model", "planet-tiny", "--model", "planet-tiny")
    assert code == 2 and "twice" in err
    code, _, err = typed_flat("crashtest", "--model", "planet-tiny", "--places", 1)
    assert code == 2 and "places must be >= 2" in err
    code, _, err = typed_flat("crashtest", "--model", "planet-tiny", "--places", 2, "--real", tmp_path)
    assert code == 1 and "none of the folders" in err
    assert not (tmp_path / "x").exists()


def test_help_teaches(typed_flat):
    code, out, _ = typed_flat("crashtest", "--help")
    assert code == 0 and "Example: geolangbind crashtest" in out and "open_clip:NAME" in out
