"""The tokenizer against open_clip's, its cut vocabulary, cleaning, and its way through a model folder."""

import open_clip
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from open_clip.tokenizer import canonicalize_text

from geolangbind.errors import CheckpointError
from geolangbind.tokenizer import TextTokenizer, canonicalize, clip_tokenizer, tokenizer_from_json, words_of

TEXTS = [
    "",
    " ",
    "a satellite image of a harbour",
    "  Two   spaces,\ttabs\nand newlines  ",
    "It's the farmers' field; they've 12 km2 of wheat (88%)!",
    "SENTINEL-2 L2A B8A @ 10m/px #42",
    "Straße über Zürich, Çeşme, São Paulo, Kraków",
    "ελιές και θάλασσα",
    "水田と山",
    "пшеничное поле",
    "حقل قمح",
    "emoji 🌍🚢 and − minus – dash … dots",
    "naïve café",
    "Zu\u0308rich, decomposed",
    "a_b__c",
    "supercalifragilisticexpialidocious " * 3,
    "I'll we'd you're don't'",
    "½ ² ٣ Ⅷ",
]


@pytest.fixture(scope="module")
def full() -> TextTokenizer:
    return TextTokenizer("clip", clip_tokenizer(), 77)


@pytest.fixture(scope="module")
def small() -> TextTokenizer:
    return TextTokenizer("cut", clip_tokenizer(300), 12, "canonicalize")


@pytest.fixture(scope="module")
def reference():
    return open_clip.SimpleTokenizer(clean="lower")


@pytest.mark.parametrize("text", TEXTS)
def test_equals_open_clip_with_all_merges(full, reference, text):
    assert full([text])[0].tolist() == reference([text])[0].tolist()


def test_a_batch_equals_its_rows(full, reference):
    assert torch.equal(full(TEXTS), reference(TEXTS))
    assert full(TEXTS).dtype == torch.int64


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from("abcdefgXYZ 0123,.;:-'éüøλж水ñ"), max_size=40).map("".join))
def test_equals_open_clip_on_any_mixture(text):
    ours, theirs = TextTokenizer("clip", _FULL, 77), _REFERENCE
    assert ours([text])[0].tolist() == theirs([text])[0].tolist()


_FULL, _REFERENCE = clip_tokenizer(), open_clip.SimpleTokenizer(clean="lower")


@pytest.mark.parametrize("merges", [0, 300, 7678])
def test_a_cut_vocabulary_stays_within_its_size(merges):
    core = clip_tokenizer(merges)
    assert core.get_vocab_size() == merges + 514
    ids = TextTokenizer("cut", core, 200)(TEXTS)
    assert int(ids.max()) == merges + 513  # the end token, last of the vocabulary
    assert int(ids.min()) >= 0


def test_a_cut_vocabulary_loses_no_text():
    for merges in (0, 300):
        tokenizer = TextTokenizer("cut", clip_tokenizer(merges), 100)
        ids = [i for i in tokenizer(["harbour über 水"])[0].tolist() if i]
        text = tokenizer.core.decode(ids[1:-1]).replace("</w>", " ")
        assert text.split() == ["harbour", "über", "水"]


@pytest.mark.parametrize("text", TEXTS)
def test_canonicalize_equals_open_clip(text):
    assert canonicalize(text) == canonicalize_text(text)


def test_canonicalize():
    assert canonicalize("  A Photo, of_the   Sea-Ice!  ") == "a photo of the seaice"
    assert canonicalize("Été\t(2024):\nLac d'Annecy") == "été 2024 lac dannecy"
    assert canonicalize("?!.,;") == ""
    assert words_of("Two ponds; two Roads.") == ["two", "ponds", "two", "roads"]


def test_cleaning_is_applied(small, full):
    assert torch.equal(small(["A  Harbour!"]), small(["a harbour"]))
    assert not torch.equal(full(["a harbour!"]), full(["a harbour"]))


def test_shape_padding_and_special_tokens(small):
    ids = small(["a", "", "a field and a pond and a road and a mill and a lake"])
    start, end = 300 + 512, 300 + 513
    assert ids.shape == (3, 12)
    assert ids[1].tolist() == [start, end] + [0] * 10
    assert ids[0, 0] == start and ids[0, 2] == end and ids[0, 3:].tolist() == [0] * 9
    assert ids[2, 0] == start and ids[2, -1] == end  # cut, but the end stays
    assert small([]).shape == (0, 12)


def test_pad_id_is_the_settings_own():
    assert TextTokenizer("p", clip_tokenizer(10), 6, pad_id=1)([""])[0, 2:].tolist() == [1] * 4


def test_round_trip_through_a_model_folder(small):
    again = tokenizer_from_json(small.to_json(), small.settings())
    assert torch.equal(again(TEXTS), small(TEXTS))
    assert again.settings() == small.settings()
    assert again.to_json() == small.to_json()
    assert small.settings() == {"name": "cut", "context_length": 12, "clean": "canonicalize", "pad_id": 0, "sha256": small.sha256}


def test_another_or_damaged_file_is_refused(small, full):
    with pytest.raises(CheckpointError, match="not the one these weights were trained with"):
        tokenizer_from_json(full.to_json(), small.settings())
    with pytest.raises(CheckpointError, match="SHA-256 differs"):
        tokenizer_from_json(small.to_json()[:-40], small.settings())


@pytest.mark.parametrize("missing", ["name", "context_length", "clean", "pad_id", "sha256"])
def test_missing_settings_are_refused(small, missing):
    told = {key: value for key, value in small.settings().items() if key != missing}
    with pytest.raises(CheckpointError, match=f"damaged.*{missing}"):
        tokenizer_from_json(small.to_json(), told)


def test_unknown_settings_are_refused(small):
    with pytest.raises(CheckpointError, match=r"unknown text cleaning 'upper'.*lower, canonicalize"):
        tokenizer_from_json(small.to_json(), {**small.settings(), "clean": "upper"})
    with pytest.raises(CheckpointError, match="damaged"):
        tokenizer_from_json(small.to_json(), {**small.settings(), "context_length": "many"})
    with pytest.raises(CheckpointError, match="damaged"):
        tokenizer_from_json(small.to_json(), None)
