"""The report after a run, its picture, and the block at the start."""

from PIL import Image
from rich.console import Console

from geolangbind.train.facts import Facts, batch_words, facts_rows, facts_table
from geolangbind.train.report import report_lines, write_report
from geolangbind.train.run import train

FACTS = Facts((("rgb", "sentinel-2-tci", 1200, 0.75), ("sar", "sentinel-1-grd", 400, 0.25)), 4, 5_000, 20_000, ("scene",), (("rgb", 12),))


def row(step, modality="rgb", norm=0.5, **more):
    return {
        "step": step, "modality": modality, "sensor": f"{modality}-1", "loss": 1.0, "contrastive": 2.0 / step, "lr": 1e-3,
        "gradient_norm": norm, "samples_per_s": 8.0, "data_wait": 0.25, **more,
    }  # fmt: skip


def test_a_run_leaves_its_report(settings_for, tmp_path, shards, capsys):
    teachers = {"choices": {"scene": {}, "register": {}}}
    settings = settings_for(
        steps=3, modalities=["rgb", "sar"], teachers=teachers, report=True, progress=True, validation={"data": str(shards)}
    )
    train(settings)
    text = (tmp_path / "run" / "report.md").read_text()
    assert "| global batch | 4 = 1 process x 4 |" in text and "| teachers | scene (cached), register (cached) |" in text
    assert "| modality | sensor | steps | contrastive | maka/register | maka/scene |" in text
    assert "The validation data is the training data" in text and "## Gradient share" in text and "## Validation" in text
    assert "rgb: sentinel-2-tci, 12 samples, 50% of steps; sar: sentinel-1-grd, 12 samples, 50% of steps" in text
    with Image.open(tmp_path / "run" / "curves.png") as picture:
        assert picture.format == "PNG" and min(picture.size) > 300
    assert not list((tmp_path / "run").glob(".*"))
    shown = capsys.readouterr().out
    assert "global batch" in shown and "12 samples, 50% of steps" in shown


def test_one_step_of_one_modality_is_enough_and_none_gives_none(settings_for, tmp_path):
    settings = settings_for()
    write_report(settings, FACTS)
    assert not (tmp_path / "run").exists()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.jsonl").write_text(
        '{"step": 1, "modality": "rgb", "sensor": "x", "loss": 1.0, "contrastive": 1.0, "lr": 0.1, "gradient_norm": 1.0, '
        '"samples_per_s": 3.0, "data_wait": 0.0}\n'
    )
    write_report(settings, FACTS)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["curves.png", "metrics.jsonl", "report.md"]


def test_figures_and_notes_of_the_report(settings_for):
    """Batches of 4 at 8 samples/s are 0.5 s a step; sar has 0.81 of 0.85 squared gradient from one of five steps."""
    rows = [row(step, norm=0.1) for step in range(1, 5)] + [row(5, "sar", 0.9)]
    values = {"sensors": ["a"], "n": 9, "averaged": True, "seconds": 2.0, "zero_shot_chance": 0.04}
    validation = [{"step": step, "modality": "rgb", "zero_shot": share, **values} for step, share in ((2, 0.5), (5, 0.25))]
    text = "\n".join(report_lines(settings_for(), FACTS, rows, validation))
    assert "5 steps in 2.5 s: 8 samples/s, 25.0% of the time waiting for data. Validation took 4.0 s more." in text
    assert "| sar | 20.0% | 95.3% | 4.76 | 0.9 |" in text
    assert (
        "**Note:** 25% of the time went into waiting" in text
        and "**Note:** sar dominates: 95%" in text
        and "clipped" not in text.split("##")[0]
    )
    assert "| rgb | a | 25.0 (4.0), best 50.0 at 2 |  |  | 9 |" in text and "of the averaged weights, after step 5" in text
    good = report_lines(settings_for(), FACTS, [{**row(1), "data_wait": 0.0}] * 2, [])
    assert "Nothing stood out in waiting, gradients and clipping." in good and "## Validation" not in good


def test_what_a_run_is(settings_for):
    settings = settings_for(
        batch_size=8,
        ema_decay=0.9,
        teachers={"choices": {"scene": {}, "stored": {}}},
        optim={"warmup_steps": 7},
        validation={"data": "held"},
    )
    told = dict(facts_rows(settings, FACTS))
    assert told["sensors"] == "rgb: sentinel-2-tci, 1,200 samples, 75% of steps; sar: sentinel-1-grd, 400 samples, 25% of steps"
    assert (told["global batch"], told["parameters"]) == ("8 = 4 processes x 2", "5,000 trained, 20,000 frozen")
    assert (told["teachers"], told["weights saved"]) == ("scene (live), stored (cached)", "average with decay 0.9")
    assert told["steps"].endswith("of which 7 warm-up") and told["validation"] == "held, at the end: rgb 12"
    console = Console(width=100)
    with console.capture() as shown:
        console.print(facts_table(settings, FACTS))
    assert "sar: sentinel-1-grd, 400 samples" in shown.get() and str(settings.run_dir)[:20] in shown.get()
    object.__setattr__(settings, "memory_chunk", 3)
    assert batch_words(settings, 1) == "8 = 1 process x 8, in 3 chunks of up to 3"
