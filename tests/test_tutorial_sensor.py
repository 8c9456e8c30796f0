"""The tutorial "Your sensor, your data": its two files and all its commands, as the page has them, on made-up fields."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from geolangbind import cli, commands
from geolangbind.data.shards import ShardSet

PAGE = (Path(__file__).parents[1] / "docs" / "tutorials" / "your_sensor_your_data.md").read_text(encoding="utf-8")
COMMANDS = [re.sub(r"\\\n\s*", "", line) for line in re.findall(r"^    (geolangbind(?:[^\\\n]|\\\n)*)$", PAGE, re.MULTILINE)]
SPECTRA = {"maize": (0.04, 0.09, 0.05, 0.2, 0.45), "beet": (0.05, 0.11, 0.06, 0.3, 0.6)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The page's two files, its captions and a folder of fields."""
    root = tmp_path_factory.mktemp("tutorial")
    for name, text in zip(("fieldcam.yaml", "fields.yaml"), re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL), strict=True):
        (root / name).write_text(text)
    (root / "captions.jsonl").write_text(re.search(r'^    (\{"key".*)$', PAGE, re.MULTILINE)[1])
    rng = np.random.default_rng(0)
    for split, first, count in (("train", 1, 20), ("test", 101, 6)):
        for crop, spectrum in SPECTRA.items():
            (root / "fields" / split / crop).mkdir(parents=True)
            for number in range(first, first + count, 2 if split == "train" else 1):
                values = np.array(spectrum)[:, None, None] * rng.normal(1, 0.1, (5, 32, 32))
                place = number if crop == "maize" else number + 500
                options = {"count": 5, "height": 32, "width": 32, "dtype": "uint16", "crs": "EPSG:32632"}
                path = root / "fields" / split / crop / f"plot_{place:03d}.tif"
                with rasterio.open(path, "w", driver="GTiff", transform=from_origin(5e5 + 100 * place, 5.5e6, 0.1, 0.1), **options) as file:
                    file.write((values * 10_000).astype(np.uint16))
    return root


def run(command, monkeypatch, capsys):
    """Type a command in this process: eight of their own would import torch eight times."""
    words = shlex.split(command)
    monkeypatch.setattr("sys.argv", words)
    entry = {"geolangbind": cli.main, "geolangbind-train": commands.train, "geolangbind-evaluate": commands.evaluate}[words[0]]
    try:
        entry()
    except SystemExit as stop:
        assert not stop.code, f"{command}: {capsys.readouterr()}"
    return capsys.readouterr().out


def test_the_page_has_the_commands_it_promises():
    assert len(COMMANDS) == 9 and sum("--captions" in command for command in COMMANDS) == 1


def test_the_page_runs_as_written(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    told = {}
    for command in COMMANDS:
        # few steps, small batches: the page's own figures are for real data
        told[command] = run(command.replace("steps=300 batch_size=32", "steps=3 batch_size=4"), monkeypatch, capsys)
    assert "fieldcam" in told["geolangbind sensors show fieldcam.yaml"]
    index = json.loads((folder / "shards/train/index.json").read_text())
    assert index["shards"][0]["layout"]["sensor"] == "fieldcam" and index["shards"][0]["count"] == 20
    assert "fieldcam" in json.loads((folder / "runs/fieldcam/model/config.json").read_text())["trained_sensors"]
    assert re.search(r"maize|beet", told[COMMANDS[-1]])
    (stream,) = ShardSet.open(folder / "shards/train").streams
    captions = {sample.key: sample.meta.captions for sample in stream.read_many(range(len(stream)))}
    assert captions["cam-plot_001"][:2] == ("Maize in rows, two weeks after emergence.", "Young maize on brown soil.")
