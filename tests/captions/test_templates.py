"""The files that ship are whole; a broken one is refused with file and key."""

import hashlib
import shutil

import pytest

from geolangbind.captions import boxes, labels, masks, tags
from geolangbind.captions.templates import FOLDER, load_templates, load_words
from geolangbind.errors import SettingsError
from geolangbind.sensors.records import MODALITIES

FORMS = {"one": ("class",), "several": ("classes", "are")}
GOOD = """version: 3
forms:
  one: ["{a_picture} of {class}."]
  several: ["There {are} {classes}.", "{classes}."]
"""


def load(folder, text, tables=()):
    (folder / "rule.yaml").write_text(text, encoding="utf-8")
    return load_templates("rule", FORMS, tables, folder)


@pytest.mark.parametrize(("rule", "module"), [("labels", labels), ("boxes", boxes), ("mask", masks), ("tags", tags)])
def test_shipped_files_are_whole(rule, module):
    loaded = load_templates(rule, module.FORMS, getattr(module, "TABLES", ()))
    digest = hashlib.sha256((FOLDER / f"{rule}.yaml").read_bytes() + (FOLDER / "words.yaml").read_bytes()).hexdigest()
    assert loaded.source == f"{rule}/1:{digest[:6]}"
    assert all(len(loaded.forms[form]) >= 2 for form in module.FORMS)


@pytest.mark.parametrize(
    ("rule", "module", "source"),
    [
        ("labels", labels, "labels/1:07c70d"),
        ("boxes", boxes, "boxes/1:bf2ea5"),
        ("mask", masks, "mask/1:e16dad"),
        ("tags", tags, "tags/1:bbe5e8"),
    ],
)
def test_whoever_changes_a_file_raises_its_version(rule, module, source):
    """words.yaml belongs to all four. The hashes are those of the versions as released."""
    assert load_templates(rule, module.FORMS, getattr(module, "TABLES", ())).source == source


def test_every_modality_has_names_and_none_says_image_of_another():
    pictures = load_words().pictures
    assert set(MODALITIES) <= set(pictures)
    told = {"sar": ("SAR", "radar"), "ir": ("thermal", "infrared"), "hsi": ("hyperspectral",), "dem": ("elevation", "height")}
    for modality, words in told.items():
        assert all(any(word in name for word in words) for name in pictures[modality])
    assert not any(word in name for names in told.values() for word in names for name in pictures["rgb"])


def test_a_good_file(tmp_path):
    loaded = load(tmp_path, GOOD)
    assert loaded.forms == {"one": ("{a_picture} of {class}.",), "several": ("There {are} {classes}.", "{classes}.")}
    assert loaded.source.startswith("rule/3:")


def test_any_change_of_the_file_shows_in_the_source(tmp_path):
    assert load(tmp_path, GOOD).source != load(tmp_path, GOOD + "# more\n").source


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("version: 3\n", "", "must hold exactly version, forms; version is missing"),
        ("version: 3", "version: 0", "version must be a whole number above 0"),
        ("version: 3", "version: yes", "version must be a whole number above 0"),
        ("version: 3", "version: 3\nextra: 1", "extra is missing or unknown"),
        ("  one:", "  two:", "forms must hold exactly one, several; one, two is missing or unknown"),
        ("{class}", "{klass}", "forms.one: .*unknown slot 'klass'; slots are class, picture, a_picture"),
        ("{class}", "{class!r}", "forms.one: .*unknown slot 'class'.* without formats"),
        ("{class}", "{class:>9}", "without formats"),
        ("{class}", "{}", "unknown slot ''"),
        ("{class}", "{class", "forms.one: .*expected '}'"),
        ("{a_picture} of {class}.", "{a_picture}.", "forms.one: .*does not use class"),
        ("{a_picture} of", "A {picture} of", "an article stands before 'picture'"),
        (" of {class}.", " of {class}", "full stop"),
        (" of {class}.", " of  {class}.", "single blanks"),
        ('["{a_picture} of {class}."]', "[]", "forms.one must be a list of texts"),
        ('["{a_picture} of {class}."]', "x", "forms.one must be a list of texts"),
        ('"{classes}."]', '"There {are} {classes}."]', "forms.several holds a text twice"),
        ("  one:", "  yes:", "quote yes and no"),
        ("version: 3", "version: [", "not a file of templates"),
    ],
)
def test_a_broken_file_is_refused_with_file_and_key(tmp_path, old, new, told):
    assert old in GOOD
    with pytest.raises(SettingsError, match=f"rule.yaml: .*{told}"):
        load(tmp_path, GOOD.replace(old, new, 1))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"rule\.yaml: not a file of templates: .*No such file"):
        load_templates("rule", FORMS, (), tmp_path)


@pytest.mark.parametrize("words", ["3", "''", "'{value}'", "'{'", "[a]"])
def test_a_table_holds_words(tmp_path, words):
    with pytest.raises(SettingsError, match=r"features\.key\.value must be words"):
        load(tmp_path, GOOD + f"features:\n  key: {{value: {words}}}\n", ("features",))


def test_words_must_name_every_modality(tmp_path, monkeypatch):
    shutil.copy(FOLDER / "words.yaml", tmp_path)
    text = (tmp_path / "words.yaml").read_text(encoding="utf-8")
    (tmp_path / "words.yaml").write_text(text.replace("  hsi:", "  hyper:"), encoding="utf-8")
    monkeypatch.setattr("geolangbind.captions.templates.FOLDER", tmp_path)
    with pytest.raises(SettingsError, match=r"words\.yaml: pictures needs hsi"):
        load_words.__wrapped__()
