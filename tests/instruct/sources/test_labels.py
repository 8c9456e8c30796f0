"""Scene labels with all their words."""

import json

from geolangbind.instruct.sources import labels


def test_all_words_of_all_classes_are_right(chip, corpus_of, wordings):
    corpus = corpus_of([chip("a", classes=["forest", "lake"])], classes={"forest": ["forest", "woodland"], "lake": ["lake"]})
    (row,) = labels.rows(corpus, wordings)
    assert {row.target[0].text} | {json.loads(key)[0] for key in row.true} == {"forest", "woodland", "lake"}
