"""The cards that ship, on tiny fixtures of the layouts that torchgeo and GEO-Bench read: each comes out as it lies there."""

import pytest

from geolangbind.data.shards import ShardSet
from geolangbind.data.verify import verify
from geolangbind.paths import cards_dir
from geolangbind.sources.build import Options, build
from geolangbind.sources.card import load_card
from geolangbind.sources.readers import torchgeo

# card, view: layout's builder, its arguments, what the card leaves unknown
CASES = {
    ("eurosat", "msi"): ("eurosat", (), {}),
    ("resisc45", "rgb"): ("resisc45", (), {}),
    ("patternnet", "rgb"): ("patternnet", (), {}),
    ("million-aid", "rgb"): ("million_aid", (), {}),
    ("potsdam", "rgb"): ("isprs", ("Potsdam2D",), {}),
    ("potsdam", "rgbnir"): ("isprs", ("Potsdam2D",), {}),
    ("vaihingen", "cir"): ("isprs", ("Vaihingen2D",), {}),
    ("mmflood", "sar"): ("mmflood", (), {"unit": "sigma0_linear", "scale": 1.0, "offset": 0.0}),
    ("so2sat_sar", "sar"): ("so2sat", (), {"unit": "sigma0_linear", "scale": 1.0, "offset": 0.0}),
    ("bigearthnet_sar", "sar"): ("bigearthnet_v2", (), {}),
}


@pytest.mark.parametrize(("name", "view"), CASES)
def test_a_card_reads_the_layout(layouts, tmp_path, name, view):
    if name == "bigearthnet_sar":
        pytest.importorskip("pyarrow")
    builder, arguments, said = CASES[name, view]
    torchgeo._listed.cache_clear()
    (tmp_path / "root").mkdir()
    getattr(layouts("torchgeo"), builder)(tmp_path / "root", *arguments)
    card = load_card(name)
    report = build(card, tmp_path / "root", tmp_path / "out", Options(workers=1, views=(view,), said=said))
    assert report.places[view].startswith("torchgeo: ") and report.skipped == () and report.wordless == 0
    assert verify(tmp_path / "out").ok
    samples = [sample for stream in ShardSet.open(tmp_path / "out").streams for sample in stream.read_many(range(len(stream)))]
    assert len(samples) == report.count > 0
    assert {sample.meta.split for sample in samples} <= {"train", "validation", "test", None}
    labels = {label for sample in samples for label in (sample.meta.labels.get("scene_class"), *sample.meta.labels.get("classes", ()))}
    assert labels - {None} <= set(card.classes)


def test_no_card_is_left_out():
    backed = {(path.parent.name, view.name) for path in cards_dir().glob("*/card.yaml") for view in load_card(path).views.values()
              if any(place.reader == "torchgeo" for place in view.places)}  # fmt: skip
    assert set(CASES) == backed
