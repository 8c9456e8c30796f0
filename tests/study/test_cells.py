"""Arms as data, and single cells on a handful of scenes."""

import json

import pytest
import torch

from geolangbind.errors import SettingsError
from geolangbind.planet.groups import MODALITIES
from geolangbind.planet.write import write_planet
from geolangbind.study.arms import ARMS, BASE, SHARED, needed
from geolangbind.study.cells import MEASURES, cell_folder, is_done, random_start, run_cell
from geolangbind.study.run import run_study
from geolangbind.weights.load import load

BY_NAME = {arm.name: arm for arm in ARMS}


def test_every_arm_comes_after_those_it_needs():
    seen = set()
    for arm in ARMS:
        assert set(needed(arm)) <= seen and arm.name not in seen | {BASE}
        seen.add(arm.name)
    assert needed(BY_NAME["merged-cross"]) == ("rgb-cross", "others-cross") and needed(BY_NAME["sequential"]) == ("rgb",)


def test_compared_arms_cost_the_same():
    """Images that pass the encoder, counted by hand: every second step sees a second sensor, of 2/3 of its places on average."""
    steps = {name: arm.steps for name, arm in BY_NAME.items()}
    assert steps["joint"] == steps["rgb"] + steps["others"] == steps["rgb"] + steps["sequential"]
    assert steps["joint"] == steps["joint-no-maka"] == steps["joint-virtual"] == steps["joint-robust"]
    for plain, cross in (("joint", "joint-cross"), ("rgb", "rgb-cross"), ("others", "others-cross")):
        assert steps[cross] * (1 + 0.5 * 2 / 3) == pytest.approx(steps[plain], rel=0.01)
    assert steps["sar-codes"] == steps["sar-no-codes"]


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """A study whose shared part is six scenes, with the built-in model as base."""
    out = tmp_path_factory.mktemp("study")
    write_planet(out / "shared" / "planet", 8, seed=1, modalities=("sar",), workers=1, progress=False)
    write_planet(out / "shared" / "planet-val", 6, seed=1, workers=1, split="test", progress=False)
    load("planet-tiny").save(out / "shared" / "base")
    return out


def test_a_merged_cell_of_branches_that_did_not_move_is_its_base(out):
    base = load(out / "shared" / "base")
    for name in ("rgb", "others"):
        base.save(cell_folder(out, name, 0))
    run_cell(out, "merged", 0, SHARED)
    merged = load(cell_folder(out, "merged", 0))
    for name, value in base.towers.state_dict().items():
        torch.testing.assert_close(merged.towers.state_dict()[name], value, rtol=1e-6, atol=1e-7)
    told = json.loads((cell_folder(out, "merged", 0) / MEASURES).read_text())
    assert (told["arm"], told["seed"], set(told["zero_shot"])) == ("merged", 0, set(MODALITIES)) and is_done(out, "merged", 0)
    assert all(row["n"] == 6 for row in told["zero_shot"].values())


def test_radar_cells_train_from_random_weights_and_are_measured_on_radar(out):
    run_cell(out, "sar-no-codes", 1, SHARED, scale=1 / 800)
    folder = cell_folder(out, "sar-no-codes", 1)
    told = json.loads((folder / MEASURES).read_text())
    assert set(told["zero_shot"]) == {"sar"} and load(folder).provenance["steps"] == 1
    assert load(folder).vision.patch_embed.kind_code is None


def test_random_starts_differ_in_their_channel_codes_only(tmp_path):
    for name, kinds in (("with", True), ("without", False)):
        random_start(tmp_path / name, 3, kinds=kinds, batch_size=65)
    rich, plain = load(tmp_path / "with"), load(tmp_path / "without")
    own = {"vision.patch_embed.kind_code", "vision.patch_embed.frequency_code"}
    assert set(rich.towers.state_dict()) - set(plain.towers.state_dict()) == own
    for model in (rich, plain):
        assert float(model.towers.logit_bias.detach()) == pytest.approx(-4.158883, abs=1e-5)  # one pair in sixty-five: log(1/64)
    assert plain.vision.config.radar_um == 5.405


def test_impossible_studies_are_refused(tmp_path):
    with pytest.raises(SettingsError, match="seeds must be 1 to 5 and jobs at least 1, got 0 and 2"):
        run_study(tmp_path, 0)
    assert list(tmp_path.iterdir()) == []
