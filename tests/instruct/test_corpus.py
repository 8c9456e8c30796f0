"""What is read of samples without their pixels."""

import pytest

from geolangbind.data.shards import ShardSet
from geolangbind.data.write import write_index, write_shard
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


@pytest.fixture
def folders_of(chip, tmp_path):
    """`folders_of(s1={"s1-1": bbox}, s2={...})`: the corpus of folders with chips of 16 px that lie there; None for nowhere."""

    def make(**folders):
        for name, chips in folders.items():
            samples = [chip(key, bbox=bbox) for key, bbox in chips.items()]
            write_index(tmp_path / name, [write_shard(tmp_path / name / "s-000000.tar", samples)])
        return read_corpus({name: tmp_path / name for name in folders})[0]

    return make


def places_of(corpus):
    return [sorted(sample.id for sample in samples) for samples in corpus.by_place.values()]


def test_folders_share_the_places_whose_keys_end_alike_and_whose_positions_agree(folders_of):
    """16 px over 0.16 degrees: a pixel is 0.01."""
    corpus = folders_of(
        s1={"s1-1": (10, 40, 10.16, 40.16), "s1-2": (20, 40, 20.16, 40.16), "s1-3": None, "s1-4": (30, 0, 30.16, 0.16)},
        s2={"s2-1": (10.009, 40, 10.169, 40.151), "s2-2": (20.02, 40, 20.18, 40.16), "s2-3": None, "s2-4": None, "old-4": None},
        s3={"s3-1": (10, 40, 10.16, 40.16), "s3-2": (20.02, 40, 20.18, 40.16), "s3-5": (10, 40, 10.16, 40.16)},
    )
    assert places_of(corpus) == [
        ["s1/s1-1", "s2/s2-1", "s3/s3-1"],
        ["s1/s1-2"], ["s1/s1-3"], ["s1/s1-4"],
        ["s2/s2-2", "s3/s3-2"], ["s2/s2-3"], ["s2/old-4", "s2/s2-4"],
        ["s3/s3-5"],
    ]  # fmt: skip
    assert {sample.place for sample in corpus.samples if sample.id.endswith("-1")} == {("s1", "1")}


def test_positions_agree_across_the_antimeridian_and_for_all_that_say_one(folders_of):
    corpus = folders_of(
        a={"a-1": (179.9, 0, -179.94, 0.16), "b-2": (5, 5, 5.16, 5.16), "c-2": (6, 5, 6.16, 5.16)},
        b={"a-1": (-180 + 359.905, 0, -179.945, 0.16), "b-2": (5, 5, 5.16, 5.16)},
    )
    assert places_of(corpus) == [["a/a-1", "b/a-1"], ["a/b-2", "a/c-2"], ["b/b-2"]]


def test_only_samples_of_the_split(chip, corpus_of, tmp_path):
    corpus = corpus_of([chip("a", split="train"), chip("b", split="test")], split="train")
    assert [sample.stored.key for sample in corpus.samples] == ["a"]
    with pytest.raises(DataError, match="no sample of split 'x'"):
        read_corpus({"chips": tmp_path / "chips"}, split="x")
