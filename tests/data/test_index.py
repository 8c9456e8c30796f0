import json

import pytest

from geolangbind.data.index import load_index, save_index
from geolangbind.errors import DataError, GeoLangBindError


def _edit(folder, change):
    path = folder / "index.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def test_saving_what_was_loaded_changes_no_byte(folder):
    before = (folder / "index.json").read_bytes()
    save_index(folder, load_index(folder))
    assert (folder / "index.json").read_bytes() == before


def test_index_holds_what_the_shards_share(folder):
    shard = next(shard for shard in load_index(folder).shards if shard.layout.modality == "msi")
    layout = shard.layout
    assert (layout.sensor, layout.unit, layout.scale, layout.offset) == ("sentinel-2-l2a", "reflectance", 1e-4, 0.0)
    assert (layout.shape, layout.dtype, layout.encoding, shard.gsd_m) == ((4, 6, 8), "uint16", "npy", 10.0)
    assert shard.features["vit"].shape == (4, 3)
    assert shard.features["vit"].provenance == {"weights": "abc"}


def test_features_do_not_change_the_fingerprint(folder):
    index = load_index(folder)
    stripped = json.loads((folder / "index.json").read_text())
    for shard in stripped["shards"]:
        shard["features"] = {}
    (folder / "index.json").write_text(json.dumps(stripped))
    assert load_index(folder).fingerprint == index.fingerprint


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.update(version=99), "version 99"),
        (lambda d: d.update(format="other"), "format other"),
        (lambda d: d.pop("shards"), "damaged"),
        (lambda d: d["shards"].pop(), "fingerprint"),
        (lambda d: d["shards"][0].update(sha256="0" * 64), "fingerprint"),
        (lambda d: d["shards"][0]["keys"].pop(), "damaged"),
        (lambda d: d["shards"][0]["layout"].update(unit="furlong"), "furlong"),
        (lambda d: d["shards"][0]["layout"].update(encoding="exe"), "exe"),
        (lambda d: d["shards"][0]["layout"].update(sensor=["naip"]), "must be strings"),
        (lambda d: d["shards"][0]["layout"].update(shape=[3, 0, 8]), "impossible"),
        (lambda d: d["shards"][0]["keys"].__setitem__(1, d["shards"][0]["keys"][0]), "'s0000' is listed twice"),
        (lambda d: d["shards"][0]["members"]["json"][0].__setitem__(1, 1 << 40), "lies outside its"),
        (lambda d: d["shards"][0]["members"]["json"][0].__setitem__(0, -1), "lies outside its"),
        (lambda d: d["shards"][0]["members"]["json"][0].__setitem__(0, 10**30), "damaged"),
        (lambda d: d["shards"][0].update(file="a" * 300), "no plain file name"),
        (lambda d: d["shards"][0].update(file="../../etc/passwd"), "no plain file name"),
        (lambda d: d["shards"][0]["members"].pop("json"), "do not fit"),
    ],
)
def test_foreign_or_damaged_indexes_are_refused(folder, change, words):
    _edit(folder, change)
    with pytest.raises(GeoLangBindError, match=words):
        load_index(folder)


def test_cut_off_index_and_no_index(folder, tmp_path):
    text = (folder / "index.json").read_text()
    (folder / "index.json").write_text(text[: len(text) // 2])
    with pytest.raises(DataError, match="damaged"):
        load_index(folder)
    with pytest.raises(DataError, match=r"has no index\.json"):
        load_index(tmp_path / "nowhere")
