"""Sentences and the images that they fit."""

from geolangbind.instruct.segments_json import key_of
from geolangbind.instruct.sources import captions
from geolangbind.interleaved.segments import Text


def test_an_image_finds_one_of_its_sentences(chip, corpus_of, wordings):
    (row,) = captions.to_text(corpus_of([chip("a", captions=("a wood", "a forest"))]), wordings)
    assert {key_of(row.target), *row.true} == {'["a wood"]', '["a forest"]'}


def test_the_rarest_sentence_finds_its_image_and_others_that_it_fits(chip, corpus_of, wordings):
    texts = [("a wood", "trees"), ("a wood", "trees", "a wood at a lake"), ("trees", "a wood"), ("a lake",)]
    corpus = corpus_of([chip(f"a-{n}", captions=captions) for n, captions in enumerate(texts)])
    rows = list(captions.to_image(corpus, wordings))
    assert [row.target[0].source.key for row in rows] == ["a-0", "a-1", "a-2", "a-3"]
    assert rows[0].query[0] in (Text("a wood"), Text("trees"))
    assert [row.query for row in rows[1::2]] == [(Text("a wood at a lake"),), (Text("a lake"),)]
    assert rows[1].target_key in rows[0].true  # "a wood at a lake" is the sentence of an image that "a wood" fits too
    assert rows[2].target_key in rows[0].true | {rows[0].target_key}
    assert rows[1].true == rows[3].true == frozenset()
    assert len({row.target_key for row in rows[1:]}) == 3
