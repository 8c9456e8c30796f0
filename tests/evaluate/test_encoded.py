"""Encoding once: every sample, in order, with the bands that are asked for."""

from dataclasses import replace

import pytest
import torch

from geolangbind.data.loader import iterate_all
from geolangbind.errors import DataError
from geolangbind.evaluate.embedder import Ours
from geolangbind.evaluate.encoded import encode_batches, encode_streams


@pytest.fixture(scope="module")
def embedder(model):
    return Ours("m", "1", model)


def test_samples_keep_their_order_whatever_the_batch(embedder, streams):
    (stream,) = streams["rgb"]
    one, five = encode_streams(embedder, [stream], batch_size=12), encode_streams(embedder, [stream], batch_size=5)
    torch.testing.assert_close(one.vectors, five.vectors, rtol=0, atol=1e-6)
    samples = stream.read_many(range(12))
    for found in (one, five):
        assert found.keys == tuple(sample.key for sample in samples) and found.captions == tuple(sample.meta.captions for sample in samples)
        assert [dict(row) for row in found.labels] == [sample.meta.labels for sample in samples]
        assert (found.modality, found.sensors, found.bands, len(found)) == ("rgb", ("sentinel-2-tci",), ("R", "G", "B"), 12)
    assert one.revision == five.revision != encode_streams(embedder, streams["sar"]).revision


def test_in_the_order_of_keys_each_sample_keeps_what_belongs_to_it(embedder, streams):
    found = encode_streams(embedder, streams["rgb"])
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0)).tolist()
    moved = {name: tuple(getattr(found, name)[i] for i in order) for name in ("keys", "labels", "captions")}
    again = replace(found, vectors=found.vectors[order], **moved).by_key()
    assert found.keys == tuple(sorted(found.keys)) and torch.equal(again.vectors, found.vectors)
    assert (again.keys, again.labels, again.captions) == (found.keys, found.labels, found.captions)


def test_a_band_subset_is_what_the_model_sees_of_those_bands(embedder, model, streams):
    (stream,) = streams["rgb"]
    found = encode_streams(embedder, [stream], bands=["B", "R"])
    (batch,) = iterate_all(stream, 12)
    with torch.no_grad():
        expected = model.encode_physical(batch.image[:, [2, 0]], batch.channels.subset([2, 0]), batch.sensor, ("B", "R"), batch.valid)
    torch.testing.assert_close(found.vectors, expected, rtol=0, atol=1e-6)
    assert found.bands == ("B", "R") and not torch.allclose(found.vectors, encode_streams(embedder, [stream]).vectors)


def test_what_cannot_be_encoded_together_is_refused(embedder, streams):
    with pytest.raises(DataError, match="streams of one modality are encoded together"):
        encode_streams(embedder, [*streams["rgb"], *streams["sar"]])
    with pytest.raises(DataError, match=r"sentinel-2-tci in .* has no band N; it has R, G, B"):
        encode_streams(embedder, streams["rgb"], bands=["R", "N"])
    with pytest.raises(DataError, match="no sample"):
        encode_batches(embedder, [])
