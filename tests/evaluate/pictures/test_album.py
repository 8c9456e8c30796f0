"""The list of pictures of a results folder."""

import pytest
from matplotlib.figure import Figure
from PIL import Image

from geolangbind.errors import DataError
from geolangbind.evaluate.pictures.album import forget, keep, plain, read_pictures


def figure(color="red"):
    made = Figure(figsize=(1, 1))
    made.subplots().set_facecolor(color)
    return made


def test_pictures_are_kept_with_their_captions_in_order(tmp_path):
    first = keep(tmp_path, "b", figure(), "overview", "B", "what B shows")
    keep(tmp_path, "a", figure(), "alignment", "A", "what A shows")
    assert first == tmp_path / "pictures/b.png"
    assert [(p.path.name, p.section, p.title, p.caption) for p in read_pictures(tmp_path)] == [
        ("b.png", "overview", "B", "what B shows"), ("a.png", "alignment", "A", "what A shows"),
    ]  # fmt: skip


def test_one_of_the_same_name_is_replaced(tmp_path):
    for color, title in (("red", "old"), ("blue", "new")):
        keep(tmp_path, "a", figure(color), "overview", title, "")
    (found,) = read_pictures(tmp_path)
    assert found.title == "new"
    with Image.open(found.path) as picture:
        colors = {color for _, color in picture.convert("RGB").getcolors(10**6)}
    assert (0, 0, 255) in colors and (255, 0, 0) not in colors


def test_forgotten_pictures_are_gone(tmp_path):
    for name in ("results_a", "alignment"):
        keep(tmp_path, name, figure(), "overview", name, "")
    forget(tmp_path, "results_")
    assert [path.name for path in sorted((tmp_path / "pictures").iterdir())] == ["alignment.png", "captions.json"]
    forget(tmp_path / "nothing", "results_")


def test_a_picture_that_somebody_removed_is_not_listed(tmp_path):
    keep(tmp_path, "a", figure(), "overview", "", "").unlink()
    assert read_pictures(tmp_path) == []


@pytest.mark.parametrize("text", ["{", "[1]", '{"a.png": 1}', '{"a.png": {"title": "A"}}'])
def test_a_damaged_list_is_named(tmp_path, text):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures/captions.json").write_text(text)
    with pytest.raises(DataError, match=r"captions\.json is damaged"):
        read_pictures(tmp_path)


def test_a_dollar_sign_begins_no_formula(tmp_path):
    made = figure()
    made.axes[0].set_title(plain(r"$\broken$ {"))
    keep(tmp_path, "a", made, "overview", "", "")
    assert made.axes[0].get_title() == r"\$\broken\$ {"
