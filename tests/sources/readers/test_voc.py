"""VOC files: the kinds of regions, splits, and XML that means harm."""

import math
import time

import pytest

from geolangbind.errors import DataError

CORNERS = "<bndbox><xmin>10</xmin><ymin>20.5</ymin><xmax>40</xmax><ymax>25</ymax></bndbox>"


def thing(region, name="ship"):
    return f"<object><name>{name}</name>{region}</object>"


@pytest.fixture
def write(tmp_path):
    def write(path, *objects, filename="a.jpg", size=(100, 50)):
        path = tmp_path / path
        path.parent.mkdir(parents=True, exist_ok=True)
        told = f"<size><width>{size[0]}</width><height>{size[1]}</height></size>" if size else ""
        path.write_text(f"<annotation><filename>{filename}</filename>{told}{''.join(objects)}</annotation>")
        return path

    return write


def shown(record):
    return [(box.text, box.xyxy) for box in record.boxes]


def test_corners_and_images_without_objects(write, listing, tmp_path):
    write("Annotations/a.xml", thing(CORNERS), thing(CORNERS, "car"))
    write("Annotations/b.xml", filename="b.jpg")
    found = listing("voc", "Annotations/*.xml")
    assert shown(found["a"]) == [("ship", (10, 20.5, 40, 25)), ("car", (10, 20.5, 40, 25))]
    assert shown(found["b"]) == []
    assert found["b"].image == tmp_path / "JPEGImages" / "b.jpg"
    assert shown(listing("voc", "Annotations/*.xml", without=["ship"])["a"]) == [("car", (10, 20.5, 40, 25))]


def numbered(tag, names, values):
    return f"<{tag}>{''.join(f'<{name}>{value}</{name}>' for name, value in zip(names, values, strict=True))}</{tag}>"


TURNED = ("cx", "cy", "w", "h", "angle")
QUAD = ("x_left_top", "y_left_top", "x_right_top", "y_right_top", "x_right_bottom", "y_right_bottom", "x_left_bottom", "y_left_bottom")
DIAMOND = (30, 10, 40, 20, 30, 30, 20, 20)


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        (numbered("robndbox", TURNED, (30, 20, 10, 4, 0)), (25, 18, 35, 22)),
        (numbered("robndbox", TURNED, (30, 20, 10, 4, math.pi / 2)), (28, 15, 32, 25)),
        # a square of side s turned by 45 degrees spans s * sqrt 2
        (numbered("robndbox", TURNED, (30, 20, 10, 10, math.pi / 4)), (30 - 50**0.5, 20 - 50**0.5, 30 + 50**0.5, 20 + 50**0.5)),
        (numbered("robndbox", QUAD, DIAMOND), (20, 10, 40, 30)),
        (
            numbered("rotated_bndbox", ("rotated_bbox_cx", *(f"{a}{n}" for n in range(1, 5) for a in "xy")), (30, *DIAMOND)),
            (20, 10, 40, 30),
        ),
        (numbered("polygon", [f"{a}{n}" for n in range(1, 5) for a in "xy"], DIAMOND), (20, 10, 40, 30)),
        ("<points><point>30,10</point><point>40,20</point><point>20,30</point></points>", (20, 10, 40, 30)),
        (CORNERS + numbered("rotated_bndbox", ("x1", "y1"), (0, 0)), (10, 20.5, 40, 25)),
        (numbered("bndbox", ("xmin", "ymin", "xmax", "ymax"), (-4, 40, 500, 500)), (0, 40, 100, 50)),
    ],
)
def test_kinds_of_regions(write, listing, region, expected):
    write("Annotations/a.xml", thing(region))
    ((_, corners),) = shown(listing("voc", "Annotations/*.xml")["a"])
    assert corners == pytest.approx(expected)


def test_splits(write, listing, tmp_path):
    for name in ("a", "b", "c", "d"):
        write(f"Annotations/{name}.xml", filename=f"{name}.png")
    lists = {"train": "ImageSets/Main/train.txt", "test": "ImageSets/Main/test.txt"}
    assert {record.split for record in listing("voc", "Annotations/*.xml", splits=lists).values()} == {None}  # a copy without lists
    (tmp_path / "ImageSets" / "Main").mkdir(parents=True)
    (tmp_path / "ImageSets" / "Main" / "train.txt").write_text("a\nb.png\n")
    with pytest.raises(DataError, match=r"test.txt is missing"):
        listing("voc", "Annotations/*.xml", splits=lists)
    (tmp_path / "ImageSets" / "Main" / "test.txt").write_text("JPEGImages/c.png\n\n")
    found = listing("voc", "Annotations/*.xml", splits=lists)
    assert {name: record.split for name, record in found.items()} == {"a": "train", "b": "train", "c": "test", "d": None}


def test_folders_of_splits_may_use_the_same_names(write, listing, tmp_path):
    for split in ("train", "val"):
        write(f"{split}/Annotations/1.xml", filename="")
    found = listing("voc", "{split}/Annotations/*.xml", image="{split}/images/{stem}.png")
    assert {name: record.split for name, record in found.items()} == {"train/images/1": "train", "val/images/1": "validation"}
    assert found["val/images/1"].image == tmp_path / "val" / "images" / "1.png"
    with pytest.raises(DataError, match="needs filename"):
        listing("voc", "{split}/Annotations/*.xml")


@pytest.mark.parametrize(
    "region",
    [
        "",
        "<bndbox/>",
        "<bndbox><xmin>1</xmin></bndbox>",
        numbered("bndbox", ("xmin", "ymin", "xmax", "ymax"), (1, 2, "x", 4)),
        numbered("bndbox", ("xmin", "ymin", "xmax", "ymax"), (5, 5, 5, 9)),
        numbered("bndbox", ("xmin", "ymin", "xmax", "ymax"), (100, 5, 110, 9)),
        numbered("polygon", ("x1", "y1", "x2", "y2"), (1, 2, 3, 4)),
        "<points><point>1</point></points>",
        numbered("robndbox", TURNED, ("nan", 1, 1, 1, 0)),
    ],
)
def test_regions_that_cannot_be_used(write, listing, region):
    write("Annotations/a.xml", thing(region), thing(CORNERS, "car"))
    with pytest.raises(DataError, match=r"a\.xml"):
        listing("voc", "Annotations/*.xml")
    assert [text for text, _ in shown(listing("voc", "Annotations/*.xml", bad_boxes="drop")["a"])] == ["car"]


BOMB = (
    '<!DOCTYPE a [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY a{n} "{(f"&a{n - 1};" if n else "&a;") * 10}">' for n in range(12))
    + "]><annotation>&a11;</annotation>"
)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (BOMB, "document type"),
        ('<!DOCTYPE a [<!ENTITY f SYSTEM "file:///etc/hostname">]><annotation><filename>&f;</filename></annotation>', "document type"),
        ('<!DOCTYPE annotation SYSTEM "http://example.org/voc.dtd"><annotation/>', "document type"),
        ("<annotation><object>", "not readable as VOC annotation"),
        ("", "not readable as VOC annotation"),
        ('<?xml version="1.0" encoding="martian"?><annotation/>', "not readable as VOC annotation"),
        ("<annotation><size><width>wide</width></size></annotation>", "not readable as VOC annotation"),
        ("<annotation><filename>../../etc/passwd</filename></annotation>", "leads out of"),
    ],
)
def test_xml_that_is_damaged_or_means_harm(listing, tmp_path, content, message):
    (tmp_path / "a.xml").write_text(content)
    start = time.perf_counter()
    with pytest.raises(DataError, match=message):
        listing("voc", "*.xml")
    assert time.perf_counter() - start < 2


def test_nothing_there(listing):
    assert listing("voc", "Annotations/*.xml") == {}
