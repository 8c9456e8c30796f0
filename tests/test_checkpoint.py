"""Model folders: atomic, refused with what and where."""

import json
from pathlib import Path

import pytest
import torch

from geolangbind import checkpoint
from geolangbind.errors import CheckpointError

TENSORS = {"a": torch.arange(6.0).view(2, 3), "b": torch.tensor(2.0)}
CONFIG = {"parents": [{"sha256": "x"}], "architecture": {}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "run" / "model"
    checkpoint.write_model(path, TENSORS, CONFIG, '{"token": 1}', "# card")
    return path


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_written_and_read(folder):
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "model.safetensors", "tokenizer.json"]
    assert checkpoint.read_config(folder) == {"format": "geolangbind-model", "format_version": 1, **CONFIG}
    tensors = checkpoint.read_tensors(folder)
    assert set(tensors) == set(TENSORS) and all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)
    assert (folder / "tokenizer.json").read_text() == '{"token": 1}'


def test_tensors_that_are_views_or_need_gradients_are_written(tmp_path):
    weight = torch.nn.Parameter(torch.arange(6.0).view(2, 3))
    checkpoint.write_model(tmp_path / "m", {"w": weight, "t": weight.T}, CONFIG, "{}", "")
    tensors = checkpoint.read_tensors(tmp_path / "m")
    assert torch.equal(tensors["t"], tensors["w"].T)


def test_writing_again_replaces_the_folder_whole(folder):
    (folder / "stale.txt").touch()
    checkpoint.write_model(folder, {"c": torch.zeros(1)}, CONFIG, "{}", "")
    assert set(checkpoint.read_tensors(folder)) == {"c"}
    assert not (folder / "stale.txt").exists()
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


@pytest.mark.parametrize("existing", [True, False])
def test_a_failure_inside_leaves_everything_as_it_was(tmp_path, existing):
    folder = tmp_path / "model"
    if existing:
        checkpoint.write_model(folder, TENSORS, CONFIG, "{}", "")
    before = snapshot(tmp_path)

    def fail():
        with checkpoint.atomic_folder(folder) as part:
            (part / "half").write_text("x")
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        fail()
    assert snapshot(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == (["model"] if existing else [])


def test_a_failed_rename_brings_the_old_folder_back(folder, monkeypatch):
    before, rename = snapshot(folder), Path.rename

    def refuse(self: Path, target: Path):
        if self.name.endswith(".part"):
            raise OSError("disk gone")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OSError, match="disk gone"):
        checkpoint.write_model(folder, {"c": torch.zeros(1)}, CONFIG, "{}", "")
    assert snapshot(folder) == before
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_atomic_file(tmp_path):
    target = tmp_path / "new" / "file.txt"

    def write(text: str, failure: bool) -> None:
        with checkpoint.atomic_path(target) as part:
            part.write_text(text)
            if failure:
                raise RuntimeError("stop")

    write("first", False)
    with pytest.raises(RuntimeError, match="stop"):
        write("second", True)
    assert target.read_text() == "first"
    write("third", False)
    assert target.read_text() == "third"
    assert [path.name for path in target.parent.iterdir()] == ["file.txt"]


def test_hash_of_a_file(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    assert checkpoint.file_sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_find_model_in_a_model_or_run_folder(folder):
    assert checkpoint.find_model(folder) == folder
    assert checkpoint.find_model(str(folder.parent)) == folder


def test_find_model_says_where_it_looked(tmp_path):
    with pytest.raises(CheckpointError) as failure:
        checkpoint.find_model(tmp_path)
    text = str(failure.value)
    assert f"{tmp_path / 'config.json'}" in text and f"{tmp_path / 'model' / 'config.json'}" in text and "make demo" in text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{broken", "cannot read"),
        ("[1, 2]", "is not of format 'geolangbind-model'.*list"),
        ('{"format": "other"}', r"is not of format 'geolangbind-model' \(it says 'other'\)"),
        ('{"format": "geolangbind-model", "format_version": 2}', "format version 2; this release reads 1. Upgrade geolangbind"),
    ],
)
def test_config_of_another_kind_is_refused(folder, content, message):
    (folder / "config.json").write_text(content)
    with pytest.raises(CheckpointError, match=message) as failure:
        checkpoint.read_config(folder)
    assert str(folder / "config.json") in str(failure.value)


def test_missing_or_damaged_files_are_named(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-5])
    with pytest.raises(CheckpointError, match=rf"cannot read {weights}"):
        checkpoint.read_tensors(folder)
    weights.unlink()
    with pytest.raises(CheckpointError, match=rf"cannot read {weights}"):
        checkpoint.read_tensors(folder)
    (folder / "config.json").unlink()
    with pytest.raises(CheckpointError, match=rf"cannot read {folder / 'config.json'}"):
        checkpoint.read_config(folder)


def test_weights_name_their_parents(folder):
    from safetensors import safe_open

    with safe_open(folder / "model.safetensors", "pt") as file:
        assert json.loads(file.metadata()["geolangbind"]) == {"format_version": 1, "parents": CONFIG["parents"]}


def test_mismatches_are_listed_once_each_by_name():
    expected = {"b": torch.zeros(2), "a": torch.zeros(3), "same": torch.zeros(1)}
    given = {"b": torch.zeros(2, 1), "c": torch.zeros(()), "same": torch.ones(1)}
    assert checkpoint.mismatch_table(expected, given).splitlines() == [
        "3 differences:",
        "  tensor  checkpoint  model",
        "  a       missing     (3,)",
        "  b       (2, 1)      (2,)",
        "  c       ()          unexpected",
    ]
    assert checkpoint.mismatch_table(expected, expected) == ""


def test_sharded_weights_are_read_as_one(tmp_path):
    from safetensors.torch import save_file

    weights = {f"k{i}": torch.full((i + 1,), float(i)) for i in range(5)}
    places = {name: f"part-{i % 2}.safetensors" for i, name in enumerate(weights)}
    for part in set(places.values()):
        save_file({name: weights[name] for name, place in places.items() if place == part}, tmp_path / part)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": places}))
    found = checkpoint.read_tensors(tmp_path)
    assert found.keys() == weights.keys() and all(torch.equal(found[name], weights[name]) for name in weights)
    assert {name: tuple(tensor.shape) for name, tensor in checkpoint.describe_tensors(tmp_path).items()} == {
        f"k{i}": (i + 1,) for i in range(5)
    }
    index.write_text(json.dumps({"weight_map": {"a": "../x.safetensors"}}))
    with pytest.raises(CheckpointError, match="outside its folder"):
        checkpoint.read_tensors(tmp_path)
    index.write_text("{}")
    with pytest.raises(CheckpointError, match=r"cannot read .*index\.json"):
        checkpoint.read_tensors(tmp_path)


def test_small_files_are_opened_anew_once_enough_is_mapped(tmp_path, monkeypatch):
    from safetensors.torch import save_file

    monkeypatch.setattr(checkpoint, "_MAPPED_BYTES", 10)
    weights = {f"k{i}": torch.full((3,), float(i)) for i in range(4)}
    save_file(weights, tmp_path / "model.safetensors")
    assert [(name, tensor.tolist()) for name, tensor in checkpoint.iterate_tensors(tmp_path)] == [(f"k{i}", [i] * 3) for i in range(4)]


def test_others_may_read_what_the_umask_lets_them(tmp_path):
    with checkpoint.atomic_folder(tmp_path / "folder") as part:
        (part / "file").write_text("x")
        (part / "file").chmod(0o600)
    with checkpoint.atomic_path(tmp_path / "file") as path:
        path.write_text("x")
        path.chmod(0o600)
    (tmp_path / "plain").write_text("x")
    assert len({file.stat().st_mode for file in (tmp_path / "folder" / "file", tmp_path / "file", tmp_path / "plain")}) == 1
