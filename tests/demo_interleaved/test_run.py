"""The demo from end to end in seconds, again without training anything anew, and its ablations."""

import json
import multiprocessing
import shutil
from dataclasses import replace

import numpy as np
import pytest
from safetensors import safe_open

from geolangbind.demo_interleaved.ablations import ABLATIONS, SHOWN, SHOWN_OF_PLACES, _recipe, run_ablations
from geolangbind.demo_interleaved.goals import lines
from geolangbind.demo_interleaved.profile import PROFILES, get_profile
from geolangbind.demo_interleaved.run import run_demo
from geolangbind.demo_interleaved.stages import Demo, shared_stages, spans_of
from geolangbind.demo_interleaved.trained import settings_for, training_flops
from geolangbind.errors import DataError, SettingsError


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A finished one."""
    made = Demo(get_profile("smoke"), tmp_path_factory.mktemp("demo"), "validation", 1, progress=False)
    run_demo(made)
    return made


def written(demo, *endings):
    return {path: path.stat().st_mtime_ns for path in demo.out.rglob("*") if path.suffix in endings}


def test_every_line_of_the_table_is_measured(demo) -> None:
    report = (demo.out / "report.md").read_text()
    assert "synthetic" in report
    assert all(f"| {line.model} |" in report and line.title in report for line in lines())
    rows = [json.loads(line) for line in (demo.out / "results.jsonl").read_text().splitlines()]
    measured = {(row["task"], row["model"]) for row in rows if row["metric"] == "p1"}
    assert measured == {(task, line.model) for line in lines() for task in line.tasks}
    assert all(row["synthetic"] and row["split"] == "validation" and row["low"] <= row["value"] <= row["high"] for row in rows)
    assert (demo.out / "table.png").stat().st_size > 10_000


def test_the_dual_encoder_took_as_many_operations(demo) -> None:
    settings = settings_for(demo.profile.recipe, demo.pairs("train"), demo.features, demo.out / "none", 0, 1)
    with safe_open(demo.folder(0) / "dual.safetensors", "pt") as held:
        told = held.metadata()
    assert float(told["flops"]) == pytest.approx(training_flops(replace(settings, progress=False)), rel=1e-4)
    tenfold = training_flops(replace(settings, progress=False, steps=10 * settings.steps))
    assert 1.1 < tenfold / float(told["flops"]) < 9  # images are seen once, whatever the number of steps
    assert int(told["steps"]) >= 1


def test_a_second_run_and_another_split_train_nothing(demo, tmp_path, capsys) -> None:
    before = written(demo, ".safetensors", ".npz", ".npy", ".tar")
    document = tmp_path / "results.md"
    document.write_text("a\n<!-- interleaved -->\nold\n<!-- end of interleaved -->\nb\n")
    run_demo(replace(demo, progress=True), document)
    said = capsys.readouterr().out
    assert said.count("done before") == 6
    assert "minutes in all" in said
    assert written(demo, ".safetensors", ".npz", ".npy", ".tar") == before
    text = document.read_text()  # the table goes between the marks
    assert "\nold\n" not in text
    assert text.startswith("a\n<!-- interleaved -->\n\n") and text.endswith("<!-- end of interleaved -->\nb\n")
    assert "(images/interleaved.png)" in text and (tmp_path / "images" / "interleaved.png").is_file()
    run_demo(replace(demo, split="test"))
    after = written(demo, ".safetensors", ".npz", ".npy", ".tar")
    assert {path: time for path, time in after.items() if path in before} == before
    assert {path.name.split("-")[0] for path in set(after) - set(before) if path.suffix == ".npz"} == {"test"}


def beside(demo, out):
    """A demo of two cores whose world and features are there."""
    for folder in ("world", "features"):
        shutil.copytree(demo.out / folder, out / folder)
    made = replace(demo, out=out, threads=2)
    assert all(stage.done() for stage in shared_stages(made))
    assert set(spans_of(shared_stages(made))) == {stage.name for stage in shared_stages(made)}
    return made


@pytest.mark.soak
def test_lanes_in_processes_find_what_they_find_in_turn(demo, tmp_path, capfd):
    two = beside(demo, tmp_path)
    run_demo(two)
    files = sorted(path.name for path in demo.folder(0).glob("validation-*.npz"))
    assert len(files) == 6
    for name in files:
        with np.load(demo.folder(0) / name) as expected, np.load(two.folder(0) / name) as found:
            assert expected.files == found.files
            for column in expected.files:
                np.testing.assert_array_equal(found[column], expected[column])
    assert {path.name for path in two.folder(0).glob("times-*.json")} == {"times-interleaved.json", "times-controls.json"}
    assert all((two.folder(0) / f"{lane}.log").is_file() for lane in ("interleaved", "controls"))
    assert capfd.readouterr() == ("", "")


@pytest.mark.soak
def test_what_a_lane_raises_ends_the_others_and_names_its_log(demo, tmp_path):
    two = beside(demo, tmp_path)
    for path in two.features.rglob("*.npy"):
        path.write_bytes(b"no array")
    with pytest.raises(DataError, match=r"delete that folder.*seed 0, lane '\w+'; log: .*\.log"):
        run_demo(two)
    assert not multiprocessing.active_children()


def test_another_world_in_the_same_folder_is_refused(demo) -> None:
    larger = replace(demo.profile, world=replace(demo.profile.world, staged=25))
    with pytest.raises(SettingsError, match="other sizes"):
        run_demo(replace(demo, profile=larger))
    with pytest.raises(SettingsError, match="split is 'train'"):
        replace(demo, split="train")


def test_models_of_a_world_that_is_gone_are_not_used(demo, tmp_path) -> None:
    (tmp_path / "models").mkdir()
    with pytest.raises(SettingsError, match="a world that is gone"):
        run_demo(replace(demo, out=tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["models"]


def test_full_is_quick_with_more_steps_scenes_and_seeds() -> None:
    full, quick = PROFILES["full"], PROFILES["quick"]
    assert (full.seeds, quick.seeds) == (3, 1) and full.world.staged > quick.world.staged and full.world.seed == quick.world.seed
    assert {**full.recipe, "steps": 0} == {**quick.recipe, "steps": 0} and full.recipe["steps"] > quick.recipe["steps"]
    assert len({profile.key() for profile in PROFILES.values()}) == 3
    with pytest.raises(SettingsError, match="unknown profile 'huge'"):
        get_profile("huge")


def test_ablations_go_on_where_they_stopped(demo) -> None:
    names = ("as it is", "64 % of the rows", "places as text")
    some = [one for one in ABLATIONS if one.name in names]
    results = demo.out / "ablations" / "results.jsonl"
    run_ablations(demo, 1, some[:1])
    first = results.read_text()
    report = run_ablations(demo, 1, some).read_text()
    assert results.read_text().startswith(first)
    rows = [json.loads(line) for line in results.read_text().splitlines()]
    assert [row["name"] for row in rows] == [*names]
    assert len({row["key"] for row in rows}) == 3
    assert [set(row["figures"]) for row in rows] == [set(SHOWN), set(SHOWN), set(SHOWN_OF_PLACES)]
    assert all(f"| {name} |" in report for name in names) and report.count("| chance |") == 2
    assert (demo.out / "ablations" / "data_size.png").is_file()
    run_ablations(demo, 2, some[2:])  # other steps, another key
    assert len(results.read_text().splitlines()) == 4


@pytest.mark.soak
def test_ablations_in_processes_find_what_they_find_in_turn(demo, tmp_path) -> None:
    two, some = beside(demo, tmp_path), ABLATIONS[:2]
    run_ablations(demo, 3, some)
    run_ablations(two, 3, some)
    found = [[json.loads(line) for line in (one.out / "ablations" / "results.jsonl").read_text().splitlines()] for one in (demo, two)]
    expected, figures = ({row["name"]: row["figures"] for row in rows if row["steps"] == 3} for rows in found)
    assert expected == figures and len(figures) == 2


def test_the_ablations_are_those_of_the_issue() -> None:
    assert {one.recipe["fraction"] for one in ABLATIONS if "fraction" in one.recipe} == {0.01, 0.04, 0.16, 0.64}
    assert len({one.name for one in ABLATIONS}) == len(ABLATIONS) == 15


def kept_by(one, sources):
    return {"place", "place_to_image"} if one.places_alone else set(sources) - set(one.without)


def test_an_ablation_changes_what_it_names_and_nothing_beside_it(demo) -> None:
    plain = demo.profile.recipe
    for one in ABLATIONS:
        recipe = _recipe(demo, one, 7)
        assert recipe["steps"] == 7 and set(recipe["sources"]) == kept_by(one, plain["sources"])
        for name, told in one.recipe.items():
            kept = {key: value for key, value in plain.get(name, {}).items() if key not in told} if isinstance(told, dict) else {}
            assert isinstance(told, float) or kept.items() <= recipe[name].items()
