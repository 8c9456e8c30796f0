"""Samples are drawn or built once, and looked at before they are used again."""

from pathlib import Path

import numpy as np
import pytest

from geolangbind.errors import DataError
from geolangbind.evaluate import datasets
from geolangbind.evaluate.datasets import NotThereError, open_source
from geolangbind.evaluate.suite import Source, parse_suite

PLANET = Source(planet={"scenes": 2, "seed": 7, "split": "validation"})


@pytest.fixture
def drawn_once(monkeypatch):
    """How often scenes were drawn."""
    calls = []
    draw = datasets.write_planet

    def write(out, count, seed, **options):
        calls.append(count)
        return draw(out, count, seed, modalities=("dem",), workers=1, progress=False, **options)

    monkeypatch.setattr(datasets, "write_planet", write)
    return calls


def test_scenes_are_drawn_once_and_checked(tmp_path, drawn_once):
    first, again = (open_source(PLANET, tmp_path / "data") for _ in range(2))
    assert drawn_once == [2] and first.fingerprint == again.fingerprint and len(first) == 2
    folder = Path(first.folder)
    assert [path.name for path in (tmp_path / "data").iterdir()] == [folder.name]  # nothing half drawn is left
    folder.rename(folder.with_name(folder.name.replace("-7-", "-8-")))
    with pytest.raises(DataError, match="does not hold 2 scenes of split validation of planet 8; remove it"):
        open_source(Source(planet={**PLANET.planet, "seed": 8}), tmp_path / "data")


def card_source(root, **changes):
    view = {"sensor": "sentinel-2-tci", "bands": ["R", "G", "B"], "unit": "display_u8", "gsd_m": 10}
    card = {"views": {"rgb": {**view, "from": {"files": "{class}/{id}.png"}}}, "prompts": ["a tile of {}"]}
    entry = {"card": card, "tasks": [{"task": "zero_shot", "label": "scene_class"}], **changes}
    return parse_suite({"name": "s", "root": root and str(root), "datasets": {"tiles": entry}}).datasets[0].source


@pytest.fixture
def tiles(tmp_path, picture):
    for number, name in enumerate(("forest", "river")):
        (tmp_path / "root" / "tiles" / name).mkdir(parents=True)
        for copy in range(2):
            picture(tmp_path / "root" / "tiles" / name / f"{copy}.png", np.full((3, 8, 8), 40 * number + copy + 1, np.uint8), "PNG")
    return tmp_path / "root"


def test_a_cards_files_become_shards_that_follow_the_files(tmp_path, tiles, picture):
    kept = tmp_path / "data"
    first = open_source(card_source(tiles), kept)
    assert len(first) == 4 and first.index.provenance["prompts"] == ["a tile of {}"]
    written = {path: path.stat().st_mtime_ns for path in kept.rglob("*.tar")}
    assert open_source(card_source(tiles), kept).fingerprint == first.fingerprint
    assert {path: path.stat().st_mtime_ns for path in kept.rglob("*.tar")} == written
    assert len(open_source(card_source(tiles, limit=2), kept)) == 2
    picture(tiles / "tiles" / "river" / "0.png", np.full((3, 8, 8), 99, np.uint8), "PNG")
    assert open_source(card_source(tiles), kept).fingerprint != first.fingerprint


def test_shards_under_the_root_are_taken_as_they_are(tmp_path, tiles):
    first = open_source(card_source(tiles), tmp_path / "data")
    (tmp_path / "shards").mkdir()
    Path(first.folder).rename(tmp_path / "shards" / "tiles")
    assert open_source(card_source(tmp_path / "shards"), tmp_path / "none").fingerprint == first.fingerprint
    assert not (tmp_path / "none").exists()


def test_what_is_not_there_says_so(tmp_path):
    with pytest.raises(NotThereError, match=r"tiles: say where data sets lie, suite\.root=DIR"):
        open_source(card_source(None), tmp_path)
    with pytest.raises(NotThereError, match="tiles: no folder"):
        open_source(card_source(tmp_path), tmp_path)
    (tmp_path / "tiles").mkdir()
    with pytest.raises(NotThereError, match="tiles: "):
        open_source(card_source(tmp_path), tmp_path / "data")
