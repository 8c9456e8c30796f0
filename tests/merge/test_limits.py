"""Mixed dtypes, shards, tied and empty tensors, links, filters, whole-tensor methods, threads."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from safetensors.torch import load_file as load_torch
from safetensors.torch import load_model, save_model
from safetensors.torch import save_file as save_torch

from merge_weights import MergeError, Step, merge
from merge_weights.header import read_weights
from merge_weights.tensors import open_files, read_stored, sha256_of

Trio = tuple[Path, Path, Path]
Write = Callable[..., Path]


def steps(*paths: Path) -> list[Step]:
    return [Step(f"s{index}", path, coefficient) for index, (path, coefficient) in enumerate(zip(paths, (0.9, 0.5), strict=False))]


def test_mixed_dtypes_are_written_in_the_narrowest_that_holds_all(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    values = [torch.randn(70_001, generator=generator) for _ in range(3)]
    kinds = {
        "a": (torch.float16, torch.bfloat16, torch.float32),
        "b": (torch.bfloat16,) * 3,
        "c": (torch.float16, torch.bfloat16, torch.float16),
    }
    paths = []
    for index in range(3):
        paths.append(tmp_path / f"{index}.safetensors")
        save_torch({key: values[index].to(dtypes[index]) for key, dtypes in kinds.items()}, paths[-1])
    plan = merge(paths[0], steps(*paths[1:]), tmp_path / "out.safetensors")
    merged, inputs = load_torch(tmp_path / "out.safetensors"), [load_torch(path) for path in paths]
    for key, dtype in (("a", torch.float32), ("b", torch.bfloat16), ("c", torch.float32)):
        base, rgb, others = (one[key].double() for one in inputs)
        first = torch.lerp(base, rgb, 0.9)
        assert merged[key].dtype == dtype
        wanted = torch.lerp(first, others, 0.5).to(dtype)
        ulp = (merged[key].double() - wanted.double()).abs() / torch.finfo(dtype).eps / wanted.double().abs().clamp_min(1e-30)
        assert ulp.max() <= 1 and (merged[key] == wanted).double().mean() > 0.999
    assert {entry.key: entry.note for entry in plan.having("merged")}["c"] == "BF16 and F16"


def test_endpoints_are_exact_across_dtypes(tmp_path: Path) -> None:
    half = torch.randn(1000, generator=torch.Generator().manual_seed(1)).half()
    save_torch({"a": torch.randn(1000)}, tmp_path / "base.safetensors")
    save_torch({"a": half}, tmp_path / "step.safetensors")
    merge(tmp_path / "base.safetensors", [(tmp_path / "step.safetensors", 1.0)], tmp_path / "out.safetensors")
    assert torch.equal(load_torch(tmp_path / "out.safetensors")["a"], half.float())


def shard(folder: Path, weights: dict[str, np.ndarray], count: int) -> None:
    names = sorted(weights)
    places = {}
    for index in range(count):
        file = f"model-{index + 1:05d}-of-{count:05d}.safetensors"
        part = names[index::count]
        save_file({key: weights[key] for key in part}, folder / file)
        places |= dict.fromkeys(part, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))


def test_shards_in_and_out(trio: Trio, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    merge(trio[0], steps(*trio[1:]), plain)
    wanted = load_file(plain / "model.safetensors")
    model = trio[1] / "model"
    weights = load_file(model / "model.safetensors")
    (model / "model.safetensors").unlink()
    shard(model, weights, 3)
    merge(trio[0], steps(*trio[1:]), tmp_path / "from_shards")
    assert (tmp_path / "from_shards" / "model.safetensors").read_bytes()[-192:] == (plain / "model.safetensors").read_bytes()[-192:]
    merge(trio[0], steps(*trio[1:]), tmp_path / "to_shards", shard_bytes=100)
    index = json.loads((tmp_path / "to_shards" / "model.safetensors.index.json").read_text())
    assert len(set(index["weight_map"].values())) > 1 and index["metadata"]["total_size"] == 192
    found = {key: load_file(tmp_path / "to_shards" / file)[key] for key, file in index["weight_map"].items()}
    assert found.keys() == wanted.keys() and all(np.array_equal(found[key], wanted[key]) for key in wanted)
    again = read_weights(tmp_path / "to_shards" / "model.safetensors.index.json")
    with open_files([again]) as (file,):
        assert all(np.array_equal(read_stored(file, again.tensors[key]), wanted[key]) for key in wanted)
        parts = b"".join(path.read_bytes() for path, _ in again.parts)
        import hashlib

        assert sha256_of(file, again.nbytes, lambda _: None) == hashlib.sha256(parts).hexdigest()


def test_a_damaged_index_is_refused(trio: Trio, tmp_path: Path) -> None:
    model = trio[1] / "model"
    weights = load_file(model / "model.safetensors")
    (model / "model.safetensors").unlink()
    shard(model, weights, 2)
    path = model / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    for change, message in (
        ({**index["weight_map"], "logit_scale": "../../secret.safetensors"}, "outside its folder"),
        ({**index["weight_map"], "ghost": "model-00001-of-00002.safetensors"}, "promises 1 tensors .* first ghost"),
        ({key: value for key, value in index["weight_map"].items() if key != "logit_scale"}, "disagree about 1 tensors, first logit_scale"),
    ):
        path.write_text(json.dumps({"weight_map": change}))
        with pytest.raises(MergeError, match=message):
            merge(trio[0], steps(*trio[1:]), tmp_path / "out")
    path.write_text("[]")
    with pytest.raises(MergeError, match="is no index of shards"):
        merge(trio[0], steps(*trio[1:]), tmp_path / "out")
    assert not (tmp_path / "out").exists()


class Tied(torch.nn.Module):
    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.first = torch.nn.Linear(3, 3)
        self.second = torch.nn.Linear(3, 3)
        self.second.weight = self.first.weight
        self.empty = torch.nn.Parameter(torch.zeros(0, 4))


def test_tied_and_empty_tensors(tmp_path: Path) -> None:
    """safetensors keeps one of tied tensors and names the other in the metadata, which must come through."""
    models = [Tied(seed) for seed in range(2)]
    for index, model in enumerate(models):
        save_model(model, tmp_path / f"{index}.safetensors")
    merge(tmp_path / "0.safetensors", [(tmp_path / "1.safetensors", 0.5)], tmp_path / "out.safetensors")
    loaded = Tied(9)
    assert load_model(loaded, tmp_path / "out.safetensors") == (set(), [])
    wanted = torch.lerp(models[0].first.weight.double(), models[1].first.weight.double(), 0.5).float()
    assert torch.equal(loaded.second.weight, wanted) and loaded.second.weight is loaded.first.weight
    assert loaded.empty.shape == (0, 4)


def test_links_are_followed_when_read_and_replaced_when_written(trio: Trio, tmp_path: Path) -> None:
    (tmp_path / "linked").symlink_to(trio[1])
    merge(trio[0], [Step("rgb", tmp_path / "linked", 0.9)], tmp_path / "elsewhere")
    (tmp_path / "out").symlink_to(tmp_path / "elsewhere")
    before = (tmp_path / "elsewhere" / "model.safetensors").read_bytes()
    merge(trio[0], [Step("rgb", trio[1], 0.1)], tmp_path / "out", overwrite=True)
    assert not (tmp_path / "out").is_symlink() and (tmp_path / "elsewhere" / "model.safetensors").read_bytes() == before
    (tmp_path / "trap").symlink_to(trio[2] / "model")
    with pytest.raises(MergeError, match="would replace"):
        merge(trio[0], [Step("others", trio[2], 0.1)], tmp_path / "trap", overwrite=True)


def test_filters_keep_what_matches_as_in_the_base(trio: Trio, tmp_path: Path) -> None:
    plan = merge(trio[0], steps(*trio[1:]), tmp_path / "out", skip=["vision.blocks.*", "logit_*"])
    merged, base = (load_file(path / "model.safetensors") for path in (tmp_path / "out", trio[0] / "model"))
    assert {entry.key for entry in plan.having("kept")} == {"vision.blocks.0.weight", "logit_scale"}
    for key in ("vision.blocks.0.weight", "logit_scale"):
        assert merged[key].tobytes() == base[key].tobytes()
    assert not np.array_equal(merged["vision.patch_embed.weight"], base["vision.patch_embed.weight"])
    with pytest.raises(MergeError, match=r"--skip vison\.\* matches no tensor"):
        merge(trio[0], steps(*trio[1:]), tmp_path / "other", skip=["vison.*"])


def test_other_methods_extrapolate_and_the_chain_does_not(trio: Trio, tmp_path: Path) -> None:
    merge(trio[0], [Step("rgb", trio[1], 1.5), Step("others", trio[2], -0.25)], tmp_path / "out", method="task_arithmetic")
    merged, base, rgb, others = (load_file(path / "model.safetensors") for path in (tmp_path / "out", *(run / "model" for run in trio)))
    for key in ("vision.blocks.0.weight", "vision.patch_embed.weight"):
        wide = [one[key].astype(np.float64) for one in (base, rgb, others)]
        wanted = wide[0] + 1.5 * (wide[1] - wide[0]) - 0.25 * (wide[2] - wide[0])
        assert merged[key] == pytest.approx(wanted, abs=1e-6)
    with pytest.raises(MergeError, match=r"coefficient of rgb is 1\.5"):
        merge(trio[0], [Step("rgb", trio[1], 1.5)], tmp_path / "chain")
    with pytest.raises(MergeError, match="unknown method 'magic'; methods are progressive"):
        merge(trio[0], [Step("rgb", trio[1], 0.5)], tmp_path / "chain", method="magic")
    with pytest.raises(MergeError, match="density is 0"):
        merge(trio[0], [Step("rgb", trio[1], 0.5)], tmp_path / "chain", method="ties", density=0)


def test_any_number_of_threads_and_key_orders_give_the_same_bytes(trio: Trio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    merge(trio[0], steps(*trio[1:]), tmp_path / "one")
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    weights = load_file(trio[1] / "model" / "model.safetensors")
    save_file(dict(reversed(weights.items())), trio[1] / "model" / "model.safetensors")
    merge(trio[0], steps(*trio[1:]), tmp_path / "two")
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    assert all(first[key].tobytes() == second[key].tobytes() for key in first)


def test_a_failure_in_one_thread_ends_all_and_leaves_nothing(tmp_path: Path) -> None:
    good = {f"k{index}": np.ones(300_000, np.float32) for index in range(8)}
    save_file(good, tmp_path / "base.safetensors")
    save_file({**good, "k5": np.full(300_000, np.nan, np.float32)}, tmp_path / "bad.safetensors")
    with pytest.raises(MergeError, match=r"tensor k5 of .*bad\.safetensors has NaN or Inf"):
        merge(tmp_path / "base.safetensors", [(tmp_path / "bad.safetensors", 0.5)], tmp_path / "out.safetensors")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.safetensors", "base.safetensors"]


@pytest.mark.soak
def test_inputs_larger_than_memory(tmp_path: Path) -> None:
    """Three files of 400 MB under a limit of 600 MB of address space for everything, numpy included."""
    big = {f"k{index}": np.full(10_000_000, index, np.float32) for index in range(10)}
    for name in ("base", "rgb", "others"):
        save_file(big | {"k0": np.full(10_000_000, len(name), np.float32)}, tmp_path / f"{name}.safetensors")
    program = (
        "from merge_weights import merge\n"
        f"merge({str(tmp_path / 'base.safetensors')!r}, [({str(tmp_path / 'rgb.safetensors')!r}, 0.9), "
        f"({str(tmp_path / 'others.safetensors')!r}, 0.5)], {str(tmp_path / 'out.safetensors')!r})\n"
    )

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (600_000_000, 600_000_000))

    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", program], check=True, preexec_fn=limit, env=environment)
    assert float(load_file(tmp_path / "out.safetensors")["k0"][7]) == pytest.approx(0.05 * 4 + 0.45 * 3 + 0.5 * 6)


def test_a_routed_step_keeps_its_generator_and_the_last_one_serves_the_rest(trio: Trio, tmp_path: Path) -> None:
    named = [Step("rgb", trio[1], 0.9), Step("others", trio[2], 0.5)]
    merge(trio[0], named, tmp_path / "out", routes=("rgb", "others"))
    merge(trio[0], named, tmp_path / "plain")
    merged, plain, base, rgb, others = (
        load_file(path / "model.safetensors") for path in (tmp_path / "out", tmp_path / "plain", *(run / "model" for run in trio))
    )
    key, routed = "vision.patch_embed.weight", "vision.routes.rgb.weight"
    assert merged[key].tobytes() == others[key].tobytes()
    wide = base[key].astype(np.float64)
    assert merged[routed] == pytest.approx(wide + 0.9 * (rgb[key] - wide), rel=1e-6)
    assert merged["vision.blocks.0.weight"].tobytes() == plain["vision.blocks.0.weight"].tobytes()
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["architecture"]["vision"]["routes"] == [["rgb", ["display"]]]
    assert config["provenance"]["merge"]["routes"] == ["rgb"]


def test_routes_that_cannot_be_told_apart_are_refused(trio: Trio, tmp_path: Path) -> None:
    for names, message in (
        (("msi", "hsi", "dem"), "hsi and msi hold the same physical kinds"),
        (("nobody",), "no step is called nobody"),
    ):
        chain = [Step(name, trio[1], 0.5) for name in ("msi", "hsi", "dem")]
        with pytest.raises(MergeError, match=message):
            merge(trio[0], chain, tmp_path / "out", routes=names)
    with pytest.raises(MergeError, match="step first cannot be routed"):
        merge(trio[0], [Step("first", trio[1], 0.5), Step("dem", trio[2], 0.5)], tmp_path / "out", routes=["first"])
    files = [run / "model" / "model.safetensors" for run in trio]
    with pytest.raises(MergeError, match="merge model folders"):
        merge(files[0], [Step("rgb", files[1], 0.5), Step("dem", files[2], 0.5)], tmp_path / "o.safetensors", routes=["rgb"])
    assert not (tmp_path / "out").exists()
