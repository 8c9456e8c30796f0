"""The cards of the evaluation sets: what the papers and torchgeo's sources say about them, and nothing that only we would know."""

import ast
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from geolangbind.paths import cards_dir
from geolangbind.sensors import get_sensor
from geolangbind.sources.card import load_card

COLUMNS = {
    "SkyScript": "skyscript-cls/rgb",
    "AID": "aid/rgb",
    "EuroSAT": "eurosat/rgb",
    "fMoW": "fmow/rgb",
    "Million-AID": "million-aid/rgb",
    "PatternNet": "patternnet/rgb",
    "RESISC45": "resisc45/rgb",
    "RSI-CB256": "rsi-cb256/rgb",
    "roof shape": "roof-shape/rgb",
    "road smoothness": "road-smoothness/rgb",
    "road surface": "road-surface/rgb",
    "EuroSAT, multispectral": "eurosat/msi",
    "m-bigearthnet": "m-bigearthnet/msi",
    "m-so2sat": "m-so2sat/msi",
    "m-forestnet": "m-forestnet/msi",
    "RSICD": "rsicd/rgb",
    "RSITMD": "rsitmd/rgb",
    "UCM-captions": "ucm-captions/rgb",
    "MADOS": "mados/msi",
    "m-nz-cattle": "m-nz-cattle/rgb",
    "m-NeonTree": "m-neontree/rgb",
    "Potsdam": "potsdam/rgb",
    "Vaihingen": "vaihingen/cir",
}
"""The paper's 23 evaluations, and the card and view that each is read with."""

SIZES = {  # classes and samples as the papers state them; None where they do not
    "aid": (30, 10_000),
    "eurosat": (10, 27_000),
    "fmow": (62, None),
    "m-bigearthnet": (43, 22_000),
    "m-forestnet": (12, 6464 + 989 + 993),
    "m-neontree": (2, 457),
    "m-nz-cattle": (2, 655),
    "m-so2sat": (17, 19_992 + 986 + 986),
    "mados": (15, 2803),
    "million-aid": (51, 10_000),
    "patternnet": (38, 38 * 800),
    "potsdam": (6, 38),
    "resisc45": (45, 45 * 700),
    "road-smoothness": (0, 500),
    "road-surface": (0, 440),
    "roof-shape": (0, 600),
    "rsi-cb256": (35, 24_747),
    "rsicd": (0, 10_921),
    "rsitmd": (0, 4743),
    "skyscript-cls": (70, None),
    "ucm-captions": (0, 2100),
    "vaihingen": (6, 33),
}

SCENES = ("skyscript-cls", "aid", "eurosat", "fmow", "million-aid", "patternnet", "resisc45", "rsi-cb256")
FINE = {"roof-shape": "building", "road-smoothness": "road", "road-surface": "road"}


@pytest.fixture(scope="module")
def cards():
    return {name: load_card(cards_dir() / name) for name in SIZES}


def torchgeo_source(module):
    """The text of a module of torchgeo.datasets, which takes seconds to import."""
    (folder,) = find_spec("torchgeo").submodule_search_locations
    return Path(folder, "datasets", f"{module}.py").read_text(encoding="utf-8")


def torchgeo_value(module, name):
    """The value of a class attribute that is written out in torchgeo's source."""
    for node in ast.walk(ast.parse(torchgeo_source(module))):
        target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0] if isinstance(node, ast.Assign) else None
        if isinstance(target, ast.Name) and target.id == name:
            return ast.literal_eval(node.value)
    raise AssertionError(f"no {name} in {module}")


def test_the_23_evaluations_have_a_card(cards):
    assert len(COLUMNS) == 23
    for column in COLUMNS.values():
        card, view = column.split("/")
        assert view in cards[card].views
    assert {column.split("/")[0] for column in COLUMNS.values()} == set(SIZES)


@pytest.mark.parametrize("name", SIZES)
def test_classes_and_samples_are_those_of_the_papers(cards, name):
    card, (classes, samples) = cards[name], SIZES[name]
    assert card.name == name and len(card.classes) == classes
    assert None in card.splits.values() if samples is None else sum(card.splits.values()) == samples


@pytest.mark.parametrize("name", SIZES)
def test_no_two_classes_share_a_phrase(cards, name):
    phrases = [phrase for words in cards[name].classes.values() for phrase in words]
    assert len(set(phrases)) == len(phrases) and all(phrase == phrase.strip() and phrase for phrase in phrases)


@pytest.mark.parametrize("name", SIZES)
def test_a_card_names_no_machine_and_no_registry(cards, name):
    text = (cards_dir() / name / "card.yaml").read_text(encoding="utf-8")
    assert not re.search(r"https?:|huggingface|hf\.co|pypi|/home|/work|/tmp|/data\b|\.library", text)
    assert cards[name].contamination and cards[name].licence and text.isascii()
    assert max(map(len, text.splitlines())) <= 150


def test_prompts_are_those_of_the_skyscript_benchmark(cards):
    for name in SCENES:
        assert cards[name].prompts == ("a satellite photo of {}.", "a satellite image of {}")
    for name, thing in FINE.items():
        assert cards[name].prompts == (f"a satellite photo of {thing}, {{}}.", f"a satellite image of {thing}, {{}}")
    assert not any(cards[name].prompts for name in set(SIZES) - set(SCENES) - set(FINE))


def test_tasks(cards):
    assert all(cards[name].tasks == ("zero_shot",) for name in (*SCENES, "m-so2sat", "m-forestnet"))
    assert all(cards[name].tasks == ("fine_grained",) for name in FINE)
    assert cards["m-bigearthnet"].tasks == ("multi_label",)
    for name in ("rsicd", "rsitmd", "ucm-captions"):
        assert cards[name].tasks == ("retrieval",) and cards[name].captions == ("given",)
    for name in ("mados", "m-nz-cattle", "m-neontree", "potsdam", "vaihingen"):
        assert cards[name].tasks == ("segmentation",) and cards[name].captions == ("mask",)


def test_masks_name_every_class_once(cards):
    values = {"mados": range(1, 16), "m-nz-cattle": range(2), "m-neontree": range(2), "potsdam": range(6), "vaihingen": range(6)}
    for name, numbers in values.items():
        assert list(cards[name].mask_classes) == list(numbers)
        assert list(cards[name].mask_classes.values()) == list(cards[name].classes)


def test_what_training_has_seen_is_said(cards):
    for name in ("skyscript-cls", *FINE):
        assert cards[name].contamination[0].startswith("In-domain")
    for name in ("rsicd", "rsitmd", "ucm-captions", "aid"):
        assert "Ret-3" in cards[name].contamination[0]
    for name in ("potsdam", "vaihingen"):
        assert "Seg-4" in cards[name].contamination[0]


def test_class_names_are_those_of_torchgeo(cards):
    for name in ("resisc45", "patternnet"):
        assert list(cards[name].classes) == re.findall(r"^ +\d+\. (\w+)$", torchgeo_source(name), re.MULTILINE)
    assert list(cards["m-so2sat"].classes) == list(torchgeo_value("so2sat", "classes"))
    assert list(cards["m-bigearthnet"].classes) == torchgeo_value("bigearthnet", "class_sets")[43]
    # torchgeo misspells one of them, in this list only
    listed = [name.replace("bapsket", "basket") for name in torchgeo_value("millionaid", "multi_class_categories")]
    assert list(cards["million-aid"].classes) == listed
    for name in ("potsdam", "vaihingen"):
        assert list(cards[name].mask_classes.values()) == list(torchgeo_value(name, "classes"))


@pytest.mark.parametrize(("name", "affix"), [("potsdam", "top_potsdam_{}"), ("vaihingen", "top_mosaic_09cm_{}.tif")])
def test_the_contests_tiles_and_colours_are_those_of_torchgeo(cards, name, affix):
    published = torchgeo_value(name, "splits")
    colours = {number: list(colour) for number, colour in enumerate(torchgeo_value(name, "colormap"))}
    for view in cards[name].views.values():
        options = view.places[-1].options
        for split, ids in options["splits"].items():
            assert {affix.format(each) for each in ids} == set(published[split]) and len(ids) == cards[name].splits[split]
        assert options["mask_colors"] == colours


def test_bands_units_and_pixels(cards):
    eurosat = cards["eurosat"].views["msi"]
    assert eurosat.bands == torchgeo_value("eurosat", "all_band_names")
    assert tuple(f"S2_{band}" for band in cards["m-so2sat"].views["msi"].bands) == torchgeo_value("so2sat", "all_s2_band_names")
    # stored as digital numbers, as reflectance, as 8-bit pictures
    scales = {"eurosat": 1e-4, "m-bigearthnet": 1e-4, "m-so2sat": 1, "mados": 1, "m-forestnet": 1}
    assert {name: cards[name].views["msi"].scale for name in scales} == scales
    assert cards["m-forestnet"].views["msi"].unit == "display_u8" and cards["mados"].views["msi"].unit == "reflectance"
    sides = {"eurosat": 64, "m-bigearthnet": 120, "m-so2sat": 32, "m-forestnet": 332, "mados": 240}
    assert {name: cards[name].views["msi"].size_px for name in sides} == sides


def test_geobench_sets_name_their_classes_in_the_order_of_their_numbers(cards):
    # GEO-Bench's converter of ForestNet; the two others are torchgeo's lists, see above
    forestnet = list(cards["m-forestnet"].classes)
    numbers = {"Oil palm plantation": 0, "Grassland shrubland": 3, "Mining": 7, "Logging": 9, "Other": 11}
    assert {name: forestnet.index(name) for name in numbers} == numbers
    names = cards["m-so2sat"].views["msi"].places[0].options["names"]
    assert {band: name[:2] for band, name in names.items()} == {f"B{number:02}": f"{number:02}" for number in range(2, 9)}


def test_the_aerial_camera_takes_the_names_that_torchgeo_gives_its_channels(cards):
    camera = get_sensor("aerial-rgbnir")
    assert [camera.band(name).name for name in ("red", "green", "blue", "nir")] == ["R", "G", "B", "N"]
    assert cards["vaihingen"].views["cir"].bands == ("N", "R", "G") == tuple(camera.band(name).name for name in ("nir", "red", "green"))
    assert camera.band("R").center_wavelength_um == get_sensor("naip").band("R").center_wavelength_um
