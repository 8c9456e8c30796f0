"""Features on disk: those of the tower, of these shards and of nothing else."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from geolangbind.errors import DataError
from geolangbind.instruct.cache import ensure_features, eye_identity, features_folder, open_features
from geolangbind.instruct.images import Images
from geolangbind.instruct.rows import Pairs, StoredImage
from geolangbind.instruct.run import start_encoder
from geolangbind.interleaved.segments import Image


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


def test_a_failure_leaves_no_folder(tmp_path, encoder, shards, monkeypatch):
    def full(*_):
        raise OSError("disk full")

    monkeypatch.setattr(encoder.model, "vision_features", full)
    with pytest.raises(OSError, match="disk full"):
        ensure_features(tmp_path, encoder, {"planet": shards}, progress=False)
    assert list(tmp_path.iterdir()) == []


def test_a_chip_without_data_is_refused(encoder, shards):
    from dataclasses import replace

    from geolangbind.instruct.images import samples_seen

    sample = shards.streams[0].read(0)
    with pytest.raises(DataError, match=f"every pixel of sample {sample.key} is zero"):
        samples_seen([sample, replace(sample, image=np.zeros_like(sample.image))], encoder)
