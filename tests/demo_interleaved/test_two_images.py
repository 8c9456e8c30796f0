"""Two sensors and two dates."""

from collections import Counter
from dataclasses import replace

from geolangbind.demo_interleaved.split import box_of
from geolangbind.demo_interleaved.two_images import change_rankings, change_rows, two_sensor_rankings, two_sensor_rows
from geolangbind.interleaved.segments import Image, PixelBox
from geolangbind.planet.changes import change_sentences, draw_change

KINDS = {"warehouse": "warehouse", "tank": "storage tank"}


def images(row):
    return [segment.source for segment in row.query if isinstance(segment, Image)]


def test_two_sensors(settings) -> None:
    split = settings.split("train")
    shown = Counter()
    for row in two_sensor_rows(split):
        scene = split.scene(int(images(row)[0].key.rsplit("-", 1)[1]))
        boxes = [segment for segment in row.query if isinstance(segment, PixelBox)]
        (thing,) = [thing for thing in scene.objects if box_of(thing) == boxes[0]]
        assert boxes == [replace(boxes[0], image=number) for number in range(len(images(row)))]  # both sensors have 64 pixels of 10 m
        height = "tall" if thing.height_m >= 22 else "low"
        assert row.target[0].text == f"a {height} {thing.colour} {KINDS[thing.kind]}"
        shown[row.group] += 1
        modalities = {"both": ["rgb", "dem"], "rgb_alone": ["rgb"], "dem_alone": ["dem"]}[row.group]
        assert [image.key.split("-")[0] for image in images(row)] == modalities
        assert [image.shards for image in images(row)] == ["staged" if m == "rgb" else "sensors" for m in modalities]
    assert shown["both"] == shown["rgb_alone"] + shown["dem_alone"] > 10
    both, rgb, dem = two_sensor_rankings(split, 10).values()
    for rows in zip(both, rgb, dem, strict=True):
        assert [len(images(row)) for row in rows] == [2, 1, 1]
        assert len({row.candidates for row in rows}) == len({row.relevant for row in rows}) == 1
        assert len(rows[0].candidates) == len({c[0].text for c in rows[0].candidates}) == 14


def test_changes(settings) -> None:
    split = settings.split("test")
    every = {sentence for kind in ("built", "removed", "swapped") for sentence in change_sentences(kind)}
    for number, row in enumerate(change_rows(split)):
        change = draw_change(split.staged_seed, number)
        earlier, later = images(row)
        assert (earlier.shards, later.shards) == ("staged", "later") and earlier.key == later.key
        assert row.target[0].text == change.sentence and row.true == {f'["{sentence}"]' for sentence in change.others}
    for number, row in enumerate(change_rankings(split, 24, 100)["change"]):
        change = draw_change(split.staged_seed, number)
        texts = [candidate[0].text for candidate in row.candidates]
        assert len(set(texts)) == len(texts) == 100 and set(texts) <= every
        assert [text for text in texts if text in {change.sentence, *change.others}] == [change.sentence]
        assert texts.index(change.sentence) == row.relevant[0]
        assert all(32 <= sum(text in change_sentences(kind) for text in texts) <= 35 for kind in ("built", "removed", "swapped"))
