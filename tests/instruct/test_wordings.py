"""The shipped wordings, and what a file of one's own must hold."""

import hashlib

import pytest
import yaml

from geolangbind.errors import SettingsError
from geolangbind.instruct.wordings import FILE, draw, load_wordings, pick, pick_some


def test_the_file_names_its_version_and_hash():
    wordings = load_wordings()
    assert wordings.version == f"1:{hashlib.sha256(FILE.read_bytes()).hexdigest()[:6]}"
    assert all(len(texts) >= 3 for texts in wordings.instructions.values())


def test_choice_follows_from_the_name_alone():
    assert draw("a", 1) == int(hashlib.sha256(b"a\x001").hexdigest()[:16], 16)
    chosen = [pick("abc", "row", number) for number in range(300)]
    assert chosen == [pick("abc", "row", number) for number in range(300)]
    assert all(70 < chosen.count(option) < 130 for option in "abc")
    assert sorted(pick_some("abcd", 9, "x")) == list("abcd")
    assert len(set(pick_some("abcd", 2, "x"))) == 2
    assert pick_some("", 2, "x") == []


@pytest.mark.parametrize(
    ("section", "name", "texts", "told"),
    [
        ("instructions", "labels", [], r"instructions.labels must be a list of texts"),
        ("instructions", "labels", ["Name the {thing}."], r"'Name the \{thing\}.' must use no slots"),
        ("texts", "count", ["How many?"], r"texts.count: 'How many\?' must use things"),
        ("texts", "length", ["How long?"], "texts must hold exactly presence"),
    ],
)
def test_a_broken_file_is_told(tmp_path, section, name, texts, told):
    raw = yaml.safe_load(FILE.read_text())
    raw[section][name] = texts
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(raw))
    with pytest.raises(SettingsError, match=told):
        load_wordings(path)


@pytest.mark.parametrize("text", ["version: 1", "[", "{version: x, instructions: {}, targets: {}, texts: {}}"])
def test_no_file_of_wordings(tmp_path, text):
    path = tmp_path / "own.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=r"own.yaml: "):
        load_wordings(path)
