"""The command line: plan, options, exit codes, quick help."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from merge_weights import cli

Weights = Callable[[int], dict[str, np.ndarray]]
Write = Callable[..., Path]
Trio = tuple[Path, Path, Path]


def test_defaults_are_the_runs_and_the_papers_coefficients(
    tensors: Weights, trio: Trio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main([]) == 0
    config = json.loads(Path("runs/merged/config.json").read_text())
    assert [(parent["path"], parent["role"], parent["coefficient"]) for parent in config["parents"]] == [
        ("runs/base", "base", None),
        ("runs/rgb", "rgb", 0.9),
        ("runs/others", "others", 0.5),
    ]
    assert config["provenance"]["command"] == "merge-weights"
    scale = [float(tensors(seed)["logit_scale"]) for seed in range(3)]
    merged = float(load_file("runs/merged/model.safetensors")["logit_scale"])
    assert merged == pytest.approx(0.05 * scale[0] + 0.45 * scale[1] + 0.5 * scale[2], rel=1e-6)
    captured = capsys.readouterr()
    assert captured.err == ""  # no progress line for quick work, nor where stderr is no terminal
    lines = [line.split() for line in captured.out.splitlines()]
    assert ["part", "merged", "equal", "kept", "missing", "mismatched", "dropped", "size"] in lines
    assert ["generator", "1", "0", "0", "0", "0", "0", "60", "B"] in lines
    assert ["rest", "1", "1", "0", "0", "0", "0", "52", "B"] in lines
    assert ["all", "4", "1", "0", "0", "0", "0", "192", "B"] in lines
    assert "wrote runs/merged" in captured.out


def test_parts_and_dry_run(
    tensors: Weights, trio: Trio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    options = ["--m2", "0.75", "--m2-for", "generator=1.0", "--m1-for", "pooling=0"]
    assert cli.main([*options, "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "0.75, generator 1" in out
    assert "dry run" in out
    assert not Path("runs/merged").exists()
    assert cli.main(options) == 0
    merged = load_file("runs/merged/model.safetensors")
    assert merged["vision.patch_embed.weight"].tobytes() == tensors(2)["vision.patch_embed.weight"].tobytes()
    base, others = (tensors(seed)["vision.attn_pool.probe"].astype(np.float64) for seed in (0, 2))
    assert merged["vision.attn_pool.probe"] == pytest.approx(base + 0.75 * (others - base), rel=1e-6)


def test_plan_lists_every_missing_and_mismatched_tensor_before_the_error(
    tensors: Weights, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = {f"k{index}": np.zeros(index + 1, np.float32) for index in range(10)}
    step = {f"k{index}": np.zeros(1, np.float32) for index in range(10)}
    for name, content in (("base", base), ("rgb", {**step, "new": np.zeros(1, np.float32)}), ("others", base)):
        save_file(content, tmp_path / f"{name}.safetensors")
    where = [word for name in ("base", "rgb", "others") for word in (f"--{name}", str(tmp_path / f"{name}.safetensors"))]
    assert cli.main([*where, "--out", str(tmp_path / "out.safetensors")]) == 1
    captured = capsys.readouterr()
    for index in range(1, 10):
        assert captured.out.count(f"k{index} ") == 1
        assert f"base F32 [{index + 1}], rgb F32 [1], others F32 [{index + 1}]" in captured.out
    assert "missing from some inputs (refused; --missing copy" in captured.out
    assert "only in rgb" in captured.out
    assert captured.err.startswith("merge-weights: 9 tensors do not fit together: k1 (")
    assert captured.err.endswith("and 1 more; the inputs must have one architecture\n")
    assert captured.err.count("\n") == 1


def test_plan_states_the_rule_for_missing_tensors(
    tensors: Weights, write_model: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [write_model(name, tensors(seed)) for seed, name in enumerate(("base", "rgb"))]
    runs.append(write_model("others", {**tensors(2), "vision.stem.extra": np.ones(2, np.float32), "maka.x": np.ones(1, np.float32)}))
    where = ["--base", str(runs[0]), "--rgb", str(runs[1]), "--others", str(runs[2]), "--out", str(tmp_path / "out")]
    assert cli.main([*where, "--missing", "copy"]) == 0
    out = capsys.readouterr().out
    assert "where the base lacks it, the first input that has it stands in" in out
    assert "dropped: projectors towards the teachers" in out
    merged = load_file(tmp_path / "out" / "model.safetensors")
    assert merged["vision.stem.extra"].tolist() == [1, 1]
    assert "maka.x" not in merged


def test_errors_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main([]) == 1
    captured = capsys.readouterr()
    assert captured.err == ("merge-weights: base: runs/base does not exist; give a run folder, a model folder or a .safetensors file\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--m1", "9"], "between 0"),
        (["--m1", "nan"], "finite number"),
        (["--m2", "half"], "'half' is no number"),
        (["--m2-for", "generator"], "PART=COEFFICIENT"),
        (["--m2-for", "head=1"], "parts are generator, blocks"),
        (["--m2-for", "blocks=2"], "between 0"),
        (["--missing", "guess"], "invalid choice"),
        (["--mm"], "unrecognized arguments"),
    ],
)
def test_wrong_arguments_exit_with_2(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_interruption(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_merge", interrupted)
    assert cli.main([]) == 130
    assert capsys.readouterr().err == "merge-weights: interrupted; nothing was left behind\n"


def test_progress_line_waits_two_seconds_then_ends_its_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    clock = iter([0.0, 1.0, 2.5, 2.6, 3.0])
    monkeypatch.setattr(cli.time, "monotonic", lambda: next(clock))
    show = cli._progress_line()
    show(10, 100)
    assert capsys.readouterr().err == ""
    show(50, 100)
    show(50, 100)
    show(100, 100)
    err = capsys.readouterr().err
    assert err.count("\r") == 2
    assert " 50 %" in err
    assert err.endswith("MB\n")


def test_help_teaches_and_imports_neither_numpy_nor_torch() -> None:
    code = (
        "import sys\n"
        "from merge_weights.cli import main\n"
        "try:\n    main(['--help'])\n"
        "except SystemExit as end:\n    assert end.code == 0\n"
        "heavy = {'numpy', 'torch', 'safetensors', 'rich', 'typer'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for taught in (
        "theta* = base",
        "m1 = 0.9 and m2 = 0.5",
        "0.05 base + 0.45 rgb + 0.50 others",
        "--m2-for generator=1",
        "vision.blocks.",
    ):
        assert taught in done.stdout


def test_merging_needs_no_torch(trio: Trio, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom merge_weights.cli import main\n"
        "assert main([]) == 0\n"
        "assert not {'torch', 'geolangbind.model', 'rich'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs" / "merged" / "model.safetensors").is_file()


def words(runs: Trio) -> list[str]:
    return ["--base", str(runs[0]), "--step", f"rgb={runs[1]}:0.9", "--step", f"dem={runs[2]}:0.5"]


def test_steps_by_name_give_what_two_branches_give(trio: Trio, tmp_path: Path) -> None:
    two = ["--base", str(trio[0]), "--rgb", str(trio[1]), "--others", str(trio[2]), "--m1", "0.9", "--m2", "0.5"]
    assert cli.main([*two, "--out", str(tmp_path / "two")]) == 0
    assert cli.main([*words(trio), "--out", str(tmp_path / "steps")]) == 0
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("two", "steps"))
    assert all(first[key].tobytes() == second[key].tobytes() for key in first)


def test_plan_is_a_dry_run(trio: Trio, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan", *words(trio), "--out", str(tmp_path / "out"), "--route", "rgb", "--step-for", "dem.blocks=0.25"]) == 0
    out = capsys.readouterr().out
    assert "routed: images of rgb keep a kernel generator of their own (base + 0.9 (rgb - base))" in out
    assert "[blocks 0.25]" in out and "dry run: nothing written" in out
    assert not (tmp_path / "out").exists()


def test_methods_and_filters_from_the_command_line(trio: Trio, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--method", "ties", "--density", "0.5", "--skip", "logit_*", "--no-sync", "--out", str(tmp_path / "out")]
    assert cli.main([*words(trio), *options]) == 0
    assert "Plan: ties of base and rgb 0.9, dem 0.5; density 0.5, seed 0" in capsys.readouterr().out
    merged, base = (load_file(folder / "model.safetensors") for folder in (tmp_path / "out", trio[0] / "model"))
    assert merged["logit_scale"].tobytes() == base["logit_scale"].tobytes()
    told = json.loads((tmp_path / "out" / "config.json").read_text())["provenance"]["merge"]
    assert (told["method"], told["density"], told["skip"]) == ("ties", 0.5, ["logit_*"])


def test_a_recipe_says_everything(trio: Trio, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(
        f"base: {trio[0]}\nsteps:\n- {{name: rgb, path: {trio[1]}, coefficient: 0.9}}\n- {{name: dem, path: {trio[2]}, coefficient: 1/2}}\n"
        f"policies: {{generator: routed}}\nout: {tmp_path / 'out'}\n"
    )
    assert cli.main(["--recipe", str(recipe)]) == 0
    assert "vision.routes.rgb.weight" in load_file(tmp_path / "out" / "model.safetensors")
    assert cli.main(["--recipe", str(recipe), "--m1", "0.3"]) == 1
    assert "leave out --m1" in capsys.readouterr().err
    assert cli.main(["--recipe", "list"]) == 0
    assert "published-b" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--step", "rgb=runs/rgb:0.9", "--rgb", "x"], "two ways to name branches"),
        (["--step", "a=x:0.5", "--step", "a=y:0.5"], "two --step have the same name"),
        (["--step", "a=x:0.5", "--step-for", "b.blocks=1"], "--step-for names b, which no --step has"),
        (["--recipe", "six-group"], "did you mean six-groups"),
    ],
)
def test_contradictions_are_one_line(options: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(options) == 1
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1


@pytest.mark.parametrize("text", ["rgb", "rgb=runs/rgb", "=runs/rgb:0.9", "rgb=runs/rgb:x", "rgb=runs/rgb:2"])
def test_a_step_is_name_path_and_coefficient(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["--step", text])
    assert caught.value.code == 2


def test_diff_and_verify_are_there(trio: Trio, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*words(trio), "--out", str(tmp_path / "out")]) == 0
    assert cli.main(["verify", str(tmp_path / "out")]) == 0
    capsys.readouterr()
    assert cli.main(["diff", str(trio[1]), str(trio[2]), "--base", str(trio[0])]) == 0
    assert "generator" in capsys.readouterr().out
