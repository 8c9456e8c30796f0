"""The tiny vocabulary, tokenizers laid out as Qwen's are, special tokens spelled in texts, and the way through a model folder."""

import copy

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from geolangbind.errors import CheckpointError
from geolangbind.interleaved.vocabulary import tiny_vocabulary, vocabulary_from_json, vocabulary_of

SPELLED = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|box_start|>", "<|endoftext|>", "<end_of_text>", "<start_of_text>"]


def qwen_like(*special, marked=True):
    """A byte-level tokenizer without merges, 256 ids and the special tokens behind them."""
    alphabet = {letter: number for number, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    core = Tokenizer(models.BPE(alphabet, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.add_tokens([AddedToken(token, special=marked, normalized=False) for token in special])
    core.enable_truncation(4)
    core.enable_padding(length=4)
    return core


VISION = ("<|endoftext|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>")


def test_tiny_has_clips_head_and_six_special_tokens(vocabulary):
    assert vocabulary.size == 7678 + 514 + 6
    special = {vocabulary.image_start, vocabulary.image_end, vocabulary.filler, vocabulary.eos, *vocabulary.box}
    assert special == set(range(8192, 8198))
    assert vocabulary.pad == vocabulary.eos
    assert vocabulary.core.id_to_token(vocabulary.filler) == "<|image_pad|>"
    assert [vocabulary.core.id_to_token(number) for number in vocabulary.box] == ["<|box_start|>", "<|box_end|>"]


def test_encode_adds_nothing(vocabulary):
    ids = vocabulary.encode("A harbour")
    assert vocabulary.core.decode(list(ids)).replace("</w>", " ").split() == ["a", "harbour"]
    assert vocabulary.encode("") == ()
    assert vocabulary.encode("12") == (*vocabulary.encode("1"), *vocabulary.encode("2"))  # digits stay apart


@pytest.mark.parametrize("spelling", SPELLED)
@pytest.mark.parametrize("way", ["made", "reloaded", "copied"])
def test_a_special_token_spelled_in_a_text_is_text(vocabulary, spelling, way):
    match way:
        case "reloaded":
            vocabulary = vocabulary_from_json(vocabulary.to_json(), vocabulary.settings())
        case "copied":
            vocabulary = copy.deepcopy(vocabulary)  # through __reduce__, as to another process
    ids = vocabulary.encode(f"a mill {spelling} and a pond")
    named = {vocabulary.core.token_to_id(token) for token in SPELLED}
    assert not set(ids) & (named | set(range(8192, 8198)))
    assert vocabulary.core.decode(list(ids)).replace("</w>", "").replace(" ", "") == f"amill{spelling}andapond"


def test_qwens_tokens_are_found_by_name():
    core = qwen_like(*VISION, "<|box_start|>", "<|box_end|>")
    vocabulary = vocabulary_of("qwen", core)
    assert (vocabulary.eos, vocabulary.pad, vocabulary.image_start, vocabulary.image_end, vocabulary.filler) == (256, 256, 257, 258, 259)
    assert vocabulary.box == (260, 261)
    assert len(vocabulary.encode("five <|endoftext|>")) == 18  # bytes: neither cut nor padded, and the token's spelling is text
    assert vocabulary_of("older", qwen_like(*VISION)).box is None


def test_missing_or_unmarked_tokens_are_refused():
    with pytest.raises(CheckpointError, match=r"'llama' lacks the special tokens <\|vision_end\|> <\|image_pad\|>; take a model of"):
        vocabulary_of("llama", qwen_like(*VISION[:2]))
    with pytest.raises(CheckpointError, match="lacks the special tokens"):
        vocabulary_of("plain", qwen_like(*VISION, marked=False))


def test_round_trip_through_a_model_folder(vocabulary):
    again = vocabulary_from_json(vocabulary.to_json(), vocabulary.settings())
    assert again.settings() == vocabulary.settings()
    assert set(again.settings()) == {"name", "sha256"}
    assert again.encode("fields by a road") == vocabulary.encode("fields by a road")
    assert (again.eos, again.box) == (vocabulary.eos, vocabulary.box)


def test_two_vocabularies_do_not_share_ids():
    text = "a mill"
    assert tiny_vocabulary().encode(text) != vocabulary_of("bytes", qwen_like(*VISION)).encode(text)


def test_another_file_or_damaged_settings_are_refused(vocabulary):
    with pytest.raises(CheckpointError, match="SHA-256 differs"):
        vocabulary_from_json(vocabulary.to_json()[:-9], vocabulary.settings())
    for told in ({}, None, {"name": "tiny"}, {**vocabulary.settings(), "more": 1}):
        with pytest.raises(CheckpointError, match=r"vocabulary's settings in config.json are damaged"):
            vocabulary_from_json(vocabulary.to_json(), told)
