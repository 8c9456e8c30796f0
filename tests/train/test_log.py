"""The logs of a run: what a resumed one keeps, and who writes."""

import json

import pytest

from geolangbind.train.log import Log, kept_validation, read_rows

ROW = {"step": 4, "modality": "rgb", "sensor": "sentinel-2-tci", "loss": 0.123456789}


def test_the_log_drops_what_lies_beyond_the_checkpoint(tmp_path):
    """A killed run has rows of steps that will be done again, the last one perhaps half written."""
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps({"step": step}) + "\n" for step in range(1, 6)) + '{"st')
    with Log(tmp_path, 3, True) as log:
        log.write(ROW)
        log.flush()
        assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2, 3, 4]
    assert json.loads(path.read_text().splitlines()[-1]) == {**ROW, "loss": 0.123457}
    assert sorted(child.name for child in tmp_path.iterdir()) == ["metrics.jsonl", "tensorboard"]


def test_validation_rows_beyond_the_checkpoint_are_dropped_and_others_added(tmp_path):
    path = tmp_path / "validation.jsonl"
    rows = [{"step": step, "modality": name} for step in (2, 4) for name in ("rgb", "sar")]
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows[:2], rows[0], *rows[2:]]) + '{"step": 2, "mod')
    with Log(tmp_path, 3, True) as log:
        log.write_validation([{"step": 4, "modality": "rgb", "zero_shot": 0.5}])
        log.flush()
        assert read_rows(path) == [*rows[:2], {"step": 4, "modality": "rgb", "zero_shot": 0.5}]
    assert read_rows(tmp_path / "absent.jsonl") == []


@pytest.mark.parametrize("broken", ["", "[]", "{", '{"step": null, "modality": "rgb"}', '{"step": 1}', "3"])
def test_broken_validation_rows_are_left_out(broken):
    good = '{"step": 1, "modality": "rgb"}'
    assert kept_validation(f"{broken}\n{good}\n", 1) == [good]


def test_a_new_run_starts_empty_logs(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n')
    (tmp_path / "validation.jsonl").write_text('{"step": 1, "modality": "rgb"}\n')
    with Log(tmp_path, 0, True):
        pass
    assert (tmp_path / "metrics.jsonl").read_text() == (tmp_path / "validation.jsonl").read_text() == ""


def test_other_processes_write_nothing(tmp_path):
    with Log(tmp_path, 0, False) as log:
        log.write({**ROW, "step": 1})
        log.write_validation([{"step": 1, "modality": "rgb", "zero_shot": 0.5}])
    assert list(tmp_path.iterdir()) == []


def test_tensorboard_shows_each_sensor_apart(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with Log(tmp_path, 0, True) as log:
        log.write({**ROW, "step": 1, "maka/scene": 2.0, "gradient_norm": 3.0, "lr": 0.5})
        log.write_validation([{"step": 1, "modality": "rgb", "zero_shot": 0.25}])
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    shown = {"loss", "maka/scene", "gradient_norm"}
    assert set(events.Tags()["scalars"]) == {*(f"sentinel-2-tci/{name}" for name in shown), "lr", "validation/rgb/zero_shot"}
