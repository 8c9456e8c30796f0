"""What the configurations of the inputs may and may not differ in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from merge_weights import MergeError, merge
from merge_weights.config import differences

Weights = Callable[[int], dict[str, Any]]
Write = Callable[..., Path]
Change = Callable[[dict[str, Any]], object]


def merged_config(write_model: Write, tensors: Weights, tmp_path: Path, change: Change, *, keep_heads: bool = False) -> dict[str, Any]:
    base = write_model("base", tensors(0))
    step = write_model("rgb", tensors(1), config=change)
    merge(base, [(step, 0.5)], tmp_path / "merged", keep_heads=keep_heads)
    found: dict[str, Any] = json.loads((tmp_path / "merged" / "config.json").read_text())
    return found


def test_agreed_parts_are_kept(tensors: Weights, plain_config: dict[str, Any], write_model: Write, tmp_path: Path) -> None:
    config = merged_config(write_model, tensors, tmp_path, lambda _: None)
    own = ("parents", "provenance")
    assert {key: value for key, value in config.items() if key not in own} == {k: v for k, v in plain_config.items() if k not in own}


def test_statistics_sensors_and_words_are_united(tensors: Weights, write_model: Write, tmp_path: Path) -> None:
    def change(config: dict[str, Any]) -> None:
        config["statistics"]["kinds"]["elevation"] = {"mean": 500, "std": 300}
        config["statistics"]["bands"]["aerial-rgb"]["G"] = [0.3, 0.1]
        config["statistics"]["bands"]["srtm"] = {"elevation": [500, 300]}
        config["trained_sensors"] = ["srtm", "aerial-rgb"]
        config["trained_words"] = ["alps", "lake"]

    config = merged_config(write_model, tensors, tmp_path, change)
    assert config["statistics"] == {
        "kinds": {"display": {"mean": 0.4, "std": 0.2}, "elevation": {"mean": 500, "std": 300}},
        "bands": {"aerial-rgb": {"R": [0.4, 0.2], "G": [0.3, 0.1]}, "srtm": {"elevation": [500, 300]}},
    }
    assert config["trained_sensors"] == ["aerial-rgb", "srtm"]
    assert config["trained_words"] == ["alps", "forest", "lake"]


def test_pixel_sizes_seen_in_training_are_united(write_model: Write, tensors: Weights, tmp_path: Path) -> None:
    config = merged_config(write_model, tensors, tmp_path, lambda c: c["preprocessing"].update(gsd_m=[30, 0.5]))
    assert config["preprocessing"] == {"image_size": 64, "gsd_m": [0.5, 30]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["architecture"]["vision"].update(width=8), r"architecture\.vision\.width: 8 != 4"),
        (lambda c: c["architecture"].pop("text"), r"architecture\.text: absent != "),
        (lambda c: c["channel_code"].update(version=2), r"channel_code\.version: 2 != 1"),
        (lambda c: c["preprocessing"].update(resize=True), r"preprocessing\.resize: true != absent"),
        (lambda c: c["tokenizer"].update(name="siglip"), r'tokenizer\.name: "siglip" != "clip"'),
        (lambda c: c["statistics"]["kinds"]["display"].update(mean=0.5), r"statistics\.kinds\.display: .*0\.5.* != .*0\.4"),
        (
            lambda c: c["statistics"]["bands"]["aerial-rgb"].update(R=[0, 1]),
            r"statistics\.bands\.aerial-rgb\.R: \[0, 1\] != \[0\.4, 0\.2\]",
        ),
        (lambda c: c.update(format="other"), "not the configuration of a geolangbind model"),
        (lambda c: c.update(format_version=2), "format version 2, this tool knows 1"),
        (lambda c: c.update(statistics=[]), "statistics must hold"),
        (lambda c: c["statistics"].update(bands={"x": 3}), "statistics must hold"),
    ],
)
def test_disagreements_are_refused(tensors: Weights, write_model: Write, tmp_path: Path, change: Change, message: str) -> None:
    with pytest.raises(MergeError, match=message):
        merged_config(write_model, tensors, tmp_path, change)
    assert not (tmp_path / "merged").exists()


def test_projector_settings_matter_only_when_heads_are_kept(tensors: Weights, write_model: Write, tmp_path: Path) -> None:
    assert "maka" not in merged_config(write_model, tensors, tmp_path, lambda c: c.update(maka={"teachers": ["dino"]}))


def test_projector_settings_must_agree_when_heads_are_kept(tensors: Weights, write_model: Write, tmp_path: Path) -> None:
    with pytest.raises(MergeError, match="maka"):
        merged_config(write_model, tensors, tmp_path, lambda c: c.update(maka={"teachers": ["dino"]}), keep_heads=True)


def test_tokenizers_must_be_equal(tensors: Weights, write_model: Write, tmp_path: Path) -> None:
    base = write_model("base", tensors(0))
    other = write_model("rgb", tensors(1), tokenizer=b'{"a": 1}')
    with pytest.raises(MergeError, match=r"tokenizer.json of rgb .* differs from that of base"):
        merge(base, [(other, 0.5)], tmp_path / "merged")
    (other / "model" / "tokenizer.json").unlink()
    with pytest.raises(MergeError, match=r"tokenizer.json of rgb"):
        merge(base, [(other, 0.5)], tmp_path / "merged")


def test_folder_without_or_with_broken_config(tensors: Weights, write_model: Write, tmp_path: Path) -> None:
    base, step = (write_model(name, tensors(0)) for name in ("base", "rgb"))
    (step / "model" / "config.json").write_text("{")
    with pytest.raises(MergeError, match="is no JSON"):
        merge(base, [(step, 0.5)], tmp_path / "merged")
    (step / "model" / "config.json").unlink()
    with pytest.raises(MergeError, match=r"cannot read .*config.json.*give the .safetensors files"):
        merge(base, [(step, 0.5)], tmp_path / "merged")


def test_differences_are_listed_one_by_one_and_shortened() -> None:
    left = {"a": {"b": 1, "c": [1, 2]}, "same": 0, "long": "x" * 200}
    right = {"a": {"b": 2, "c": [1, 3]}, "same": 0, "long": "y"}
    found = list(differences(left, right))
    assert found[:2] == ["a.b: 1 != 2", "a.c: [1, 2] != [1, 3]"]
    assert found[2].startswith('long: "xxx')
    assert len(found[2]) < 90
