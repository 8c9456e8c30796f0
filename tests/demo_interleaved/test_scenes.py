"""Classes and captions: what no one can tell apart is never wrong."""

import pytest

from geolangbind.demo_interleaved.scenes import caption_rankings, caption_rows, class_rankings, class_rows, meaning, meanings
from geolangbind.planet.groups import CLASSES, GROUPS, ceiling
from geolangbind.planet.language import class_phrases, sentences

CLASS_OF = {phrase: name for name in CLASSES for phrase in class_phrases(name)}


def alike(a, b):
    return any({a, b} <= set(group) for group in GROUPS["rgb"])


def test_class_rows(settings) -> None:
    split = settings.split("train")
    for number, row in enumerate(class_rows(split)):
        scene_class, (target,) = split.ordinary_scene(number).scene_class, row.target
        assert CLASS_OF[target.text] == scene_class == row.group
        right = {f'["{phrase}"]' for phrase, name in CLASS_OF.items() if alike(name, scene_class)}
        assert row.true | {row.target_key} == right


def test_class_rankings(settings) -> None:
    rows = class_rankings(settings.split("test"), 48)["scene_class"]
    for row in rows:
        names = [CLASS_OF[candidate[0].text] for candidate in row.candidates]
        assert sorted(names) == sorted(CLASSES)
        assert [place for place, name in enumerate(names) if alike(name, row.group)] == list(row.relevant)
    # 48 scenes hold each class twice; a constant scorer gets the share of right candidates, a perfect one everything
    paired = 24 - (2 * round(24 * ceiling("rgb")) - 24)
    assert sum(len(row.relevant) for row in rows) / len(rows) == pytest.approx(1 + paired / 24)


def test_what_a_scene_says_is_among_its_meanings(settings) -> None:
    split = settings.split("train")
    scenes = [split.ordinary_scene(number) for number in range(48)]
    all_held = [meanings(scene) for scene in scenes]
    for scene, held in zip(scenes, all_held, strict=True):
        assert {meaning(scene, one) for one in sentences(scene, "rgb", 20)} <= held
        for other, also_held in zip(scenes, all_held, strict=True):
            if not alike(other.scene_class, scene.scene_class):
                assert not held & also_held
            elif other.season != scene.season:
                # what names the other's season is wrong here
                assert not any(f"season {other.season}" in said for said in held)


def test_caption_rows_and_rankings(settings) -> None:
    split = settings.split("test")
    for number, row in enumerate(caption_rows(split)):
        scene = split.ordinary_scene(number)
        assert row.target[0].text in [one.text for one in sentences(scene, "rgb", 5)]
        assert row.target_key not in row.true and row.true | {row.target_key} == meanings(scene)
    texts: dict[str, set[str]] = {}
    for scene in map(split.ordinary_scene, range(split.ordinary)):
        one = sentences(scene, "rgb", 1)[0]
        texts.setdefault(one.text, set()).add(meaning(scene, one))
    for number, row in enumerate(caption_rankings(split, 24, 30)["caption"]):
        (right,) = row.relevant
        held = meanings(split.ordinary_scene(number))
        assert 25 <= len(row.candidates) <= 30
        for place, candidate in enumerate(row.candidates):
            assert (place == right) == bool(texts[candidate[0].text] & held)
