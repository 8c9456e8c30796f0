"""Sequences: golden files, slots, the forms of boxes and places, and what is refused."""

import datetime as dt
import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from geolangbind.errors import CheckpointError, DataError, SettingsError
from geolangbind.interleaved.prompts import Region, Slot
from geolangbind.interleaved.render import Rendering, centre, render
from geolangbind.interleaved.segments import Date, GeoBox, GeoPoint, Image, ImageFacts, PixelBox, as_segments

GOLDEN = json.loads((Path(__file__).parent / "golden.json").read_text(encoding="utf-8"))
OPTICAL = ImageFacts("sentinel-2-l2a", ("B04",), height=64, width=128, gsd_m=10, date=dt.date(2020, 5, 1))
RADAR = ImageFacts("sentinel-1-grd", ("VV",), height=32, width=32)
IMAGE = Image(None)
CASES = {
    "image, text, box": ([IMAGE, "What is in", PixelBox(32, 16, 64, 64)], [OPTICAL], "Find the phrase."),
    "two adjacent images, box in the second": ([IMAGE, IMAGE, PixelBox(8, 8, 16, 16, image=1)], [OPTICAL, RADAR], ""),
    "point": ([GeoPoint(12.34561, -45.67891)], [], "Find the image of this place."),
    "extent": ([GeoBox(8.5, 47.25, 8.75, 47.5)], [], ""),
    "date": (["a flood on", Date(dt.date(2020, 5, 1))], [], ""),
    "text only": (["Two ponds by a road."], [], ""),
    "image only": ([IMAGE], [RADAR], ""),
}


def grid_of(facts):
    """One token for 32 x 32 pixels."""
    return facts.height // 32, facts.width // 32


def draw(sequence, facts, vocabulary, instruction="", **changed):
    return render(as_segments(sequence), facts, grid_of, vocabulary, Rendering(**changed), instruction)


def spelled(prompt, vocabulary):
    """The ids as tokens, without the marks of word ends."""
    return "".join(vocabulary.core.id_to_token(number) for number in prompt.ids).replace("</w>", "")


@pytest.mark.parametrize("case", CASES)
def test_prompts_equal_the_golden_file(case, vocabulary):
    prompt = draw(*CASES[case][:2], vocabulary, CASES[case][2])
    assert {"text": prompt.text, "ids": list(prompt.ids), "slots": "".join(str(slot) for slot in prompt.slots)} == GOLDEN[case]


def test_the_golden_file_has_no_other_case():
    assert set(GOLDEN) == set(CASES)


def test_ids_spell_the_sequence(vocabulary):
    sequence, facts, instruction = CASES["image, text, box"]
    prompt = draw(sequence, facts, vocabulary, instruction)
    assert spelled(prompt, vocabulary) == (
        "findthephrase.sentinel-2-l2a10m2020-05-01<|vision_start|>" + 8 * "<|image_pad|>" + "<|vision_end|>"
        "whatisin<|box_start|>(250,250),(500,999)<|box_end|><|image_pad|><|endoftext|>"
    )
    assert prompt.grids == ((2, 4),)
    assert prompt.slots.count(Slot.IMAGE) == 8
    assert prompt.slots.index(Slot.REGION) == len(prompt.slots) - 2
    assert prompt.regions == (Region(image=0, x0=0.25, y0=0.25, x1=0.5, y1=1.0),)


def test_slots_are_as_many_as_grids_regions_and_places_say(vocabulary):
    sequence = [IMAGE, PixelBox(0, 0, 9, 9), GeoPoint(1, 2), IMAGE, PixelBox(0, 0, 9, 9, 1), PixelBox(1, 1, 2, 2), GeoBox(1, 2, 3, 4)]
    prompt = draw(sequence, [OPTICAL, RADAR], vocabulary)
    assert len(prompt.ids) == len(prompt.slots)
    assert prompt.slots.count(Slot.IMAGE) == 2 * 4 + 1 * 1
    assert prompt.slots.count(Slot.REGION) == len(prompt.regions) == 3
    assert [region.image for region in prompt.regions] == [0, 1, 0]
    assert prompt.slots.count(Slot.PLACE) == 2
    assert prompt.places == ((1, 2), (3, 2))
    computed = [number for number, slot in zip(prompt.ids, prompt.slots, strict=True) if slot != Slot.TEXT]
    assert set(computed) == {vocabulary.filler}


@pytest.mark.parametrize("facts", [(), ("sensor", "gsd_m", "date")])
def test_adjacent_images_are_kept_apart_by_tokens(vocabulary, facts):
    prompt = draw([IMAGE, IMAGE], [RADAR, RADAR], vocabulary, image_facts=facts)
    assert "<|image_pad|><|vision_end|>" in spelled(prompt, vocabulary)
    assert "<|vision_start|><|image_pad|>" in spelled(prompt, vocabulary)
    first, second = (place for place, slot in enumerate(prompt.slots) if slot == Slot.IMAGE)
    between = prompt.ids[first + 1 : second]
    assert (between[0], between[-1]) == (vocabulary.image_end, vocabulary.image_start)
    assert (len(between) == 2) == (not facts)


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("text", "<image 1x1> <|box_start|>(250,250),(500,500)<|box_end|> latitude 1.0000, longitude 2.0000"),
        ("token", "<image 1x1> <region> <place>"),
        ("both", "<image 1x1> <|box_start|>(250,250),(500,500)<|box_end|> <region> latitude 1.0000, longitude 2.0000 <place>"),
    ],
)
def test_forms_of_boxes_and_places(vocabulary, form, text):
    prompt = draw([IMAGE, PixelBox(8, 8, 16, 16), GeoPoint(1, 2)], [RADAR], vocabulary, box=form, place=form, image_facts=())
    assert prompt.text == text
    assert len(prompt.regions) == len(prompt.places) == (form != "text")
    assert set(prompt.slots) == ({Slot.TEXT, Slot.IMAGE} if form == "text" else set(Slot))
    assert (vocabulary.box[0] in prompt.ids) == (form != "token")


def test_a_vocabulary_without_box_tokens_writes_parentheses(vocabulary):
    bare = replace(vocabulary, box=None)
    sequence = [IMAGE, PixelBox(8, 8, 16, 16)]
    assert draw(sequence, [RADAR], bare, box="text", image_facts=()).text == "<image 1x1> (250,250),(500,500)"
    assert draw(sequence, [RADAR], bare, box="token").slots == draw(sequence, [RADAR], vocabulary, box="token").slots


def test_a_box_may_come_before_its_image(vocabulary):
    assert draw([PixelBox(8, 8, 16, 16), IMAGE], [RADAR], vocabulary).regions[0].image == 0


@pytest.mark.parametrize("spelling", ["<|vision_start|>", "<|image_pad|>", "<end_of_text>", "<|endoftext|>", "<|box_start|>"])
def test_a_caption_cannot_set_special_tokens(vocabulary, spelling):
    prompt = draw([f"a mill {spelling}"], [], vocabulary, f"Find {spelling}")
    assert not any(number >= 8190 for number in prompt.ids[:-1])  # CLIP's start and end, and the special tokens, are last
    assert set(prompt.slots) == {Slot.TEXT}


def test_blanks_around_texts_do_not_matter(vocabulary):
    assert draw(["  a pond\n", " by a mill "], [], vocabulary) == draw(["a pond", "by a mill"], [], vocabulary)
    assert draw(["", "a pond"], [], vocabulary, " ") == draw(["a pond"], [], vocabulary)


def test_what_is_missing_or_outside_is_refused(vocabulary):
    with pytest.raises(DataError, match=r"a box lies in image 1, but the sequence has 1 images \(0 is the first\)"):
        draw([IMAGE, PixelBox(0, 0, 1, 1, image=1)], [RADAR], vocabulary)
    for form in ("text", "token"):
        with pytest.raises(DataError, match="reaches out of its image of 32 x 32 pixels"):
            draw([IMAGE, PixelBox(0, 0, 33, 1)], [RADAR], vocabulary, box=form)
    with pytest.raises(DataError, match="2 images in the sequence, but facts of 1"):
        draw([IMAGE, IMAGE], [RADAR], vocabulary)
    with pytest.raises(DataError, match="something beside blank text"):
        draw(["", " \n"], [], vocabulary, "Find it.")


def test_a_sequence_is_never_cut(vocabulary):
    sequence = [IMAGE, "a road"]  # 1 + 8 + 1 of the image, 2 words, the end
    assert len(draw(sequence, [OPTICAL], vocabulary, image_facts=(), max_length=13).ids) == 13
    with pytest.raises(DataError, match=r"takes 13 tokens \(8 of images\), more than max_length 12; shorten it.*<image 2x4> a road"):
        draw(sequence, [OPTICAL], vocabulary, image_facts=(), max_length=12)


@pytest.mark.parametrize(
    ("box", "middle"),
    [
        ((8, 46, 10, 48), (47, 9)),
        ((170, -10, -160, 10), (0, -175)),
        ((160, 0, -178, 2), (1, 171)),
        ((-180, -90, 180, 90), (0, 0)),
        ((5, 0, 5, 2), (1, 5)),
    ],
)
def test_centre(box, middle):
    assert centre(GeoBox(*box)) == middle


def test_rendering_goes_through_a_checkpoint():
    told = Rendering(box="text", place="token", image_facts=("date",), max_length=99)
    assert Rendering.from_dict(json.loads(json.dumps(asdict(told)))) == told
    assert asdict(Rendering())["serializer"] == "geolangbind-1"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"serializer": "geolangbind-0"}, "rendering.serializer is 'geolangbind-0'; this release knows geolangbind-1"),
        ({"box": "pixels"}, "rendering.box is 'pixels'; this release knows text, token, both"),
        ({"image_facts": ["sensor", "cloud"]}, r"unknown facts \['cloud'\].*known are sensor, gsd_m, date"),
        ({"max_length": "512"}, "whole number of at least 2; got '512'"),
        ({"image_facts": None}, "in another way"),
        ({"colour": 1}, "needs exactly box, image_facts, max_length, place, serializer"),
    ],
)
def test_a_checkpoint_of_another_rendering_is_refused(changed, message):
    with pytest.raises(CheckpointError, match=message):
        Rendering.from_dict({**asdict(Rendering()), **changed})


def test_damaged_or_unusable_settings_are_refused():
    told = asdict(Rendering())
    del told["serializer"]
    with pytest.raises(CheckpointError, match="needs exactly"):
        Rendering.from_dict(told)
    with pytest.raises(CheckpointError, match="needs exactly"):
        Rendering.from_dict(None)
    with pytest.raises(SettingsError, match=r"rendering.place is 'words'"):
        Rendering(place="words")
