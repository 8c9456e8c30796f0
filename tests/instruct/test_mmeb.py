"""Rows of MMEB: in and out again as they were, and a word on what does not fit."""

import datetime as dt
from pathlib import Path

import pytest

from geolangbind.errors import DataError
from geolangbind.instruct.mmeb import read_row, write_row
from geolangbind.instruct.row import RankingRow, Row
from geolangbind.instruct.segments_json import StoredImage
from geolangbind.interleaved.segments import Date, GeoPoint, Image, PixelBox, Text

TRAINING = {
    "qry": "<|image_1|>\nRepresent the given image with the following question: Is there a ship?\n",
    "qry_image_path": "images/a.jpg",
    "pos_text": "yes",
    "pos_image_path": "",
    "neg_text": "",
    "neg_image_path": "",
}
EVALUATION = {
    "qry_inst": "<|image_1|>\nFind a caption of the image.",
    "qry_text": "",
    "qry_img_path": "images/a.jpg",
    "tgt_inst": "",
    "tgt_text": ["a ship", "a tank", "two tanks "],
    "tgt_img_path": ["", "", ""],
}
TO_IMAGES = {**EVALUATION, "qry_inst": "Find the image.", "qry_text": "a ship", "qry_img_path": ""}


def opened(path):
    return Image(Path("/data") / path)


def picture(image):
    if isinstance(image.source, StoredImage):
        return f"images/{image.source.key}.png", 100, 200
    return image.source.relative_to("/data").as_posix(), 100, 200


@pytest.mark.parametrize(
    "raw",
    [
        TRAINING,
        {**TRAINING, "qry": "before<|image_1|>after", "neg_text": "no"},
        {**TRAINING, "qry": "a ship at sea\n", "qry_image_path": "", "pos_text": "<|image_1|>\nRepresent it.\n", "pos_image_path": "b.jpg"},
        {**TRAINING, "qry": "<|image_1|>", "neg_text": "<|image_1|> or this", "neg_image_path": "c/d.png"},
        EVALUATION,
        {**EVALUATION, "qry_text": " what is it?", "tgt_inst": "One of these:"},
        {**EVALUATION, "qry_inst": "", "qry_text": "<|image_1|>\nName it.\n"},
        {**TO_IMAGES, "tgt_inst": "<|image_1|>\nRepresent it.", "tgt_text": ["", " at night"], "tgt_img_path": ["b.jpg", "c.jpg"]},
        {**TO_IMAGES, "tgt_text": ["<|image_1|>\nIt.", "x"], "tgt_img_path": ["b.jpg", ""]},
    ],
)
def test_a_row_comes_out_as_it_came_in(raw):
    assert write_row(read_row(raw, "1", opened), picture) == raw


def test_a_row_to_train_on():
    row = read_row({**TRAINING, "neg_text": "no", "neg_image_path": None}, "7", opened)
    assert isinstance(row, Row)
    assert (row.id, row.instruction) == ("7", "")
    assert row.query[0].source == Path("/data/images/a.jpg")
    assert row.query[1] == Text("\nRepresent the given image with the following question: Is there a ship?\n")
    assert (row.target, row.negatives) == ((Text("yes"),), ((Text("no"),),))


@pytest.mark.parametrize("marked", ["<|image_1|> Find a caption of the image.", "Find a caption of the image."])
def test_a_row_to_rank(marked):
    """However the instruction marks the image, it comes first; the first candidate is right."""
    row = read_row({**EVALUATION, "qry_inst": marked}, "7", opened)
    assert isinstance(row, RankingRow)
    assert row.instruction == "Find a caption of the image."
    assert [type(segment) for segment in row.query] == [Image]
    assert row.candidates == ((Text("a ship"),), (Text("a tank"),), (Text("two tanks "),))
    assert row.relevant == (0,)


def test_rows_of_the_first_evaluation_have_no_instructions():
    raw = {name: value for name, value in EVALUATION.items() if not name.endswith("inst")} | {"qry_text": "<|image_1|>\nName it.\n"}
    row = read_row(raw, "1", opened)
    assert (row.instruction, row.candidate_instruction, row.query[1]) == ("", "", Text("\nName it.\n"))


def test_what_the_format_lacks_becomes_text():
    image = Image(StoredImage("planet", "rgb-1"))
    row = Row(
        "a", "What is it?", (image, Text("see"), PixelBox(20, 10, 40, 100), Date(dt.date(2020, 5, 1))),
        (Text("a ship at"), GeoPoint(-1.5, 20)), "A phrase.", ((Text("a tank"),), (Text("a car"),)),
    )  # fmt: skip
    assert write_row(row, picture) == {
        # 20 of 200 and 10 of 100 pixels are bin 100 of 1000; 40 of 200 bin 200; the border is the last bin
        "qry": "<|image_1|>\nWhat is it?\nsee <|box_start|>(100,100),(200,999)<|box_end|> 2020-05-01",
        "qry_image_path": "images/rgb-1.png",
        "pos_text": "A phrase.\na ship at latitude -1.5000, longitude 20.0000",
        "pos_image_path": "",
        "neg_text": "A phrase.\na tank",
        "neg_image_path": "",
    }


def test_the_right_candidate_goes_first_and_further_right_ones_go():
    row = RankingRow("a", "Which?", (Text("q"),), tuple((Text(word),) for word in "abcd"), (1, 3))
    assert write_row(row, picture)["tgt_text"] == ["b", "a", "c"]


@pytest.mark.parametrize(
    ("sequence", "told"),
    [
        ((opened("a"), opened("b")), "more than one image"),
        ((Text("see <|image_2|>"),), "the mark of an image"),
    ],
)
def test_what_cannot_be_written_is_told(sequence, told):
    with pytest.raises(DataError, match=told):
        write_row(Row("a", "", sequence, (Text("t"),)), picture)


def test_a_box_needs_the_size_of_its_image():
    with pytest.raises(DataError, match="whose size cannot be read"):
        write_row(Row("a", "", (opened("a"), PixelBox(0, 0, 1, 1)), (Text("t"),)), lambda image: ("a", 0, 0))


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        ({**TRAINING, "label": 1}, "unknown field 'label'; fields are qry, "),
        ({**TRAINING, "qry": 5}, "'qry' is text, got 5"),
        ({**TRAINING, "pos_text": ""}, "both empty"),
        ({**TRAINING, "qry_image_path": ""}, "marks an image, but its path is empty"),
        ({**TRAINING, "pos_image_path": "b.jpg"}, r"'yes' has an image, but no <\|image_1\|>"),
        ({**TRAINING, "qry": "<|image_1|> and <|image_2|>"}, "marks more than one image"),
        ({**TRAINING, "qry": "<|image_2|>"}, "marks more than one image"),
        ({**EVALUATION, "tgt_text": ["a"]}, "tgt_text has 1 candidates, tgt_img_path 3"),
        ({**EVALUATION, "tgt_text": []}, "'tgt_text' is a list of at least one text"),
        ({**EVALUATION, "tgt_text": ["a", None, "b"]}, "both empty"),
    ],
)
def test_what_cannot_be_read_is_told(raw, told):
    with pytest.raises(DataError, match=told):
        read_row(raw, "1", opened)
