"""Training on shards with bad samples: refused, or gone on with and told about."""

import json
import shutil

import pytest

from geolangbind.data.shards import ShardSet
from geolangbind.errors import DataError, SettingsError
from geolangbind.train.run import train


@pytest.fixture
def spoiled(shards, tmp_path):
    """The shards with two bad rgb samples."""
    folder = shutil.copytree(shards, tmp_path / "spoiled")
    (stream,) = ShardSet.open(folder).select(modalities=["rgb"])
    path, table = folder / stream.shards[0].file, next(iter(stream.shards[0].members.values()))
    data = bytearray(path.read_bytes())
    for number in (2, 7):
        offset, size, _ = table[number].tolist()
        data[offset : offset + size] = bytes(size)
    path.write_bytes(data)
    return folder


def test_bad_samples_stop_a_run_or_are_replaced_counted_and_told(spoiled, settings_for, tmp_path):
    common = {"data": str(spoiled), "steps": 6, "report": True}
    with pytest.raises(DataError, match=r"rgb.*key "):
        train(settings_for(**common))
    folder = train(settings_for(run_dir=str(tmp_path / "on"), on_error="skip", **common)).parent
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert len(rows) == 6 and sum(row.get("skipped", 0) for row in rows) == 4  # 24 of 12 samples: each comes twice
    assert (
        "**Note:** 2 samples were bad and others stood in for them (on_error=skip). The first: `rgb" in (folder / "report.md").read_text()
    )
    assert json.loads((folder / "model" / "config.json").read_text())["provenance"]["skipped_samples"] == 2
    with pytest.raises(DataError, match=r"more than 1 bad samples \(max_skipped=1\)"):
        train(settings_for(run_dir=str(tmp_path / "few"), on_error="skip", max_skipped=1, **common))


def test_a_resumed_run_remembers_what_it_skipped(spoiled, settings_for, tmp_path):
    common = {"data": str(spoiled), "report": True, "on_error": "skip", "checkpoint_every": 3}
    train(settings_for(steps=3, **common))
    folder = train(settings_for(steps=4, **common)).parent
    assert "2 samples were bad" in (folder / "report.md").read_text()


def test_settings_are_checked(settings_for):
    with pytest.raises(SettingsError, match="on_error is 'ignore'; use raise or skip"):
        settings_for(on_error="ignore")
    with pytest.raises(SettingsError, match="max_skipped is 0"):
        settings_for(max_skipped=0)
