"""Features on disk: those of the tower, of these shards and of nothing else."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from geolangbind.data.shards import ShardSet
from geolangbind.data.write import write_index, write_shard
from geolangbind.errors import DataError
from geolangbind.instruct.cache import (
    ensure_features,
    eye_identity,
    features_folder,
    has_features,
    open_features,
    sources_of_files,
)
from geolangbind.instruct.images import Images
from geolangbind.instruct.rows import Pairs, Row, StoredImage, write_pairs
from geolangbind.instruct.run import start_encoder
from geolangbind.interleaved.segments import Image, Text


@pytest.fixture
def encoder(settings_for):
    torch.manual_seed(0)
    return start_encoder(settings_for())


@pytest.fixture
def shards(pairs_folder):
    return Pairs.open(pairs_folder).shard_sets["planet"]


def test_features_are_what_the_tower_sees(tmp_path, encoder, pairs_folder, shards):
    ensure_features(tmp_path, encoder, {"planet": shards}, progress=False)
    found = open_features(tmp_path, eye_identity(encoder), shards)
    live, cached = (Images(Pairs.open(pairs_folder), encoder, held) for held in (None, {"planet": found}))
    for number, stream in enumerate(shards.streams):
        image = Image(StoredImage("planet", stream.shards[0].keys[2]))
        (ref,), (kept,) = live.refs([image]).values(), cached.refs([image]).values()
        with torch.no_grad():
            seen = encoder.model.vision_features(ref.pixels[None], ref.channels)[0]
        torch.testing.assert_close(kept.features.float(), seen, rtol=1e-3, atol=1e-3)
        assert found.maps[number].shape == (len(stream), *seen.shape) and found.maps[number].dtype == np.float16
        assert live.facts(image) == cached.facts(image) and live.facts(image).sensor == stream.sensor


def test_they_are_computed_once(tmp_path, encoder, shards, monkeypatch):
    ensure_features(tmp_path, encoder, {"planet": shards}, progress=False)
    monkeypatch.setattr(encoder.model, "vision_features", lambda *_: pytest.fail("the tower must not run"))
    ensure_features(tmp_path, encoder, {"planet": shards}, progress=False)
    assert len(list(tmp_path.iterdir())) == 1


def test_another_tower_normalisation_or_size_has_other_features(tmp_path, encoder, settings_for, shards):
    first = eye_identity(encoder)
    ensure_features(tmp_path, encoder, {"planet": shards}, progress=False)
    others = {eye_identity(start_encoder(settings_for(model={"factor": 4, "enlarge": 2})))}
    again = start_encoder(settings_for(backbone={"config": {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}}))
    assert eye_identity(again) == first  # the backbone sees nothing
    with torch.no_grad():
        next(again.model.tower.parameters()).view(-1)[0] += 1e-3
    others.add(eye_identity(again))
    kinds = dict(encoder.tower.statistics.bands)
    kinds.popitem()
    encoder.tower.statistics = type(encoder.tower.statistics)(encoder.tower.statistics.kinds, kinds)
    others.add(eye_identity(encoder))
    assert len(others | {first}) == 4
    for identity in others:
        with pytest.raises(DataError, match=r"cannot use the features in .*No such file.*delete that folder"):
            open_features(tmp_path, identity, shards)


def test_features_that_were_moved_or_cut_are_refused(tmp_path, encoder, shards):
    ensure_features(tmp_path, encoder, {"planet": shards}, progress=False)
    identity = eye_identity(encoder)
    folder = features_folder(tmp_path, identity, shards)
    told = json.loads((folder / "features.json").read_text())
    (folder / "features.json").write_text(json.dumps({**told, "identity": "0" * 64}))
    with pytest.raises(DataError, match="they are of another tower or of other shards"):
        open_features(tmp_path, identity, shards)
    (folder / "features.json").write_text(json.dumps({**told, "facts": told["facts"][:1]}))
    with pytest.raises(DataError, match="they are not one per sample"):
        open_features(tmp_path, identity, shards)


def test_other_images_have_other_features(tmp_path, encoder, shards):
    ensure_features(tmp_path, encoder, {"planet": shards}, progress=False)
    identity, others = eye_identity(encoder), SimpleNamespace(fingerprint="0" * 64, streams=shards.streams)
    with pytest.raises(DataError, match="No such file"):
        open_features(tmp_path, identity, others)
    features_folder(tmp_path, identity, shards).rename(features_folder(tmp_path, identity, others))
    with pytest.raises(DataError, match="they are of another tower or of other shards"):
        open_features(tmp_path, identity, others)


def test_a_failure_costs_no_stream_that_was_whole(tmp_path, encoder, shards, monkeypatch):
    real, runs = encoder.model.vision_features, []

    def fails_at_the_second(*seen):
        runs.append(seen[1])
        if len(runs) == 2:
            raise KeyboardInterrupt
        return real(*seen)

    whole, broken = tmp_path / "whole", tmp_path / "broken"
    ensure_features(whole, encoder, {"planet": shards}, progress=False)
    identity = eye_identity(encoder)
    folder = features_folder(broken, identity, shards)
    monkeypatch.setattr(encoder.model, "vision_features", fails_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        ensure_features(broken, encoder, {"planet": shards}, progress=False)
    assert sorted(file.name for file in folder.iterdir()) == ["stream-000.json", "stream-000.npy"]
    assert not has_features(broken, identity, shards)
    with pytest.raises(DataError, match=r"cannot use the features in .*features.json"):
        open_features(broken, identity, shards)
    ensure_features(broken, encoder, {"planet": shards}, progress=False)
    assert has_features(broken, identity, shards)
    count = len(shards.streams)
    assert len(runs) == count + 1 > 2  # the second twice
    straight = features_folder(whole, identity, shards)
    names = ["features.json", *(f"stream-{number:03d}.npy" for number in range(count))]
    assert [sorted(file.name for file in place.iterdir()) for place in (folder, straight)] == [names, names]
    assert all((folder / name).read_bytes() == (straight / name).read_bytes() for name in names)


def test_a_note_of_something_else_or_cut_off_counts_nothing(tmp_path, encoder, shards, monkeypatch):
    ensure_features(tmp_path, encoder, {"planet": shards}, progress=False)
    folder = features_folder(tmp_path, eye_identity(encoder), shards)
    told = json.loads((folder / "features.json").read_text())
    (folder / "features.json").unlink()
    (folder / "stream-000.json").write_text(json.dumps({**told, "identity": "0" * 64, "facts": told["facts"][0]}))
    (folder / "stream-001.json").write_text(json.dumps(told)[:20])
    real, runs = encoder.model.vision_features, []
    monkeypatch.setattr(encoder.model, "vision_features", lambda *seen: runs.append(seen[1]) or real(*seen))
    ensure_features(tmp_path, encoder, {"planet": shards}, progress=False)
    assert len(runs) == len(shards.streams) and json.loads((folder / "features.json").read_text()) == told


@pytest.mark.parametrize(("empty", "told"), [((1,), ""), ((1, 4), "4 samples cannot be used: "), (range(6), "10 samples .* may be more: ")])
def test_bad_samples_are_named_together(tmp_path, encoder, shards, empty, told):
    records, keys = [], []
    for stream in [stream for stream in shards.streams if len(stream) >= 6][:2]:
        samples = stream.read_many(range(6))
        keys += [samples[number].key for number in empty]
        chosen = [replace(one, image=np.zeros_like(one.image)) if n in empty else one for n, one in enumerate(samples)]
        records.append(write_shard(tmp_path / "chips" / f"{stream.modality}-000000.tar", chosen))
        if len(empty) == 1:
            break
    write_index(tmp_path / "chips", records)
    every = "; ".join(f"every pixel of sample {key} is zero: [^;]*; leave it out of the shards" for key in keys[:10])
    with pytest.raises(DataError, match=f"^{told}{every}$"):
        ensure_features(tmp_path / "cache", encoder, {"chips": ShardSet.open(tmp_path / "chips")}, progress=False)


def test_sources_with_images_in_files_are_found(tmp_path, shards):
    key = shards.streams[0].shards[0].keys[0]
    held, file = (Image(StoredImage("planet", key)),), (Image(tmp_path / "a.png", sensor="sentinel-2-tci"),)
    sources = {
        "shards": [Row("1", "", held, (Text("a"),))],
        "words": [Row("1", "", (Text("a"),), (Text("b"),))],
        "some": [Row(f"{n}", "", file if n > 60 else held, (Text("a"),)) for n in range(80)],
        "negatives": [Row("1", "", held, (Text("a"),), negatives=(file,))],
    }
    pairs = write_pairs(tmp_path / "pairs", {"planet": "planet"}, {name: (rows, {}) for name, rows in sources.items()})
    assert sources_of_files(pairs, list(sources)) == ["some", "negatives"]


def test_a_chip_without_data_is_refused(encoder, shards):
    from geolangbind.instruct.images import samples_seen

    sample = shards.streams[0].read(0)
    with pytest.raises(DataError, match=f"every pixel of sample {sample.key} is zero"):
        samples_seen([sample, replace(sample, image=np.zeros_like(sample.image))], encoder)
