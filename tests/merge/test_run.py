"""`merge` on files and folders: values, refusals, what the output says about itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from safetensors.torch import load_file as load_torch
from safetensors.torch import save_file as save_torch

from merge_weights import MergeError, Step, merge
from merge_weights.tensors import CHUNK_BYTES

Weights = Callable[[int], dict[str, np.ndarray]]
Write = Callable[..., Path]
Trio = tuple[Path, Path, Path]


def files(folder: Path, *weights: dict[str, np.ndarray]) -> list[Path]:
    paths = [folder / f"{index}.safetensors" for index in range(len(weights))]
    for path, content in zip(paths, weights, strict=True):
        save_file(content, path)
    return paths


def expected(tensors: Weights, m1: float, m2: float) -> dict[str, np.ndarray]:
    base, rgb, others = ({key: value.astype(np.float64) for key, value in tensors(seed).items()} for seed in range(3))
    merged = {}
    for key in base:
        first = base[key] + m1 * (rgb[key] - base[key])
        merged[key] = (first + m2 * (others[key] - first)).astype(np.float32)
    merged["text.weight"] = tensors(0)["text.weight"]
    return merged


def test_folders(tensors: Weights, trio: Trio, tmp_path: Path) -> None:
    base, rgb, others = trio
    plan = merge(base, [(rgb, 0.9), (others, 0.5)], tmp_path / "merged")
    merged = load_file(tmp_path / "merged" / "model.safetensors")
    for key, value in expected(tensors, 0.9, 0.5).items():
        assert merged[key].tobytes() == value.tobytes(), key
    assert {entry.key for entry in plan.having("equal")} == {"text.weight"}
    assert plan.counts() == {"merged": 4, "equal": 1, "kept": 0, "missing": 0, "mismatched": 0, "dropped": 0}
    assert sorted(path.name for path in (tmp_path / "merged").iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["merged", "runs"]


def test_run_folder_model_folder_and_order_of_keys_do_not_matter(tensors: Weights, trio: Trio, tmp_path: Path) -> None:
    base, rgb, others = trio
    merge(base, [(rgb, 0.9), (others, 0.5)], tmp_path / "a")
    merge(base / "model", [(rgb / "model", 0.9), (others, 0.5)], tmp_path / "b")
    a, b = (load_file(tmp_path / name / "model.safetensors") for name in "ab")
    assert all(a[key].tobytes() == b[key].tobytes() for key in tensors(0))


def test_key_order_in_the_inputs_is_irrelevant(tensors: Weights, tmp_path: Path, write_backwards) -> None:
    base, rgb, others = files(tmp_path, *(tensors(seed) for seed in range(3)))
    backwards = write_backwards(tmp_path / "backwards.safetensors", tensors(1))
    merge(base, [(rgb, 0.9), (others, 0.5)], tmp_path / "a.safetensors")
    merge(base, [(backwards, 0.9), (others, 0.5)], tmp_path / "b.safetensors")
    a, b = (load_file(tmp_path / name) for name in ("a.safetensors", "b.safetensors"))
    assert all(a[key].tobytes() == b[key].tobytes() for key in tensors(0))


@pytest.mark.parametrize(("m1", "m2", "winner"), [(0, 0, 0), (1, 0, 1), (0.4, 1, 2)])
def test_endpoints(tensors: Weights, trio: Trio, tmp_path: Path, m1: float, m2: float, winner: int) -> None:
    merge(trio[0], [(trio[1], m1), (trio[2], m2)], tmp_path / "merged")
    merged = load_file(tmp_path / "merged" / "model.safetensors")
    assert all(merged[key].tobytes() == value.tobytes() for key, value in tensors(winner).items())


def test_parts(tensors: Weights, trio: Trio, tmp_path: Path) -> None:
    base, rgb, others = trio
    merge(base, [(rgb, 0.9), (others, 0.5)], tmp_path / "merged", parts={"generator": [0.3, 1.0], "blocks": [0.0, 0.0]})
    merged = load_file(tmp_path / "merged" / "model.safetensors")
    wanted = {
        **expected(tensors, 0.9, 0.5),
        "vision.patch_embed.weight": tensors(2)["vision.patch_embed.weight"],
        "vision.blocks.0.weight": tensors(0)["vision.blocks.0.weight"],
    }
    assert all(merged[key].tobytes() == value.tobytes() for key, value in wanted.items())
    config = json.loads((tmp_path / "merged" / "config.json").read_text())
    assert config["provenance"]["coefficients"]["others"] == {"all": 0.5, "generator": 1.0, "blocks": 0.0}
    assert config["parents"][2]["part_coefficients"] == {"generator": 1.0, "blocks": 0.0}
    assert config["provenance"]["formula"].endswith("+ 0.5 (others - theta1) [generator 1, blocks 0]")
    assert "0.5, generator 1, blocks 0" in (tmp_path / "merged" / "README.md").read_text()


def test_chain_of_three(tmp_path: Path) -> None:
    paths = files(tmp_path, *({"a": np.array([value], np.float64)} for value in (0, 8, 4, -2)))
    merge(paths[0], [(path, 0.5) for path in paths[1:]], tmp_path / "out.safetensors")  # 4, 4, 1
    assert load_file(tmp_path / "out.safetensors")["a"].tolist() == [1.0]


def test_tensors_larger_than_a_chunk(tmp_path: Path) -> None:
    count = CHUNK_BYTES // 4 * 2 + 3
    random = np.random.default_rng(0)
    a, b = (random.normal(size=count).astype(np.float32) for _ in range(2))
    late = np.zeros(count, np.float32)
    late[-1] = 1  # differs from zero in the last chunk only
    base, step = files(tmp_path, {"x": a, "late": np.zeros(count, np.float32)}, {"x": b, "late": late})
    plan = merge(base, [(step, 0.25)], tmp_path / "out.safetensors")
    merged = load_file(tmp_path / "out.safetensors")
    assert np.array_equal(merged["x"], (a + 0.25 * (b.astype(np.float64) - a)).astype(np.float32))
    assert merged["late"][-1] == 0.25
    assert plan.counts()["merged"] == 2


def test_half_precision_and_whole_numbers(tmp_path: Path) -> None:
    random = torch.Generator().manual_seed(0)
    values = [torch.randn(1000, generator=random, dtype=torch.float64) for _ in range(2)]
    paths = [tmp_path / f"{index}.safetensors" for index in range(2)]
    for value, path in zip(values, paths, strict=True):
        weights = {name: value.to(dtype) for name, dtype in (("h", torch.float16), ("b", torch.bfloat16), ("d", torch.float64))}
        save_torch({**weights, "n": torch.arange(3), "flag": torch.tensor(True), "empty": torch.zeros(0)}, path)
    plan = merge(paths[0], [(paths[1], 0.3)], tmp_path / "out.safetensors")
    merged, (a, b) = load_torch(tmp_path / "out.safetensors"), map(load_torch, paths)
    for name, tolerance in (("h", 2**-11), ("b", 2**-8), ("d", 2**-53)):
        exact = a[name].double() + 0.3 * (b[name].double() - a[name].double())
        assert merged[name].dtype == a[name].dtype
        assert ((merged[name].double() - exact).abs() <= tolerance * exact.abs().clamp_min(1e-4)).all()
    assert merged["n"].tolist() == [0, 1, 2]
    assert plan.counts()["equal"] == 3


def test_provenance(tensors: Weights, trio: Trio, tmp_path: Path) -> None:
    base, rgb, others = trio
    merge(base, [Step("rgb", rgb, 0.9), Step("others", others, 0.5)], tmp_path / "merged", command="merge-weights --m2 0.5")
    config = json.loads((tmp_path / "merged" / "config.json").read_text())
    hashes = [hashlib.sha256((run / "model" / "model.safetensors").read_bytes()).hexdigest() for run in trio]
    assert config["parents"] == [
        {"path": str(base), "sha256": hashes[0], "role": "base", "coefficient": None},
        {"path": str(rgb), "sha256": hashes[1], "role": "rgb", "coefficient": 0.9},
        {"path": str(others), "sha256": hashes[2], "role": "others", "coefficient": 0.5},
    ]
    how = config["provenance"]
    assert how["tool"] == "merge-weights"
    assert how["command"] == "merge-weights --m2 0.5"
    assert how["formula"] == "theta0 = base; theta1 = theta0 + 0.9 (rgb - theta0); theta2 = theta1 + 0.5 (others - theta1)"
    assert how["tensors"]["merged"] == 4
    assert how["date"].endswith("+00:00")
    with safe_open(tmp_path / "merged" / "model.safetensors", framework="numpy") as file:
        assert json.loads(file.metadata()["geolangbind"]) == {"format_version": 1, "parents": config["parents"], "merge": how["merge"]}
    assert how["merge"]["base"] == {"path": str(base)} and how["merge"]["method"] == "progressive"
    assert [(step["name"], step["path"], step["coefficient"]) for step in how["merge"]["steps"]] == [
        ("rgb", str(rgb), 0.9),
        ("others", str(others), 0.5),
    ]
    card = (tmp_path / "merged" / "README.md").read_text()
    front = ["library_name: geolangbind", "pipeline_tag: zero-shot-image-classification", "base_model_relation: merge"]
    assert card.splitlines()[:5] == ["---", *front, "---"]
    assert f"| others | 0.5 | `{others}` | `{hashes[2][:16]}` |" in card


def test_inputs_are_not_touched_and_may_be_read_only(trio: Trio, tmp_path: Path) -> None:
    weights = [run / "model" / "model.safetensors" for run in trio]
    for path in weights:
        path.chmod(0o444)
    before = [(path.read_bytes(), path.stat().st_mtime_ns) for path in weights]
    merge(trio[0], [(trio[1], 0.9), (trio[2], 0.5)], tmp_path / "merged")
    assert [(path.read_bytes(), path.stat().st_mtime_ns) for path in weights] == before


def test_heads_are_dropped_unless_kept(tensors: Weights, write_model: Write, tmp_path: Path) -> None:
    runs = [write_model(name, {**tensors(seed), "maka.dino.weight": np.full(3, seed, np.float32)}) for seed, name in enumerate("abc")]
    steps = [(runs[1], 0.9), (runs[2], 0.5)]
    plan = merge(runs[0], steps, tmp_path / "without")
    assert [entry.key for entry in plan.having("dropped")] == ["maka.dino.weight"]
    assert "maka.dino.weight" not in load_file(tmp_path / "without" / "model.safetensors")
    merge(runs[0], steps, tmp_path / "with", keep_heads=True)
    assert load_file(tmp_path / "with" / "model.safetensors")["maka.dino.weight"] == pytest.approx([1.45] * 3)


def test_missing_tensors(tensors: Weights, tmp_path: Path) -> None:
    def of(**values: float) -> dict[str, np.ndarray]:
        return {key: np.array([value], np.float32) for key, value in values.items()}

    base, rgb, others = files(tmp_path, of(a=0, b=8), of(a=4, new=2), of(a=2, b=0, new=6, last=5))
    out = tmp_path / "out.safetensors"
    steps = [Step("rgb", rgb, 0.5), Step("others", others, 0.25)]
    with pytest.raises(MergeError, match=r"3 tensors .* b \(only in base, others\), last .*others\), new .*--missing copy"):
        merge(base, steps, out)
    assert not out.exists()
    plan = merge(base, steps, out, missing="copy")
    # a: 2, 2. b: rgb lacks it: 8, then 6. new: rgb stands in for the base: 2, then 3. last: only others has it.
    assert {key: value.item() for key, value in load_file(out).items()} == {"a": 2, "b": 6, "new": 3, "last": 5}
    assert plan.counts()["missing"] == 3


def test_mismatched_tensors(tensors: Weights, tmp_path: Path) -> None:
    def of(rows: int, dtype: type, count: int) -> dict[str, np.ndarray]:
        return {"shape": np.zeros((rows, 2), np.float32), "dtype": np.zeros(2, dtype), "whole": np.array([count])}

    base, step = files(tmp_path, of(2, np.float32, 1), of(3, np.float16, 2))
    with pytest.raises(MergeError) as caught:
        merge(base, [Step("rgb", step, 0.5)], tmp_path / "out.safetensors", missing="copy")
    message = str(caught.value)
    assert "2 tensors do not fit together" in message  # dtypes may differ, see test_limits
    assert "shape (base F32 [2, 2], rgb F32 [3, 2])" in message
    assert "whole (I64 values differ and cannot be averaged)" in message
    assert "\n" not in message


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("where", [0, 1, 2])
def test_nan_and_inf_are_refused_naming_tensor_and_file(
    tensors: Weights, write_model: Write, tmp_path: Path, bad: float, where: int
) -> None:
    weights = [tensors(seed) for seed in range(3)]
    weights[where]["vision.blocks.0.weight"][2, 2] = bad
    runs = [write_model(f"run{index}", content) for index, content in enumerate(weights)]
    with pytest.raises(MergeError, match=rf"vision.blocks.0.weight of .*run{where}.* has NaN or Inf"):
        merge(runs[0], [(runs[1], 0), (runs[2], 1)], tmp_path / "merged")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs"]


def test_inf_in_a_tensor_that_is_equal_everywhere(tmp_path: Path) -> None:
    base, step = files(tmp_path, *[{"a": np.array([np.inf], np.float16)}] * 2)
    with pytest.raises(MergeError, match=r"tensor a of .*0.safetensors has NaN or Inf"):
        merge(base, [(step, 0.5)], tmp_path / "out.safetensors")
    assert not list(tmp_path.glob(".*"))


def test_paths(trio: Trio, tmp_path: Path) -> None:
    base, rgb, _ = trio
    single = rgb / "model" / "model.safetensors"
    out = tmp_path / "merged"
    (tmp_path / "empty").mkdir()
    for path, message in [
        (tmp_path / "none", "does not exist"),
        (tmp_path / "empty", "has neither model/model.safetensors nor model.safetensors"),
        (rgb / "model" / "config.json", "no .safetensors file"),
        (single, "cannot be mixed"),
    ]:
        with pytest.raises(MergeError, match=message):
            merge(base, [(path, 0.5)], out)
    with pytest.raises(MergeError, match=r"give --out NAME.safetensors"):
        merge(single, [(single, 0.5)], out)
    with pytest.raises(MergeError, match="a folder name"):
        merge(base, [(rgb, 0.5)], tmp_path / "merged.safetensors")
    with pytest.raises(MergeError, match="no tensor is left"):
        merge(files(tmp_path, {})[0], [(tmp_path / "0.safetensors", 0.5)], tmp_path / "x.safetensors")
    assert not out.exists()
