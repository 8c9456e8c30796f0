"""Every file under conf/ is reachable and makes settings that check out."""

import re

import pytest
import yaml

from geolangbind.evaluate.suite import parse_suite
from geolangbind.evaluate.tasks import check_task
from geolangbind.hydra_entry import compose
from geolangbind.paths import cards_dir, conf_dir
from geolangbind.train.settings import MODALITIES, TrainSettings, from_config

GROUPS = {path.name for path in conf_dir().iterdir() if path.is_dir()}
TRAIN_FILES = sorted(path for path in conf_dir().rglob("*.yaml") if path.parent.name in GROUPS - {"suite"})
SUITES = sorted((conf_dir() / "suite").glob("*.yaml"))


@pytest.mark.parametrize("path", TRAIN_FILES, ids=lambda path: f"{path.parent.name}={path.stem}")
def test_each_choice_makes_valid_settings(path):
    settings = from_config(compose("train", [f"{path.parent.name}={path.stem}", "model=tmp", "data=shards"]))
    assert isinstance(settings, TrainSettings) and (settings.data, settings.run_dir) == ("shards", f"runs/{settings.sensor_group.name}")


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_each_suite_is_one(path):
    suite = parse_suite(compose("evaluate", [f"suite={path.stem}"])["suite"])
    assert suite.name == path.stem and suite.datasets
    for task in (task for dataset in suite.datasets for task in dataset.tasks):
        check_task(task)


def test_sensor_groups_are_the_modalities_and_two_unions():
    groups = {path.stem: yaml.safe_load(path.read_text()) for path in (conf_dir() / "sensor_group").glob("*.yaml")}
    assert set(groups) == {*MODALITIES, "others", "all", "published_others", "published_all"}
    for name, group in groups.items():
        wanted = {"others": set(MODALITIES) - {"rgb"}, "all": set(MODALITIES)}.get(name.removeprefix("published_"), {name})
        assert group["name"] == name and set(group["modalities"]) == wanted and min(group["modalities"].values()) > 0


def test_the_typed_settings_and_the_file_know_the_same_keys():
    """A key in one but not in the other would be a value that nobody can set, or one without a documented default."""
    config = compose("train", [])
    assert set(config) == set(TrainSettings.__dataclass_fields__)
    for name in ("optim", "machine", "augment", "teachers", "sensor_group"):
        field = TrainSettings.__dataclass_fields__[name].default_factory
        assert set(config[name]) == set(field.__dataclass_fields__), name


def test_the_interleaved_task_has_its_own_file_and_settings():
    from geolangbind.instruct.settings import InterleavedSettings
    from geolangbind.instruct.settings import from_config as interleaved

    config = compose("interleaved", [])
    fields = InterleavedSettings.__dataclass_fields__
    assert set(config) == set(fields) and config["task"] == "interleaved"
    for name in ("optim", "machine", "backbone", "lora", "model", "rendering", "temperature", "matryoshka", "validation"):
        assert set(config[name]) == set(fields[name].default_factory.__dataclass_fields__), name
    assert interleaved(compose("interleaved", ["+sources.captions.weight=2", "machine=cpu"])).sources["captions"].weight == 2


def test_names_of_plain_values_are_no_groups():
    """`model=runs/merged` would be an error if there were a folder conf/model."""
    assert not GROUPS & {"model", "data", "task", "out", "run_dir"}


@pytest.mark.parametrize("name", ["published", "published_b224"])
def test_the_published_teachers_are_named_by_timm(name):
    import timm

    choices = from_config(compose("train", [f"teachers={name}", "data=d"])).teachers.choices
    assert len(choices) == 3
    for choice in choices.values():
        assert timm.is_model(re.fullmatch(r"timm:([^.]+)(\..+)?", choice.source)[1])


def test_comments_of_the_experiments_are_commands_that_compose():
    for path in (conf_dir() / "experiment").glob("*.yaml"):
        lines = [line for line in path.read_text().splitlines() if line.startswith("# geolangbind-train ")]
        assert lines and all(from_config(compose("train", line.split()[2:])).data for line in lines)


def test_cards_are_no_python_package():
    assert not list(cards_dir().rglob("__init__.py"))
