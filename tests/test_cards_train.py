"""The cards of the training sources, and of the zero-shot sets for radar, hyperspectral, thermal and elevation images."""

import re
from pathlib import Path

import pytest
import yaml

from geolangbind.paths import cards_dir
from geolangbind.sensors import get_sensor
from geolangbind.sensors.units import Unit
from geolangbind.sources.card import load_card

TRAIN = (
    "seg4", "det10", "ret3", "vrsbench", "skyscript", "flair2", "chatearthnet", "chatearthnet_sar", "mmflood", "sar_ship_hrsid",
    "sar_ship_ssdd", "sar_ship_air", "nlcd_enmap", "ir_ship", "hit_uav",
)  # fmt: skip
PROPOSED = ("eurosat_sar", "so2sat_sar", "bigearthnet_sar", "enmap_corine", "ssl4eo_l_thermal", "geonrw", "geomorphons")
CARDS = (*TRAIN, *PROPOSED)

# sizes of the subsets in GeoLangBind's published source, with Ret3 of its log
SUBSETS = {
    "Skyscript": 3 * 303_778 + 2 * 303_777, "Seg4": 41_172, "Det10": 110_800, "Ret3": 13_718, "VRS_train": 20_264,
    "Flair2_rgb_train": 61_711, "Flair2_elevation_train": 61_711, "IR_ship": 18_032, "ChatEarthNet_S2_train": 95_620,
    "ChatEarthNet_SAR_train": 95_620, "MMflood_sar_train": 6_181, "SAR_ship": 5_984, "NLCD_hyper": 15_000,
}  # fmt: skip


def text_of(name: str) -> str:
    return (cards_dir() / name / "card.yaml").read_text(encoding="utf-8")


def repeated_keys(node: yaml.Node) -> list[str]:
    """YAML keeps the last of two equal keys without a word."""
    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value]
        inner = [key for _, value in node.value for key in repeated_keys(value)]
        return [key for key in set(keys) if keys.count(key) > 1] + inner
    return [key for item in node.value for key in repeated_keys(item)] if isinstance(node, yaml.SequenceNode) else []


@pytest.mark.parametrize("name", CARDS)
def test_a_card_is_whole(name):
    card = load_card(name)
    assert card.name == name and len(card.sha256) == 64
    facts = (card.title, card.licence, card.source, card.revision, card.product_level, card.citation, *card.contamination, *card.notes)
    assert all(fact.strip() and "\n" not in fact for fact in facts)
    assert card.notes and card.splits, "counts are stated, be it as unknown"
    assert ("train" in card.tasks) == (name in TRAIN)
    for view in card.views.values():
        sensor = get_sensor(view.sensor)
        assert view.bands is None or len(set(view.bands)) == len(view.bands) <= len(sensor.bands)
        assert view.places
    assert not repeated_keys(yaml.compose(text_of(name)))


@pytest.mark.parametrize("name", CARDS)
def test_a_card_names_no_place_of_a_machine(name):
    assert not re.search(r"(^|[\s\"'])(/|~/|file:|[A-Z]:\\)|localhost|pypi|conda", text_of(name))


@pytest.mark.parametrize("name", CARDS)
def test_words_for_classes_are_told_apart(name):
    card = load_card(name)
    phrases = [phrase for words in card.classes.values() for phrase in words]
    assert len(phrases) == len(set(phrases)) and all(card.classes.values())
    masks = list(card.mask_classes.values())
    assert len(masks) == len(set(masks))
    if "mask" in card.captions:
        assert masks and (not card.classes or set(masks) == set(card.classes))
    if {"zero_shot", "multi_label"} & set(card.tasks):
        assert len(card.classes) >= 4, "a test needs words to choose from"


def test_the_cards_account_for_every_sample_of_the_published_corpus():
    counted = [found for name in TRAIN for found in re.findall(r"GeoLangBind-2M counts ([\d,]+) samples as (\w+)", text_of(name))]
    assert {subset: int(count.replace(",", "")) for count, subset in counted} == SUBSETS
    assert len(counted) == len(SUBSETS), "each subset belongs to one card"
    assert sum(SUBSETS.values()) == 2_064_701


@pytest.mark.parametrize(
    ("name", "subset"),
    [("seg4", "Seg4"), ("det10", "Det10"), ("ret3", "Ret3"), ("vrsbench", "VRS_train"), ("skyscript", "Skyscript"), ("ir_ship", "IR_ship")],
)
def test_training_splits_are_the_published_subsets_where_nothing_else_is_known(name, subset):
    assert load_card(name).splits["train"] == SUBSETS[subset]


@pytest.mark.parametrize(
    ("name", "total"),
    [
        ("vrsbench", 29_614), ("chatearthnet", 163_488), ("mmflood", 1_748), ("hit_uav", 2_898), ("sar_ship_hrsid", 5_604),
        ("sar_ship_ssdd", 1_160), ("flair2", 77_762), ("eurosat_sar", 27_000), ("bigearthnet_sar", 480_038), ("ssl4eo_l_thermal", 25_000),
        ("geonrw", 7_783),
    ],
)  # fmt: skip
def test_splits_add_up_to_what_the_publisher_counts(name, total):
    assert sum(count or 0 for count in load_card(name).splits.values()) == total


def test_shares_of_the_hyperspectral_and_thermal_splits():
    splits = load_card("nlcd_enmap").splits
    assert [splits[name] / 13_500 for name in ("train", "validation", "test")] == [0.75, 0.10, 0.15]
    splits = load_card("ssl4eo_l_thermal").splits
    assert [splits[name] / 25_000 for name in ("train", "validation", "test")] == [0.70, 0.15, 0.15]


def test_stored_numbers_become_physical_ones():
    thermal = load_card("ssl4eo_l_thermal").views["ir"]
    assert thermal.unit is Unit.BRIGHTNESS_TEMPERATURE_K and thermal.scale is not None and thermal.offset is not None
    assert (thermal.offset, 256 * thermal.scale + thermal.offset) == pytest.approx((273.15 - 25, 273.15 + 45))
    height = load_card("flair2").views["elevation"]
    assert height.unit is Unit.HEIGHT_M and height.scale == pytest.approx(51 / 255)


@pytest.mark.parametrize("name", ["nlcd_enmap", "enmap_corine"])
def test_hyperspectral_views_hold_the_good_bands(name):
    view = load_card(name).views["hsi"]
    assert view.bands == tuple(band.name for band in get_sensor("enmap-l2a").good_bands) and len(view.bands) == 202


def test_flair_views_share_their_files():
    card = load_card("flair2")
    assert card.views["rgb"].places == card.views["elevation"].places
    assert set(card.views["rgb"].bands or ()) < set(card.views["rgb"].places[0].options["channels"])
    assert get_sensor("ndsm").bands[0].name == card.views["rgb"].places[0].options["channels"][4]


def test_unknown_units_are_left_to_the_user():
    unknown = {name for name in CARDS for view in load_card(name).views.values() if view.unit is None}
    assert unknown == {
        "chatearthnet", "chatearthnet_sar", "mmflood", "ir_ship", "so2sat_sar",
    }  # fmt: skip


def test_radar_pictures_claim_neither_band_nor_polarisation():
    sensor = get_sensor("sar-picture")
    assert (sensor.modality, sensor.unit, len(sensor.bands)) == ("sar", Unit.DISPLAY_U8, 1)
    assert sensor.bands[0].frequency_ghz is None and sensor.bands[0].polarization is None
    views = [load_card(name).views["sar"] for name in ("sar_ship_hrsid", "sar_ship_ssdd", "sar_ship_air")]
    assert all((view.sensor, view.bands) == ("sar-picture", ("amplitude",)) for view in views)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ret3", ("RSICD", "RSITMD", "UCM-captions", "in-domain")),
        ("seg4", ("Potsdam", "Vaihingen", "DOTA")),
        ("det10", ("DIOR", "DOTA", "VRSBench")),
        ("vrsbench", ("DOTA-v2", "DIOR", "DET-10")),
        ("skyscript", ("SkyScript-cls", "in-domain")),
        ("flair2", ("same pixels",)),
        ("chatearthnet", ("WorldCover",)),
        ("chatearthnet_sar", ("Same places", "WorldCover")),
        ("sar_ship_hrsid", ("overlap",)),
        ("nlcd_enmap", ("in-domain",)),
        ("hit_uav", ("zero-shot",)),
        ("eurosat_sar", ("Same places",)),
        ("so2sat_sar", ("m-so2sat",)),
        ("bigearthnet_sar", ("m-bigearthnet",)),
        ("enmap_corine", ("nlcd_enmap",)),
    ],
)
def test_known_overlap_is_stated(name, words):
    stated = " ".join(load_card(name).contamination)
    assert not [word for word in words if word not in stated]


def test_the_page_on_zero_shot_sets_names_every_one():
    page = Path(__file__).resolve().parents[1] / "docs" / "zero_shot_beyond_rgb.md"
    text = page.read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)`.*\| ([^|]+) \|[^|]+\|$", text, flags=re.MULTILINE))
    assert set(rows) == {*PROPOSED, "nlcd_enmap", "hit_uav"} and len(text.splitlines()) <= 60
    for name, count in rows.items():
        expected = load_card(name).splits["test"]
        assert count == ("to be drawn" if name == "geomorphons" else "unknown" if expected is None else f"{expected:,}")
