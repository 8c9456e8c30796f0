"""A merge appears whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from merge_weights import MergeError, merge, run, write

Trio = tuple[Path, Path, Path]


def go(trio: Trio, out: Path, m: float = 0.5, **options: Any) -> None:
    merge(trio[0], [(trio[1], m), (trio[2], m)], out, **options)


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def full_disk(*_: object) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("existing", [False, True])
def test_full_disk_leaves_nothing(trio: Trio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, existing: bool) -> None:
    if existing:
        go(trio, tmp_path / "merged", 0.1)
    before = snapshot(tmp_path)
    monkeypatch.setattr(write.os, "pwrite", full_disk)
    with pytest.raises(MergeError, match=r"cannot write .*merged: No space left on device; nothing was left behind"):
        go(trio, tmp_path / "merged", overwrite=True)
    assert snapshot(tmp_path) == before
    assert (tmp_path / "merged").exists() == existing


def test_interruption_leaves_nothing(trio: Trio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(path: Path, data: bytes, sync: bool) -> None:
        path.write_bytes(data[:3])
        raise KeyboardInterrupt

    before = snapshot(tmp_path)
    monkeypatch.setattr(run, "write_bytes", interrupted)  # the weights are written by then, the configuration is not
    with pytest.raises(KeyboardInterrupt):
        go(trio, tmp_path / "merged")
    assert snapshot(tmp_path) == before


def test_failing_swap_puts_the_old_model_back(trio: Trio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go(trio, tmp_path / "merged", 0.1)
    before = snapshot(tmp_path)
    rename = Path.rename

    def fails(self: Path, target: Path) -> Path:
        if self.name.endswith(".partial"):
            raise OSError(errno.EIO, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises(MergeError, match="Input/output error"):
        go(trio, tmp_path / "merged", overwrite=True)
    assert snapshot(tmp_path) == before


def test_existing_output_is_refused_unless_overwritten(trio: Trio, tmp_path: Path) -> None:
    out = tmp_path / "merged"
    go(trio, out, 0.5)
    before = snapshot(out)
    with pytest.raises(MergeError, match=r"merged exists; .*--overwrite"):
        go(trio, out, 1)
    assert snapshot(out) == before
    go(trio, out, 1, overwrite=True)
    assert load_file(out / "model.safetensors").keys() == load_file(trio[2] / "model" / "model.safetensors").keys()
    assert snapshot(out)["model.safetensors"] != before["model.safetensors"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["merged", "runs"]


def test_existing_file_is_replaced_only_when_told(trio: Trio, tmp_path: Path) -> None:
    paths = [folder / "model" / "model.safetensors" for folder in trio]
    out = tmp_path / "deep" / "er" / "out.safetensors"
    merge(paths[0], [(paths[1], 0.5)], out)
    with pytest.raises(MergeError, match="exists"):
        merge(paths[0], [(paths[1], 1)], out)
    merge(paths[0], [(paths[1], 1)], out, overwrite=True)
    assert load_file(out)["logit_scale"] == load_file(paths[1])["logit_scale"]
    assert [path.name for path in out.parent.iterdir()] == ["out.safetensors"]


def test_overwrite_spares_inputs_and_foreign_folders(trio: Trio, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"meow")
    before = snapshot(tmp_path)
    with pytest.raises(MergeError, match="not a merged model"):
        go(trio, tmp_path / "photos", overwrite=True)
    for out in (trio[1], trio[1] / "model", tmp_path / "runs", tmp_path):
        with pytest.raises(MergeError, match=r"would replace .*inputs are never written to"):
            go(trio, out, overwrite=True)
    single = trio[0] / "model" / "model.safetensors"
    with pytest.raises(MergeError, match="would replace"):
        merge(single, [(single, 0.5)], single, overwrite=True)
    assert snapshot(tmp_path) == before
