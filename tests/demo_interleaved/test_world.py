"""The world on disk: whole, the same again, and no scene in two splits."""

import numpy as np
import pytest
import torch

from geolangbind.demo_interleaved.wordings import WORDINGS
from geolangbind.demo_interleaved.world import WorldSettings, rankings, rows, write_world
from geolangbind.errors import SettingsError
from geolangbind.instruct.ranking import SequenceModel, rank
from geolangbind.instruct.row import row_to_json
from geolangbind.instruct.rows import stored_images
from geolangbind.instruct.segments_json import StoredImage, key_of

SMALL = WorldSettings(
    staged=4, sensors=2, changed=2, ordinary=3, held_out=3, held_out_sensors=1, held_out_changed=1, held_out_ordinary=3, queries=3
)  # fmt: skip


def test_the_world_is_whole(tmp_path) -> None:
    world = write_world(tmp_path, SMALL, workers=1, progress=False)
    for pairs in world.values():
        pairs.verify()  # every row is one and every image it names lies in the shards
    train = world["train"]
    assert {
        "region_landmark",
        "sensors_size",
        "referring",
        "place",
        "place_to_image",
        "scene_class",
        "caption",
        "two_sensors",
        "change",
    } <= train.sources.keys()
    counts = {name: sum(len(stream) for stream in shards.streams) for name, shards in train.shard_sets.items()}
    assert counts == {"staged": 4, "sensors": 3 * 2, "later": 2, "ordinary": 3}
    sample = train.sample(StoredImage("staged", f"rgb-{3 * SMALL.seed}-0000001"))
    scene = SMALL.split("train").scene(1)
    assert len(sample.meta.boxes) == len(scene.objects)
    for box, thing in zip(sample.meta.boxes, scene.objects, strict=True):
        assert box.xyxy == pytest.approx([metres / 10 for metres in thing.box_m], abs=0.0051)
        assert thing.size in box.text and (thing.kind not in ("warehouse", "tank") or thing.colour in box.text)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    write_world(tmp_path, SMALL, workers=1, progress=False)
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}


def test_rows_are_the_same_again_and_splits_share_no_scene(settings, ranked) -> None:
    first, again = (rows(settings.split("train"), settings) for _ in range(2))
    made = {"train": {source: list(found) for source, found in first.items()}, "test": ranked}
    for source, found in again.items():
        assert list(map(row_to_json, found)) == list(map(row_to_json, made["train"][source]))
    keys = {}
    for name, sources in {**made, "validation": rankings(settings.split("validation"), settings)}.items():
        for found in sources.values():
            assert len({row.id for row in found}) == len(found)
        keys[name] = {image.key.split("-", 1)[1] for found in sources.values() for row in found for image in stored_images(row)}
    assert not keys["train"] & keys["test"] and not keys["train"] & keys["validation"] and not keys["validation"] & keys["test"]


def test_a_constant_scorer_is_at_chance(ranked) -> None:
    """Whoever always takes the first candidate is right as often as one of n is: candidates stand in an order drawn anew."""
    instructions = {row.instruction for found in ranked.values() for row in found}
    assert instructions <= {wordings[0] for wordings in WORDINGS.values()}
    for source, found in ranked.items():
        expected = sum(len(row.relevant) / len(row.candidates) for row in found)
        hits = sum(row.relevant[0] == 0 for row in found)
        spread = sum(len(row.relevant) / len(row.candidates) * (1 - len(row.relevant) / len(row.candidates)) for row in found) ** 0.5
        assert abs(hits - expected) <= 4 * max(spread, 0.5), source


def test_a_model_that_tells_nothing_apart_is_at_chance_and_one_that_knows_is_right(ranked) -> None:
    """Of every task, through what scores the models."""
    for source, queries in ranked.items():
        found = rank(queries, SequenceModel("constant", "", "", lambda sequences, _: torch.eye(1, 8).repeat(len(sequences), 1)))
        np.testing.assert_allclose(found.values[:, 0], found.chance[:, 0], atol=1e-12, err_msg=source)
        for row in queries[:5]:  # one by one: what is asked twice of a box has two answers
            knows = {key_of(row.query), *(key_of(row.candidates[place]) for place in row.relevant)}

            def oracle(sequences, instruction, knows=knows):
                return torch.eye(2)[[int(key_of(sequence) in knows) for sequence in sequences]]

            assert rank([row], SequenceModel("oracle", "", "", oracle)).values[0, 0] == 1, (source, row.id)


def test_more_of_a_part_than_of_the_whole() -> None:
    with pytest.raises(SettingsError, match="changed is 9, more than the 4 scenes of staged"):
        WorldSettings(staged=4, sensors=1, changed=9)
