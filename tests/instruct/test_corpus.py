"""What is read of samples without their pixels."""

import pytest

from geolangbind.data.shards import ShardSet
from geolangbind.errors import DataError
from geolangbind.instruct.corpus import read_corpus
from geolangbind.interleaved.segments import GeoPoint, PixelBox


def test_every_sample_is_seen_with_its_facts(planet):
    corpus, fingerprints = read_corpus({"earth": planet})
    held = ShardSet.open(planet)
    assert fingerprints == {"earth": held.fingerprint}
    assert len(corpus.samples) == len(held) == 48
    first = corpus.samples[0]
    assert first.meta == held.streams[0].read(0).meta
    assert (first.id, first.place, first.modality) == ("earth/rgb-3-0000000", ("earth", "3-0000000"), "rgb")
    assert {sample.modality for sample in corpus.by_place["earth", "3-0000005"]} == {"rgb", "sar"}
    assert corpus.words("harbour") == ("harbour", "harbor", "port with ships", "port")
    assert corpus.words("Dense_Forest") == ("dense forest",)


def test_boxes_are_cut_to_the_image(chip, corpus_of):
    boxes = [(-3, 2, 4, 20, "storage_tank"), (20, 0, 30, 4, "ship"), (5, 5, 5, 9, "car"), (0, 0, 4, 4, " ")]
    (sample,) = corpus_of([chip("a", boxes=boxes)]).samples
    assert sample.boxes == ((PixelBox(0, 2, 4, 16), "storage tank"),)


@pytest.mark.parametrize(
    ("bbox", "point"),
    [(None, None), ((10, 40, 12, 44), GeoPoint(42, 11)), ((179, -2, -177, 2), GeoPoint(0, -179)), ((176, -2, -178, 2), GeoPoint(0, 179))],
)
def test_the_middle_of_an_image_also_across_the_antimeridian(chip, corpus_of, bbox, point):
    assert corpus_of([chip("a", bbox=bbox)]).samples[0].point == point


def test_things_are_short_words_of_several_images(chip, corpus_of):
    texts = [("ship", "a ship beside the long pier", "crane"), ("ship", "a ship beside the long pier", "ship")]
    samples = [chip(f"a-{n}", boxes=[(k, 0, k + 1, 4, text) for k, text in enumerate(row)]) for n, row in enumerate(texts)]
    assert corpus_of(samples).things == {"ship"}


def test_only_samples_of_the_split(chip, corpus_of, tmp_path):
    corpus = corpus_of([chip("a", split="train"), chip("b", split="test")], split="train")
    assert [sample.stored.key for sample in corpus.samples] == ["a"]
    with pytest.raises(DataError, match="no sample of split 'x'"):
        read_corpus({"chips": tmp_path / "chips"}, split="x")
