import pytest

from geolangbind.errors import DataError, SettingsError
from geolangbind.sources.card import Place
from geolangbind.sources.readers.files import records


@pytest.fixture
def source(tmp_path):
    for name in ("img/Forest/f1.tif", "img/Forest/f2.tif", "img/River/r1.tif", "lab/f1.png", "txt/f1.txt", "txt/f2.txt", "txt/r1.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("A forest.\n\n A wood from above. \n")
    return tmp_path


def read(root, spec, **options):
    return {record.place: record for record in records(root, Place("files", spec, options), None, None)}


def test_paths_say_class_mask_and_captions(source):
    found = read(source, "img/{class}/{id}.tif", mask="lab/{id}.png", caption="txt/{id}.txt")
    assert {name: record.classes for name, record in found.items()} == {"f1": ("Forest",), "f2": ("Forest",), "r1": ("River",)}
    assert found["f1"].mask == source / "lab/f1.png"
    assert [(c.text, c.source) for c in found["f1"].captions] == [("A forest.", "given:f1.txt"), ("A wood from above.", "given:f1.txt")]


@pytest.mark.parametrize("line", ["f1", "f1.tif", "img/Forest/f1.tif"])
def test_split_lists_name_samples_in_any_of_the_usual_ways(source, line):
    (source / "train.txt").write_text(f"{line}\n")
    (source / "test.txt").write_text("r1\n")
    found = read(source, "img/{class}/{id}.tif", splits={"train": "train.txt", "test": "test.txt"})
    assert {name: record.split for name, record in found.items()} == {"f1": "train", "f2": None, "r1": "test"}


def test_all_split_lists_or_none(source):
    assert {r.split for r in read(source, "img/{class}/{id}.tif", splits={"train": "train.txt", "test": "test.txt"}).values()} == {None}
    (source / "train.txt").write_text("f1\n")
    with pytest.raises(DataError, match=r"test\.txt is missing, while other"):
        read(source, "img/{class}/{id}.tif", splits={"train": "train.txt", "test": "test.txt"})


def test_ids_that_repeat_in_every_folder_are_no_names(source):
    (source / "img/River/f1.tif").touch()
    assert sorted(read(source, "img/{class}/{id}.tif")) == [
        "img/Forest/f1.tif",
        "img/Forest/f2.tif",
        "img/River/f1.tif",
        "img/River/r1.tif",
    ]


def test_not_there_is_empty_and_a_wrong_option_has_its_nearest(source):
    assert read(source, "images/{id}.tif") == {}
    with pytest.raises(SettingsError, match="did you mean mask"):
        read(source, "img/{class}/{id}.tif", masks="lab/{id}.png")


def test_captions_that_are_no_text(source):
    (source / "txt/f2.txt").write_bytes(b"caf\xe9")
    with pytest.raises(DataError, match=r"f2\.txt: is no UTF-8 at byte 3"):
        read(source, "img/{class}/{id}.tif", caption="txt/{id}.txt")
