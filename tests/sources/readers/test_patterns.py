import pytest

from geolangbind.errors import DataError, SettingsError
from geolangbind.sources.readers.patterns import fill, find, split_name


@pytest.fixture
def tree(tmp_path):
    names = (
        "train/Forest/a.tif",
        "train/River/b.tif",
        "val/Forest/a.tif",
        "val/Forest/a.txt",
        "x.tif",
        ".trash/Forest/a.tif",
        "deep/er/s1/c/c_1.tif",
    )
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("{split}/{class}/{id}.tif", [("train", "Forest", "a"), ("train", "River", "b"), ("val", "Forest", "a")]),
        ("*/{class}/{id}.tif", [("Forest", "a"), ("River", "b"), ("Forest", "a")]),
        ("train/{class}/a.tif", [("Forest",)]),
        ("**/{id}.tif", [("c_1",), ("a",), ("b",), ("a",), ("x",)]),
        ("**/{id}/{id}_{n}.tif", [("c", "1")]),
        ("{split}/{class}/", [("deep", "er"), ("train", "Forest"), ("train", "River"), ("val", "Forest")]),
        ("nothing/{id}.tif", []),
        ("[train]/{id}.tif", []),  # brackets are letters, not a choice
    ],
)
def test_files_come_sorted_with_what_their_paths_say(tree, pattern, found):
    assert [tuple(said.values()) for _, said in find(tree, pattern)] == found


@pytest.mark.parametrize("pattern", ["/etc/{id}", "../{id}.tif", "a/../../{id}.tif", "~/{id}", "{}/{id}.tif", "{a b}.tif"])
def test_patterns_stay_under_the_root_and_name_what_they_hold(tree, pattern):
    with pytest.raises(SettingsError, match=r"must stay under the root|names nothing"):
        list(find(tree, pattern))


def test_fill(tmp_path):
    assert fill(tmp_path, "m/{split}/{id}.png", {"split": "val", "id": "a"}) == tmp_path / "m/val/a.png"
    with pytest.raises(DataError, match="needs id"):
        fill(tmp_path, "{id}.png", {"id": ""})


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/../../b", "/etc/passwd"])
def test_values_cannot_lead_out_of_the_root(tmp_path, name):
    with pytest.raises(DataError, match="leads out"):
        fill(tmp_path, "{name}" if name.startswith("/") else "img/{name}", {"name": name})


def test_split_names():
    names = ("train", "Training", "val", "valid", "dev", "TEST", "trainval", None)
    assert [split_name(name) for name in names] == ["train", "train", "validation", "validation", "validation", "test", "trainval", None]
