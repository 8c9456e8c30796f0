"""Whole runs of a few steps: they resume bit by bit, on one process as on two, and leave an encoder behind."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import geolangbind
from geolangbind.errors import DataError, SettingsError
from geolangbind.instruct import run as running
from geolangbind.instruct.order import BlockOrder
from geolangbind.instruct.rows import Pairs, RankingRow, Row, write_pairs
from geolangbind.instruct.run import choose_sources, looking_sources, train
from geolangbind.instruct.settings import SourceChoice
from geolangbind.interleaved.segments import Image, Text

WEIGHTS = "model/model.safetensors"


class Stopped(Exception):
    """Stands for a power cut."""


def rows_of(folder, name="metrics.jsonl"):
    rows = [json.loads(line) for line in (folder / name).read_text().splitlines()]
    return [{key: value for key, value in row.items() if key not in ("samples_per_s", "data_wait", "seconds")} for row in rows]


def interrupt(settings, steps, monkeypatch):
    """Train until so many batches were used, over both stages."""
    real, count = running.batches, iter(range(steps))

    def some(*args, **named):
        for batch in real(*args, **named):
            if next(count, None) is None:
                raise Stopped
            yield batch

    with monkeypatch.context() as patch:
        patch.setattr(running, "batches", some)
        with pytest.raises(Stopped):
            train(settings)


def test_interrupted_runs_end_where_an_unbroken_one_ends(settings_for, tmp_path, pairs_folder, monkeypatch):
    common = {
        "steps": 4, "projector_steps": 2, "checkpoint_every": 1, "ema_decay": 0.5, "lora": {"r": 2},
        "validation": {"pairs": str(pairs_folder), "samples": 4}, "feature_cache": str(tmp_path / "cache"),
    }  # fmt: skip
    straight = tmp_path / "straight"
    train(settings_for(run_dir=str(straight), **common))
    (state,) = straight.glob("checkpoints/step-00000004/state.safetensors")
    assert not any(name.startswith("module/model.tower.") for name in load_file(state))  # it can be had again
    for after, workers in ((1, 0), (5, 2)):  # in the projector's stage, in the main stage
        broken = tmp_path / f"broken-{after}"
        resumed = settings_for(run_dir=str(broken), machine={"workers": workers}, **common)
        interrupt(resumed, after, monkeypatch)
        assert not (broken / "model").exists()
        train(resumed)
        for file in (WEIGHTS, "model/adapter.safetensors"):
            assert (straight / file).read_bytes() == (broken / file).read_bytes()
        for folder in (".", "projector"):
            assert rows_of(straight / folder) == rows_of(broken / folder)
        assert rows_of(straight, "validation.jsonl") == rows_of(broken, "validation.jsonl")


def test_the_encoder_that_is_saved_is_the_one_that_was_trained(settings_for, tmp_path, pairs_folder, capsys):
    settings = settings_for(steps=2, validation={"pairs": str(pairs_folder), "every": 1, "samples": 6})
    folder = train(settings)
    encoder = geolangbind.load_interleaved(folder)
    vectors = encoder.embed([["a field"], ["a lake", geolangbind.GeoPoint(1, 2)]])
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(2))
    told = encoder.provenance
    assert (told["tool"], told["task"], told["steps"], told["seed"]) == ("geolangbind-train", "interleaved", 2, 0)
    assert set(told["sources"]) == {"labels", "captions", "captions-to-image", "sensors"}
    found = rows_of(tmp_path / "run", "validation.jsonl")
    assert [row["step"] for row in found] == [1] * 4 + [2] * 4 and all(0 <= row["precision_1"] <= 1 for row in found)
    captions = next(row for row in found if row["source"] == "captions")
    assert captions["n"] == 6 and captions["precision_1_chance"] >= 1 / 6
    assert train(settings) == folder and "has done its 2 steps before" in capsys.readouterr().err.replace("\n", " ")
    with pytest.raises(SettingsError, match="trained with other settings: hard_negatives=0"):
        train(settings_for(steps=2, hard_negatives=0))


def pairs_to_rank(folder):
    rows = [RankingRow(f"{n}", "", (Text(f"{n}"),), ((Text("a"),), (Text("b"),)), (0,)) for n in range(3)]
    return write_pairs(folder, {}, {"maps": (rows, {})}).folder


def moved_shards(folder, pairs):
    (row,) = pairs.read("captions", [0])
    return write_pairs(folder, {"planet": folder / "moved"}, {"captions": ([row], {})}).folder


def test_held_out_pairs_that_cannot_be_used_fail_before_the_first_step(settings_for, tmp_path, pairs_folder):
    ranked, moved = pairs_to_rank(tmp_path / "ranked"), moved_shards(tmp_path / "lost", Pairs.open(pairs_folder))
    for pairs, told in ((ranked, "source 'maps' of .* holds rows to rank"), (moved, "no index.json|moved")):
        with pytest.raises(DataError, match=f"validation.pairs: .*({told})"):
            train(settings_for(steps=1, projector_steps=1, validation={"pairs": str(pairs)}))
        assert not (tmp_path / "run" / "metrics.jsonl").exists() and not (tmp_path / "run" / "projector").exists()


def test_a_cache_that_does_nothing_for_files_says_so(settings_for, tmp_path, pairs_folder, picture, capsys):
    pixels = np.random.default_rng(0).integers(1, 255, (3, 64, 64), dtype=np.uint8)
    image = Image(picture(tmp_path / "a.png", pixels, "PNG"), sensor="sentinel-2-tci")
    rows = [Row(f"{n}", "", (image, Text(f"{n}")), (Text(f"answer {n}"),)) for n in range(8)]
    folder = write_pairs(tmp_path / "pairs", {}, {"pictures": (rows, {})}).folder
    train(settings_for(pairs=str(folder), steps=1, feature_cache=str(tmp_path / "cache")))
    told = capsys.readouterr().err
    assert "feature_cache keeps what is in shards; the tower sees the image files of pictures anew in every step" in told
    assert "write them to shards" in told and told.count("\n") == 1


def test_the_loss_falls(settings_for, tmp_path):
    train(settings_for(steps=25, optim={"lr": 3e-3}, sources={"captions": {}}, batch_size=8, machine={"precision": "bf16-mixed"}))
    losses = [row["loss"] for row in rows_of(tmp_path / "run")]
    assert sum(losses[-5:]) < 0.6 * sum(losses[:5])


def test_sources_are_chosen_by_name_weight_and_fraction(pairs_folder, settings_for):
    pairs = Pairs.open(pairs_folder)
    everything = choose_sources(pairs, {}, 1.0)
    assert (
        [source.weight for source in everything] == [len(source.rows) for source in everything] == [len(s) for s in pairs.sources.values()]
    )
    (captions,) = choose_sources(pairs, {"captions": SourceChoice(2), "labels": SourceChoice(0)}, 0.5)
    assert captions.name == "captions" and captions.weight == 2 and 0 < len(captions.rows) < len(pairs.sources["captions"])
    with pytest.raises(SettingsError, match="has no 'maps'; it has labels, captions"):
        choose_sources(pairs, {"maps": SourceChoice()}, 1.0)
    assert looking_sources(pairs, settings_for()) == ["labels", "captions", "sensors"]
    with pytest.raises(SettingsError, match="projector_steps needs a source that looks from images to words"):
        looking_sources(pairs, settings_for(sources={"captions-to-image": {}}))


def test_a_small_source_beside_a_large_one_has_a_thousandth_of_its_blocks(tmp_path):
    row = [Row(str(number), "", (Text("q"),), (Text(str(number)),)) for number in range(5000)]
    pairs = write_pairs(tmp_path / "pairs", {}, {"large": (row, {}), "small": (row[:1], {})})
    chosen = choose_sources(pairs, {}, 1.0)
    assert [source.weight for source in chosen] == [5000, pytest.approx(5.001)]
    order = BlockOrder([5000, 1], [source.weight for source in chosen], 2, 1, 0)
    small = sum(taken.source == 1 for step in range(2000) for taken in order.batch(step))
    assert abs(small - 4000 * 5.001 / 5005.001) < 2
    with pytest.raises(SettingsError, match=r"sources.small.weight is 1, 0.0002 of all weights; the finest share is 1/4096: raise it, or"):
        choose_sources(pairs, {"large": SourceChoice(5000), "small": SourceChoice(1)}, 1.0)
    assert [source.weight for source in choose_sources(pairs, {"large": SourceChoice(4095), "small": SourceChoice(1)}, 1.0)] == [4095, 1]
