"""Region rows: every phrase and every wrong candidate checked against the scene by other means than the grammar's."""

import math
import re
from collections import Counter

import pytest

from geolangbind.demo_interleaved.regions import (
    SENSORS,
    TRAINED_TURNS,
    phrases_in,
    questions,
    referring_rankings,
    referring_rows,
    region_rankings,
    region_rows,
    sensor_rankings,
    sensor_rows,
)
from geolangbind.demo_interleaved.split import box_of, text_key
from geolangbind.instruct.segments_json import key_of
from geolangbind.planet.regions import GROUPS, VISIBLE, WORDS
from geolangbind.planet.shapes import line_to

KIND = {word: kind for kind, word in WORDS.items()}
TOWARDS = {"north": -math.pi / 2, "south": math.pi / 2, "east": 0.0, "west": math.pi}


def rank_of(thing, others, value):
    return sorted(others, key=value).index(thing)


def holds(scene, thing, phrase):
    """Whether the phrase holds, at the middle of what the grammar calls unclear; None where that is a matter of taste."""
    word = WORDS[thing.kind]
    rest = [other for other in scene.objects if other is not thing]
    if found := re.fullmatch(rf"a (small|medium|large) (compact |elongated )?(white |grey |blue |red )?({word})", phrase):
        size, shape, colour, _ = found.groups()
        slim = thing.width_m / thing.length_m < 0.675
        return size == thing.size and (not shape or slim == (shape == "elongated ")) and (not colour or colour.strip() == thing.colour)
    if found := re.fullmatch(r"the (second )?(north|south|east|west)ernmost (.+)", phrase):
        second, side, of = found.groups()
        axis, sign = (1, 1) if side in ("north", "south") else (0, 1)
        sign = -1 if side in ("south", "east") else sign
        return ranked(scene, thing, of, second, lambda other: sign * other.center_m[axis])
    if found := re.fullmatch(r"the (second )?(largest|smallest) (.+)", phrase):
        second, end, of = found.groups()
        sign = -1 if end == "largest" else 1
        return ranked(scene, thing, of, second, lambda other: sign * other.length_m * other.width_m)
    if found := re.fullmatch(rf"the {word} nearest to the (road|river)", phrase):
        if scene.spec.layout != {"road": "highway", "river": "river"}[found[1]]:
            return None if found[1] == "road" else False
        same = [other for other in scene.objects if other.kind == thing.kind]
        return rank_of(thing, same, lambda other: abs(line_to(scene, *other.center_m))) == 0
    if found := re.fullmatch(rf"a {word} whose nearest neighbour is a (.+)", phrase):
        return min(rest, key=lambda other: math.dist(other.center_m, thing.center_m)).kind == KIND[found[1]]
    if found := re.fullmatch(rf"a {word} (north|south|east|west) of a (.+)", phrase):
        return any(lies(thing, other, found[1]) for other in rest if other.kind == KIND[found[2]])
    return False


def ranked(scene, thing, of, second, value):
    others = [other for other in scene.objects if of in ("object", WORDS[other.kind])]
    return thing in others and rank_of(thing, others, value) == bool(second)


def lies(thing, other, side):
    dx, dy = thing.center_m[0] - other.center_m[0], thing.center_m[1] - other.center_m[1]
    off = (math.atan2(dy, dx) - TOWARDS[side] + math.pi) % (2 * math.pi) - math.pi
    return math.hypot(dx, dy) < 255 and abs(off) < math.pi / 4


def scenes_by_key(split, modality="rgb"):
    return {f"{modality}-{split.staged_seed}-{index:07d}": split.scene(index) for index in range(split.staged)}


def boxed(scene, box, modality="rgb"):
    (thing,) = [thing for thing in scene.objects if box_of(thing, modality) == box]
    return thing


def test_every_phrase_is_true_and_what_else_is_true_is_listed(settings) -> None:
    split = settings.split("train")
    scenes, checked = scenes_by_key(split), 0
    for row in (row for group in GROUPS for row in region_rows(split, group, 2)):
        image, _, box = row.query
        scene = scenes[image.source.key]
        thing, (target,) = boxed(scene, box), row.target
        assert holds(scene, thing, target.text), target.text
        for group in GROUPS:
            for phrase in phrases_in("rgb", group):
                if phrase != target.text and holds(scene, thing, phrase):
                    assert text_key(phrase) in row.true, phrase
                    checked += 1
    assert checked > 500


def test_half_are_relational_and_half_of_these_name_a_landmark(settings) -> None:
    trained = [question.group for question in questions(settings.split("train"), "referring", range(40), 8, turns=TRAINED_TURNS)]
    asked = [question.group for question in questions(settings.split("test"), "region", range(40), 8)]
    assert min(len(trained), len(asked)) >= 150
    for groups in (trained, asked):
        for end in (7, 50, len(groups)):  # at any point, so for any share of the data
            counts = Counter(groups[:end])
            relational = end - counts["attribute"]
            assert relational >= end / 2 and counts["landmark"] >= relational / 2
    assert asked.count("attribute") > 0.4 * len(asked) and trained.count("attribute") > 0.2 * len(trained)


def test_a_source_has_one_group_and_a_scene_the_same_words(settings) -> None:
    for group in GROUPS:
        rows = list(region_rows(settings.split("train"), group, 3))
        assert {row.group for row in rows} == {group} and len({row.id for row in rows}) == len(rows)
        by_scene = Counter(row.query[0].source.key for row in rows)
        assert max(by_scene.values()) <= 3
        assert len({(row.query[0].source.key, row.instruction) for row in rows}) == len(by_scene)


@pytest.mark.parametrize("name", ["validation", "test"])
def test_no_wrong_candidate_of_a_region_is_true(settings, name) -> None:
    split = settings.split(name)
    scenes = scenes_by_key(split)
    rankings = region_rankings(split, 24, 100)
    assert {source: len(rows) for source, rows in rankings.items()} == {f"region_{group}": 24 for group in GROUPS}
    for source, rows in rankings.items():
        for row in rows:
            thing = boxed(scenes[row.query[0].source.key], row.query[2])
            texts = [candidate[0].text for candidate in row.candidates]
            assert len(set(texts)) == len(texts) <= 100
            right = [place for place, text in enumerate(texts) if holds(scenes[row.query[0].source.key], thing, text)]
            assert right == list(row.relevant), (source, thing)
            assert set(texts) <= set(phrases_in("rgb", row.group))


def test_referring(settings) -> None:
    split = settings.split("train")
    scenes = scenes_by_key(split)
    for row in referring_rows(split, 2):
        image, phrase = row.query
        scene = scenes[image.source.key]
        keys = {key_of((image, box_of(thing))): thing for thing in scene.objects}
        assert holds(scene, boxed(scene, row.target[1]), phrase.text)
        assert not any(holds(scene, boxed(scene, box), phrase.text) for _, box in row.negatives)
        assert {row.target_key, *row.true, *map(key_of, row.negatives)} == keys.keys()
    same, across = referring_rankings(split, 20, 30).values()
    for near, far in zip(same, across, strict=True):
        image, phrase = near.query
        scene = scenes[image.source.key]
        right = [place for place, (_, box) in enumerate(near.candidates) if holds(scene, boxed(scene, box), phrase.text)]
        assert right == list(near.relevant) and len(near.candidates) > 1
        assert far.query == near.query and len(far.candidates) == 30
        assert set(map(key_of, near.candidates)) <= set(map(key_of, far.candidates))
        assert key_of(far.candidates[far.relevant[0]]) == key_of(near.candidates[right[0]])


def test_sensors_are_asked_for_nothing_they_do_not_show(settings) -> None:
    split = settings.split("train")
    seen = {modality: scenes_by_key(split, modality) for modality in SENSORS}
    counts = Counter()
    for row in (row for group in GROUPS for row in sensor_rows(split, group, 2)):
        image, _, box = row.query
        modality, text = image.source.key.split("-")[0], row.target[0].text
        thing = boxed(seen[modality][image.source.key], box, modality)
        assert thing.kind in VISIBLE[modality] and holds(seen[modality][image.source.key], thing, text)
        assert not re.search(r"\b(red|white|grey|blue)\b", text)
        assert not any(re.search(rf"\b{word}\b", text) for word, kind in KIND.items() if kind not in VISIBLE[modality])
        assert image.source.shards == "sensors"
        counts[modality] += 1
    assert min(counts[modality] for modality in SENSORS) >= 10
    for modality in SENSORS:
        rankings = sensor_rankings(split, 10, 100)
        for row, same in zip(rankings[f"sensors_{modality}"], rankings[f"sensors_{modality}_asked_of_rgb"], strict=True):
            assert same.candidates == row.candidates and same.relevant == row.relevant
            assert same.query[0].source.key.replace("rgb", modality) == row.query[0].source.key
            ratio = 2 if modality == "hsi" else 1  # HSI has pixels of 20 m
            assert same.query[2].x1 == pytest.approx(row.query[2].x1 * ratio, abs=0.011)


def test_a_lone_thing_is_not_wrongly_called_the_northernmost(settings) -> None:
    split, met = settings.split("train"), 0
    for asked in questions(split, "region", range(40), 8):
        if sum(other.kind == asked.thing.kind for other in asked.scene.objects) == 1:
            assert f"the northernmost {WORDS[asked.thing.kind]}" in asked.others
            met += 1
    assert met > 10
