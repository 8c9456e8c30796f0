"""Zero-shot scores of scorers whose accuracy is known beforehand."""

from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from geolangbind.data.loader import iterate_all
from geolangbind.errors import DataError
from geolangbind.evaluate.metrics import wilson_interval
from geolangbind.evaluate.prompts import prompts
from geolangbind.evaluate.zero_shot import class_vectors, stream_vectors, zero_shot
from geolangbind.planet.groups import CLASSES

WORDS = {name: (name.replace("_", " "), f"some {name}") for name in CLASSES}


def text_vector(text: str) -> torch.Tensor:
    """One-hot by the class whose phrase ends the sentence, with some noise, so that only the mean over sentences counts."""
    names = [name for name, phrases in WORDS.items() if any(text.endswith(f" {phrase}") for phrase in phrases)]
    noise = 0.1 * torch.randn(24, generator=torch.Generator().manual_seed(len(text)))
    return F.normalize(F.one_hot(torch.tensor(CLASSES.index(max(names, key=len))), 24) + noise, dim=0)


def stub(answers):
    """A model whose image vectors are handed out in the order of the samples."""
    rest = iter(answers)
    return SimpleNamespace(
        encode_text=lambda texts: torch.stack([text_vector(text) for text in texts]),
        encode_physical=lambda image, *_: torch.stack([next(rest) for _ in image]),
    )


def labels_of(streams):
    return [label for stream in streams for batch in iterate_all(stream, 5) for label in batch.labels["scene_class"]]


@pytest.mark.parametrize("modality", ["rgb", "sar"])
def test_an_oracle_scores_one(streams, modality):
    truth = labels_of(streams[modality])
    prototypes = class_vectors(stub([]), WORDS, modality)
    found = zero_shot(stub([prototypes[CLASSES.index(name)] for name in truth]), streams[modality], WORDS, "scene_class")
    assert (found.top1, found.n, found.chance) == (1.0, 12, 1 / 24) and (found.low, found.high) == wilson_interval(1.0, 12)


def test_a_constant_scorer_scores_chance_and_half_an_oracle_half(streams):
    truth = labels_of(streams["rgb"])
    assert zero_shot(stub([torch.zeros(24)] * 12), streams["rgb"], WORDS, "scene_class").top1 == pytest.approx(1 / 24)
    prototypes = class_vectors(stub([]), WORDS, "rgb")
    right = [prototypes[CLASSES.index(name)] for name in truth]
    wrong = [prototypes[(CLASSES.index(name) + 1) % 24] for name in truth]
    assert zero_shot(stub(right[:6] + wrong[6:]), streams["rgb"], WORDS, "scene_class").top1 == 0.5


def test_the_order_of_the_classes_does_not_matter(model, streams):
    backwards = dict(reversed(WORDS.items()))
    assert zero_shot(model, streams["dem"], WORDS, "scene_class") == zero_shot(model, streams["dem"], backwards, "scene_class")


def test_class_vectors_are_normalised_means_over_sentences(model):
    vectors = class_vectors(model, {"a": ("forest", "trees"), "b": ("a river",)}, "sar")
    expected = model.encode_text(prompts(("forest", "trees"), "sar")).double().mean(0)
    torch.testing.assert_close(vectors[0].double(), expected / expected.norm(), rtol=0, atol=1e-6)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(2))


def test_stream_vectors_keep_the_order_whatever_the_batch(model, streams):
    (stream,) = streams["rgb"]
    one, labels = stream_vectors(model, stream, batch_size=12)
    five, same = stream_vectors(model, stream, batch_size=5)
    torch.testing.assert_close(one, five, rtol=0, atol=1e-5)
    assert labels == same and [row["scene_class"] for row in labels] == labels_of([stream]) and one.shape == (12, 128)


def test_labels_outside_the_classes_are_refused(streams):
    few = {name: WORDS[name] for name in ("forest", "river")}
    with pytest.raises(DataError, match=r"a rgb sample has scene_class='\w+', which is none of forest, river"):
        zero_shot(stub([torch.zeros(24)] * 12), streams["rgb"], few, "scene_class")
    with pytest.raises(DataError, match="a rgb sample has crop=None"):
        zero_shot(stub([torch.zeros(24)] * 12), streams["rgb"], WORDS, "crop")


def test_labels_that_are_numbers_are_classes_too(streams, model):
    numbers = {str(number): (f"scene {number}",) for number in range(12)}
    assert zero_shot(model, streams["rgb"], numbers, "scene_index").n == 12
