"""COCO files: boxes as corners, splits, what is left out, what is refused."""

import json

import pytest

from geolangbind.errors import DataError, SettingsError

SHIP, CAR = {"id": 1, "name": "ship"}, {"id": 7, "name": "car"}


def image(number, name, width=100, height=50):
    return {"id": number, "file_name": name, "width": width, "height": height}


def box(number, xywh, category=1, **more):
    return {"image_id": number, "category_id": category, "bbox": xywh, **more}


@pytest.fixture
def write(tmp_path):
    def write(name, images, annotations, categories=(SHIP, CAR)):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
        return path

    return write


def shown(record):
    return [(box.text, box.xyxy) for box in record.boxes]


def test_boxes_become_corners_and_images_without_boxes_stay(write, listing, tmp_path):
    write("annotations/all.json", [image(5, "b.png"), image(6, "sub/a.png")], [box(5, [10, 20, 30, 5]), box(5, [1, 2, 3, 4], 7)])
    found = listing("coco", "annotations/*.json")
    assert shown(found["b"]) == [("ship", (10, 20, 40, 25)), ("car", (1, 2, 4, 6))]
    assert shown(found["sub/a"]) == []
    assert found["sub/a"].image == tmp_path / "images" / "sub" / "a.png"
    assert found["b"].split is None


def test_the_split_stands_in_the_name_of_the_file(write, listing, tmp_path):
    for split in ("train", "val"):
        write(f"annotations/instances_{split}.json", [image(1, f"{split}.jpg")], [])
    found = listing("coco", "annotations/instances_{split}.json", image="{split}2017/{file_name}")
    assert {place: record.split for place, record in found.items()} == {"train": "train", "val": "validation"}
    assert found["val"].image == tmp_path / "val2017" / "val.jpg"


def test_the_card_says_which_file_is_which_split(write, listing):
    for name in ("train2017", "val2017", "test2017", "test_inshore"):
        write(f"{name}.json", [image(1, f"{name[:4]}.jpg")], [])
    found = listing("coco", "*.json", splits={"train": ["train2017", "val2017.json"], "test": "test2017"})
    assert {place: record.split for place, record in found.items()} == {"trai": "train", "val2": "train", "test": "test"}
    for wrong in ("train2017", {"train": 5}, {"train": [5]}):
        with pytest.raises(SettingsError, match="splits must name the annotation files"):
            listing("coco", "*.json", splits=wrong)


def test_the_same_name_in_two_splits_is_two_places(write, listing):
    for split in ("train", "test"):
        write(f"{split}.json", [image(1, "0001.jpg"), image(2, f"{split}.jpg")], [])
    found = listing("coco", "{split}.json", image="{split}/{file_name}")
    assert set(found) == {"train/0001", "test/0001", "train", "test"}
    with pytest.raises(DataError, match=r"1 images are listed twice, as images/0001"):
        listing("coco", "{split}.json")


def test_crowds_and_categories_are_left_out(write, listing):
    write("a.json", [image(1, "a.png")], [box(1, [0, 0, 5, 5], iscrowd=1), box(1, [0, 0, 6, 6], ignore=1), box(1, [0, 0, 7, 7], 7)])
    assert shown(listing("coco", "a.json")["a"]) == [("car", (0, 0, 7, 7))]
    assert shown(listing("coco", "a.json", without=["car"])["a"]) == []
    assert [text for text, _ in shown(listing("coco", "a.json", crowd="keep", without="car")["a"])] == ["ship", "ship"]


def test_polygons_are_boxed_where_there_is_no_bbox(write, listing):
    turned = {"image_id": 1, "category_id": 1, "segmentation": [[10, 5, 20, 15, 15, 20, 5, 10]]}
    two = {"image_id": 1, "category_id": 7, "bbox": [], "segmentation": [[1, 1, 2, 1, 2, 2], [30, 30, 40, 30, 40, 31]]}
    write("a.json", [image(1, "a.png")], [turned, two])
    assert shown(listing("coco", "a.json")["a"]) == [("ship", (5, 5, 20, 20)), ("car", (1, 1, 40, 31))]


def test_boxes_are_clipped_to_the_image(write, listing):
    write("a.json", [image(1, "a.png"), {"id": 2, "file_name": "b.png"}], [box(1, [-3, 40, 200, 30]), box(2, [90, 40, 200, 30])])
    found = listing("coco", "a.json")
    assert shown(found["a"]) == [("ship", (0, 40, 100, 50))]
    assert shown(found["b"]) == [("ship", (90, 40, 290, 70))]  # its size is not known


@pytest.mark.parametrize(
    "wrong", [[100, 0, 5, 5], [0, -9, 5, 9], [3, 3, 0, 5], [3, 3, -2, 5], [float("nan"), 0, 5, 5], [0, 0, float("inf"), 5]]
)
def test_a_box_without_a_part_in_the_image(write, listing, wrong):
    write("a.json", [image(1, "a.png")], [box(1, wrong), box(1, [1, 1, 2, 2])])
    with pytest.raises(DataError, match=r"a.json: a.png: no part of a box 'ship' lies in the image of 100 x 50 pixels"):
        listing("coco", "a.json")
    assert shown(listing("coco", "a.json", bad_boxes="drop")["a"]) == [("ship", (1, 1, 3, 3))]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not readable as JSON"),
        ("[" * 100_000, "not readable as JSON"),
        ("[]", "not as COCO writes it"),
        ('{"annotations": []}', "KeyError 'images'"),
        ('{"images": [{"id": 1}]}', "TypeError"),
        ('{"images": [{"id": 1, "file_name": 5}]}', "not as COCO writes it"),
        ('{"images": [{"id": 1, "file_name": "a"}, {"id": 1, "file_name": "b"}]}', "same id"),
        ('{"images": [{"id": 1, "file_name": "../../a.png"}]}', "leads out of"),
        ('{"images": [], "annotations": [{"image_id": 3}]}', "image 3, which is not listed"),
        ('{"images": [{"id": 1, "file_name": "a"}], "annotations": [{"image_id": 1, "category_id": 9}]}', "a.json: a: category 9"),
        (
            '{"images": [{"id": 1, "file_name": "a"}], "categories": [{"id": 9, "name": "x"}], '
            '"annotations": [{"image_id": 1, "category_id": 9}]}',
            "neither bbox nor polygons",
        ),
        (
            '{"images": [{"id": 1, "file_name": "a"}], "categories": [{"id": 9, "name": "x"}], '
            '"annotations": [{"image_id": 1, "category_id": 9, "bbox": [1, 2, 3]}]}',
            "not as COCO writes it",
        ),
    ],
)
def test_damaged_files(listing, tmp_path, content, message):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(DataError, match=message) as caught:
        listing("coco", "a.json")
    assert "a.json" in str(caught.value) or "leads out" in message


def test_nothing_there_and_unknown_options(listing):
    assert listing("coco", "annotations/*.json") == {}
    with pytest.raises(SettingsError, match=r"no option 'imge' \(did you mean image\?\)"):
        listing("coco", "annotations/*.json", imge="x")
