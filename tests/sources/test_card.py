import pytest
import yaml

from geolangbind.errors import SensorError, SettingsError, UnitError
from geolangbind.sensors.units import Unit
from geolangbind.sources.card import list_cards, load_card

VIEW = {"sensor": "sentinel-2-l2a", "from": {"files": "{id}.tif"}}
CARD = {"name": "x", "title": "t", "tasks": ["train"], "licence": "unknown", "source": "s", "revision": "unknown", "views": {"msi": VIEW}}


def load(tmp_path, **changes):
    path = tmp_path / "card.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in {**CARD, **changes}.items() if value is not ...}))
    return load_card(path)


def view(**changes):
    return {"views": {"msi": {**VIEW, **changes}}}


def test_a_card_is_found_by_file_folder_and_name(tmp_path):
    card = load(tmp_path)
    assert load_card(tmp_path) == card
    assert load_card("eurosat") == load_card("datasets/eurosat") and "eurosat" in list_cards()
    with pytest.raises(SettingsError, match="did you mean eurosat"):
        load_card("eurosta")


@pytest.mark.parametrize("name", list_cards())
def test_cards_that_ship_parse_and_are_named_after_their_folder(name):
    assert load_card(name).name == name


def test_unknown_is_no_value(tmp_path):
    card = load(
        tmp_path,
        splits={"train": 10, "test": "unknown"},
        **view(unit="unknown", gsd_m="unknown", size_px="unknown", scale=0.1, bands="unknown"),
    )
    msi = card.views["msi"]
    assert (msi.unit, msi.gsd_m, msi.size_px, msi.scale, msi.bands) == (None, None, None, 0.1, None)
    assert card.splits == {"train": 10, "test": None}


def test_names_are_brought_to_the_records(tmp_path):
    msi = load(tmp_path, **view(sensor="s2-l2a", bands=["B4", "B8a"], unit="reflectance")).views["msi"]
    assert (msi.sensor, msi.bands, msi.unit) == ("sentinel-2-l2a", ("B04", "B8A"), Unit.REFLECTANCE)


def test_a_sensor_file_beside_the_card(tmp_path):
    (tmp_path / "cam.yaml").write_text(
        "{name: cam, title: c, modality: rgb, product_level: none, unit: display_u8, scale: 1, offset: 0, sources: [test],"
        " bands: [{name: R, center_wavelength_um: 0.65}]}"
    )
    assert load(tmp_path, **view(sensor="cam.yaml")).views["msi"].sensor == str(tmp_path / "cam.yaml")


def test_words(tmp_path):
    card = load(tmp_path, classes={"SeaLake": ["open water", "a lake"]})
    assert (card.words("SeaLake"), card.words("dense_forest")) == ("open water", "dense forest")


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"licence": ...}, SettingsError, "needs 'licence'"),
        ({"tasks": ["training"]}, SettingsError, "tasks: 'training' is unknown.*did you mean train"),
        ({"clases": {}}, SettingsError, "unknown key 'clases'.*did you mean classes"),
        ({"splits": {"train": -1}}, SettingsError, "train must be a whole number above 0"),
        ({"classes": {"a": "b"}}, SettingsError, r"classes\.a must be a list"),
        ({"mask_classes": {300: "x"}}, SettingsError, "300"),
        ({"prompts": ["an image"]}, SettingsError, "one {} each"),
        ({"captions": ["label"]}, SettingsError, "did you mean labels"),
        ({"views": {}}, SettingsError, "at least one view"),
        ({"views": {"a-b": VIEW}}, SettingsError, "letters, digits"),
        (view(**{"from": {"file": "x"}}), SettingsError, "names one reader"),
        (view(**{"from": [{"files": "x", "table": "y"}]}), SettingsError, "names one reader"),
        (view(fit="crop"), SettingsError, "fit: 'crop' is unknown"),
        (view(fit="tile"), SettingsError, "needs size_px"),
        (view(scale="1e-4"), SettingsError, "0.0001 rather than 1e-4"),
        (view(sensor="sentinel-9"), SensorError, "sentinel-9"),
        (view(bands=["B99"]), SensorError, "B99"),
        (view(unit="metres"), UnitError, "metres"),
    ],
)
def test_wrong_cards_are_refused_in_one_line(tmp_path, changes, error, message):
    with pytest.raises(error, match=message) as caught:
        load(tmp_path, **changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["[1", "- a", "3", "!!python/object/apply:os.system [x]", "\0", "a: &a [*a]"])
def test_what_is_no_card(tmp_path, text):
    (tmp_path / "card.yaml").write_text(text)
    with pytest.raises(SettingsError):
        load_card(tmp_path)
