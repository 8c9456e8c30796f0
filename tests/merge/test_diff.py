"""`merge-weights diff`: figures worked out by hand, mixed dtypes, text, JSON and picture."""

from __future__ import annotations

import errno
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch

from merge_weights import MergeError, diff_sums
from merge_weights.cli import main
from merge_weights.diff import Block, Difference, block_of, count, diff, figure, render, to_json
from merge_weights.diff_plot import plot

Weights = Callable[[int], dict[str, np.ndarray]]
Trio = tuple[Path, Path, Path]
Save = Callable[..., Path]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    def write(name: str, /, dtype: Any = np.float32, **tensors: Any) -> Path:
        path = tmp_path / f"{name}.safetensors"
        save_file({key: np.asarray(value, dtype) for key, value in tensors.items()}, path)
        return path

    return write


def by_name(difference: Difference) -> dict[str, Block]:
    return {block.name: block for block in difference.blocks}


def test_figures_by_hand(save: Save) -> None:
    # a = (0, 4, -1, 0), b = (3, 4, 2, 0): a.b = 14, |a|^2 = 17, |b|^2 = 29; both moved entries 1 and 2, which conflict in entry 2
    base = save("base", x=[1, 2, 2, 4])
    first = save("first", x=[1, 6, 1, 4])
    second = save("second", x=[4, 6, 4, 4])
    found = diff(first, second, base).total
    assert found.distance == pytest.approx(math.sqrt(9 + 9) / math.sqrt(1 + 36 + 1 + 16), rel=1e-15)
    assert found.first_task_norm == pytest.approx(math.sqrt(17) / 5, rel=1e-15)
    assert found.second_task_norm == pytest.approx(math.sqrt(29) / 5, rel=1e-15)
    assert found.cosine == pytest.approx(14 / math.sqrt(17 * 29), rel=1e-15)
    assert found.sign_conflict == 0.5
    assert (found.tensors, found.changed, found.parameters) == (1, 1, 4)


def test_without_base_only_the_distance_is_known(save: Save) -> None:
    found = diff(save("first", x=[3, 4]), save("second", x=[3, 9]))
    assert found.base is None
    assert found.total == Block("all", 1, 1, 2, 1.0)
    assert "cosine" not in render(found)


def test_opposite_equal_and_unmoved_task_vectors(save: Save) -> None:
    base = save("base", **{"vision.blocks.0.w": [1, 1], "vision.blocks.1.w": [1, 1], "vision.stem.w": [1, 1]})
    first = save("first", **{"vision.blocks.0.w": [2, 1], "vision.blocks.1.w": [2, 3], "vision.stem.w": [1, 1]})
    second = save("second", **{"vision.blocks.0.w": [0, 1], "vision.blocks.1.w": [2, 3], "vision.stem.w": [5, 5]})
    found = by_name(diff(first, second, base))
    assert (found["vision.blocks.0"].cosine, found["vision.blocks.0"].sign_conflict) == (-1, 1)
    assert found["vision.blocks.1"].cosine == pytest.approx(1, abs=1e-15)
    assert found["vision.blocks.1"].sign_conflict == 0
    assert found["vision.blocks.1"].changed == 0
    assert found["vision.blocks.1"].distance == 0
    still = found["stem"]
    assert (still.first_task_norm, still.cosine, still.sign_conflict) == (0, None, None)
    assert still.second_task_norm == 4


def test_division_by_zero_is_no_figure(save: Save) -> None:
    found = diff(save("first", x=[0, 0]), save("second", x=[1, 0]), save("base", x=[0, 0])).total
    assert (found.distance, found.first_task_norm, found.second_task_norm) == (None, None, None)
    assert json.loads(to_json(diff(save("a", x=[0]), save("b", x=[0]))))["total"]["distance"] is None


def test_tensors_larger_than_a_chunk_agree_with_one_pass(save: Save) -> None:
    size = 2 * diff_sums._CHUNK + 5
    random = np.random.default_rng(0)
    base, first, second = (random.normal(size=size).astype(np.float32) for _ in range(3))
    found = diff(save("first", x=first), save("second", x=second), save("base", x=base)).total
    a, b = (np.asarray(values, np.float64) - base for values in (first, second))
    assert found.cosine == pytest.approx(float(a @ b) / float(np.linalg.norm(a) * np.linalg.norm(b)), rel=1e-12)
    assert found.distance == pytest.approx(float(np.linalg.norm(b - a) / np.linalg.norm(first.astype(np.float64))), rel=1e-12)
    assert found.sign_conflict == pytest.approx(float((np.sign(a) * np.sign(b) < 0).mean()), rel=1e-12)


def test_half_precision_formats_are_compared_exactly(tmp_path: Path) -> None:
    values = torch.tensor([1.0, -0.5, 0.25, 3.0])
    for name, dtype in (("bf16", torch.bfloat16), ("fp16", torch.float16), ("fp32", torch.float32), ("fp64", torch.float64)):
        save_torch({"x": values.to(dtype), "y": torch.tensor([1 / 3], dtype=dtype)}, tmp_path / f"{name}.safetensors")
    found = diff(tmp_path / "bf16.safetensors", tmp_path / "fp64.safetensors", tmp_path / "fp16.safetensors")
    assert found.total.changed == 1
    third = {name: float(torch.tensor(1 / 3, dtype=dtype)) for name, dtype in (("bf16", torch.bfloat16), ("fp16", torch.float16))}
    squares = float((values.double() ** 2).sum())
    assert found.total.distance == pytest.approx(abs(1 / 3 - third["bf16"]) / math.sqrt(squares + third["bf16"] ** 2), rel=1e-12)
    assert found.total.first_task_norm == pytest.approx(
        abs(third["bf16"] - third["fp16"]) / math.sqrt(squares + third["fp16"] ** 2), rel=1e-12
    )


def test_tiny_moves_still_have_a_sign(save: Save) -> None:
    tiny = 1e-200  # the product of two of them is zero in float64
    arrays = {"base": [0.0], "first": [tiny], "second": [-tiny]}
    base, first, second = (save(name, dtype=np.float64, x=value) for name, value in arrays.items())
    assert diff(first, second, base).total.sign_conflict == 1


def test_key_order_does_not_matter(tensors: Weights, tmp_path: Path, write_backwards) -> None:
    for seed in range(3):
        save_file(tensors(seed), tmp_path / f"{seed}.safetensors")
    first, second, base = (tmp_path / f"{seed}.safetensors" for seed in range(3))
    turned = write_backwards(tmp_path / "turned.safetensors", tensors(1))
    assert diff(first, turned, base).blocks == diff(first, second, base).blocks


@pytest.mark.parametrize(
    ("key", "block"),
    [
        ("vision.blocks.11.attn.qkv.weight", "vision.blocks.11"),
        ("vision.patch_embed.weight_generator.transformer_encoder.layers.0.norm1.bias", "generator"),
        ("vision.attn_pool.mlp.fc1.bias", "pooling"),
        ("vision.stem.1.2.weight", "stem"),
        ("text.transformer.resblocks.3.ln_1.weight", "text.transformer.resblocks.3"),
        ("visual.transformer.resblocks.3.ln_1.weight", "visual.transformer.resblocks.3"),
        ("layer1.0.conv1.weight", "layer1.0"),
        ("text.token_embedding.weight", "rest"),
        ("logit_scale", "rest"),
        ("maka.land.0.weight", "heads"),
    ],
)
def test_block_of(key: str, block: str) -> None:
    assert block_of(key) == block


def test_blocks_are_in_order_of_parts_and_numbers(save: Save) -> None:
    keys = ["logit_scale", "text.resblocks.2.w", "vision.blocks.10.w", "vision.blocks.9.w", "text.resblocks.10.w", "vision.patch_embed.w"]
    path = save("model", **{key: [1.0] for key in (*keys, "maka.w", "vision.stem.0.w")})
    names = [block.name for block in diff(path, path).blocks]
    order = ["generator", "vision.blocks.9", "vision.blocks.10", "stem", "text.resblocks.2", "text.resblocks.10", "heads", "rest"]
    assert names == order


def test_what_cannot_be_compared_is_listed(tmp_path: Path) -> None:
    one = np.ones(1, np.float32)
    content = {
        "first": {"x": one, "shape": np.ones(2, np.float32), "sort": one, "index": np.array([1, 2]), "same": np.array([7]), "old": one},
        "second": {
            "x": one,
            "shape": np.ones(3, np.float32),
            "sort": np.array([1]),
            "index": np.array([1, 3]),
            "same": np.array([7]),
            "new": one,
        },
    }
    for name, weights in content.items():
        save_file(weights, tmp_path / f"{name}.safetensors")
    found = diff(*(tmp_path / f"{name}.safetensors" for name in content))
    assert found.absent == (("new", "only in second"), ("old", "only in first"))
    assert dict(found.mismatched) == {
        "index": "I64 values differ",
        "shape": "first F32 [2], second F32 [3]",
        "sort": "first F32 [1], second I64 [1]",
    }
    assert (found.total.tensors, found.total.parameters, found.total.distance) == (2, 2, 0)
    text = render(found)
    assert "not in every model (2 tensors):\n  new: only in second" in text
    assert "cannot be compared (3 tensors):" in text


def test_what_the_base_lacks_has_a_distance_but_no_task_vector(save: Save) -> None:
    found = diff(save("first", x=[1], **{"maka.w": [2]}), save("second", x=[2], **{"maka.w": [3]}), save("base", x=[1]))
    heads = by_name(found)["heads"]
    assert (heads.distance, heads.first_task_norm, heads.cosine) == (0.5, None, None)
    assert found.absent == (("maka.w", "only in first, second"),)
    assert found.total.second_task_norm == 1


def test_zero_size_and_scalar_tensors(save: Save) -> None:
    first, second = (save(name, empty=np.zeros((0, 3)), scale=value) for name, value in (("first", 2.0), ("second", 3.0)))
    found = diff(first, second).total
    assert (found.tensors, found.changed, found.parameters, found.distance) == (2, 1, 1, 0.5)


def test_folders_and_files_can_be_mixed(tensors: Weights, trio: Trio, tmp_path: Path) -> None:
    save_file(tensors(1), tmp_path / "rgb.safetensors")
    found = diff(trio[1], tmp_path / "rgb.safetensors", trio[0] / "model")
    assert found.total.distance == 0
    assert found.total.cosine == pytest.approx(1, abs=1e-15)
    assert found.first == os.fspath(trio[1])


def test_refusals(save: Save, tmp_path: Path) -> None:
    good, nan = save("good", x=[1, 2]), save("nan", x=[1, np.nan])
    with pytest.raises(MergeError, match=r"tensor x of .*nan\.safetensors has NaN or Inf"):
        diff(good, nan)
    with pytest.raises(MergeError, match="too large to compare"):
        diff(save("large", dtype=np.float64, x=[1e200]), save("other", dtype=np.float64, x=[1]))
    with pytest.raises(MergeError, match="no tensor of one name and shape in common"):
        diff(good, save("foreign", y=[1]))
    with pytest.raises(MergeError, match=r"base: .*nothing does not exist"):
        diff(good, good, tmp_path / "nothing")


def test_table_fits_a_hundred_columns(save: Save) -> None:
    long = "a.very.long.name.of.some.tower.with.resblocks.10.w"
    keys = {long: np.ones(1 << 20), "vision.blocks.0.w": [1e-6], **{f"absent{index}": [1] for index in range(10)}}
    text = render(
        diff(save("first", **keys), save("second", **{long: np.zeros(1 << 20), "vision.blocks.0.w": [1.5]}), save("base", **keys))
    )
    table = [line for line in text.splitlines() if not line.startswith(("first  ", "second  ", "base  "))]
    assert max(map(len, table)) <= 100
    assert "  ...ome.tower.with.resblocks.10  " in text
    assert "1.05 M" in text
    assert "and 2 more; --json lists all" in text
    rows = [line.split() for line in table]
    assert ["vision.blocks.0", "1/1", "1", "1.50e+06", "0", "1.50e+06", "-", "-"] in rows


@pytest.mark.parametrize(
    ("norm", "text"), [(None, "-"), (0.0, "0"), (0.00001234, "1.23e-05"), (0.1, "0.100"), (1.0, "1.00"), (0.0477, "0.0477")]
)
def test_norms_for_people(norm: float | None, text: str) -> None:
    assert figure(norm) == text


@pytest.mark.parametrize(("number", "text"), [(0, "0"), (999, "999"), (165_376, "165 k"), (1_076_866, "1.08 M"), (1_240_000_000, "1.24 G")])
def test_counts_for_people(number: int, text: str) -> None:
    assert count(number) == text


def test_command(trio: Trio, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, rgb, others = map(str, trio)
    assert main(["diff", rgb, others, "--base", base, "--json", "--png", str(tmp_path / "new" / "diff.png")]) == 0
    captured = capsys.readouterr()
    told = json.loads(captured.out)
    assert (told["first"], told["second"], told["base"]) == (rgb, others, base)
    assert {block["name"] for block in told["blocks"]} == {"generator", "vision.blocks.0", "pooling", "rest"}
    assert captured.err.startswith("wrote ")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["diff.png"]
    assert main(["diff", rgb, str(tmp_path / "gone")]) == 1
    assert "second: " in capsys.readouterr().err
    assert main(["diff", rgb, others]) == 0
    assert "vision.blocks.0" in capsys.readouterr().out


def test_picture(trio: Trio, tmp_path: Path) -> None:
    base, rgb, others = trio
    place = tmp_path / "diff.png"
    plot(diff(rgb, others, base), place)
    with Image.open(place) as picture:
        assert picture.format == "PNG"
        assert picture.width == 1400
        colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 20) or ()}
    assert len(colours) > 50  # cells, scales and text, not an empty sheet
    before = place.read_bytes()
    plot(diff(rgb, others), place)
    assert place.read_bytes() != before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["diff.png", "runs"]


def test_picture_of_equal_models(trio: Trio, tmp_path: Path) -> None:
    plot(diff(trio[0], trio[0], trio[0]), tmp_path / "equal.png")
    assert (tmp_path / "equal.png").stat().st_size > 1000


def test_picture_refusals(trio: Trio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = diff(trio[0], trio[1])
    with pytest.raises(MergeError, match=r"ends with \.png"):
        plot(found, trio[1] / "model" / "model.safetensors")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(MergeError, match="no name for a picture"):
        plot(found, tmp_path / "folder.png")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(MergeError, match=r"cannot write .*diff\.png: No space left"):
        patch.setattr("matplotlib.figure.Figure.savefig", full)
        plot(found, tmp_path / "diff.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.png", "runs"]
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MergeError, match="needs the package matplotlib"):
        plot(found, tmp_path / "diff.png")
    assert not (tmp_path / "diff.png").exists()


def test_the_table_needs_no_matplotlib_and_the_help_no_numpy(trio: Trio) -> None:
    code = (
        "import sys\nfrom merge_weights.cli import main\n"
        "try:\n    main(['diff', '--help'])\nexcept SystemExit:\n    pass\n"
        "assert 'numpy' not in sys.modules\n"
        f"assert main(['diff', {str(trio[0])!r}, {str(trio[1])!r}]) == 0\n"
        "assert not {'matplotlib', 'torch', 'rich'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
