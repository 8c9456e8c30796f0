"""The numbers of alignment in closed form, and what is drawn."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from geolangbind.errors import DataError
from geolangbind.evaluate.encoded import Encoded
from geolangbind.evaluate.pictures.alignment import (
    TEXT,
    Cloud,
    draw_alignment,
    gaps,
    make_cloud,
    modality_gap,
    neighbour_purity,
    purities,
)

X, Y, Z = np.eye(3)


@dataclass(frozen=True)
class Words:
    """A model that turns each sentence into a vector of its length."""

    name: str = "words"
    sha256: str = ""

    def texts(self, sentences):
        return F.normalize(torch.tensor([[float(len(text)), 1.0, 0.0, 0.0] for text in sentences]), dim=-1)


@pytest.fixture
def encoded():
    """Samples of a modality at places, eight classes in turn."""

    def make(modality, places, seed=0, **labels):
        vectors = F.normalize(torch.randn(len(places), 4, generator=torch.Generator().manual_seed(seed)), dim=-1)
        told = tuple({"scene_class": f"c{place % 8}", "scene_index": place, **labels} for place in places)
        keys = tuple(f"{modality}-{place}" for place in places)
        captions = tuple((f"c{place % 8} seen by {modality}",) for place in places)
        data = {"revision": "r"} if "revision" in Encoded.__dataclass_fields__ else {}
        return Encoded(modality=modality, sensors=("s",), bands=("b",), keys=keys, vectors=vectors, labels=told, captions=captions, **data)

    return make


def test_the_gap_is_the_distance_of_the_centroids():
    assert modality_gap(np.stack([X, Y]), np.stack([X, Y])) == 0
    assert modality_gap(X[None], Y[None]) == pytest.approx(math.sqrt(2))
    assert modality_gap(np.stack([X, Y]), Z[None]) == pytest.approx(math.sqrt(0.5**2 + 0.5**2 + 1))
    assert modality_gap(X[None], -X[None]) == 2


def test_purity_worked_by_hand():
    near, far = np.array([math.cos(0.1), math.sin(0.1), 0]), np.array([math.cos(0.2), math.sin(0.2), 0])
    others, names = np.stack([near, far, Y, Z]), ["a", "b", "a", "a"]
    for k, expected in ((1, 1.0), (2, 1 / 2), (3, 2 / 3), (4, 3 / 4), (9, 3 / 4)):
        assert neighbour_purity(X[None], ["a"], others, names, k).value == pytest.approx(expected)
    assert neighbour_purity(X[None], ["a"], others, names, 1).chance == 3 / 4


@pytest.mark.parametrize("k", [1, 3, 10])
def test_a_constant_encoder_is_at_chance_and_an_oracle_at_one(k):
    names = [f"c{i % 4}" for i in range(40)]
    constant = np.ones((40, 3)) / math.sqrt(3)
    found = neighbour_purity(constant, names, constant, names, k)
    assert found.value == pytest.approx(found.chance) == pytest.approx(1 / 4)
    oracle = np.eye(4)[[i % 4 for i in range(40)]]
    assert neighbour_purity(oracle, names, oracle, names, k).value == 1


def test_random_vectors_come_near_chance():
    vectors = np.random.default_rng(0).normal(size=(2, 600, 16))
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    names = [f"c{i % 3}" for i in range(600)]
    assert neighbour_purity(vectors[0], names, vectors[1], names, 10).value == pytest.approx(1 / 3, abs=0.02)


def test_neighbours_come_from_other_modalities_and_never_from_texts():
    cloud = Cloud("m", {"rgb": X[None], "sar": Y[None], TEXT: X[None]}, {"rgb": ("a",), "sar": ("b",), TEXT: ("a",)}, {})
    assert {name: (found.value, found.chance) for name, found in purities(cloud, cloud.classes, 1).items()} == {
        "rgb": (0, 0),
        "sar": (0, 0),
    }
    assert gaps(cloud) == pytest.approx(math.sqrt(2) * np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]]))


def test_the_same_places_are_chosen_in_every_modality(encoded):
    data = {"rgb": encoded("rgb", range(40)), "sar": encoded("sar", range(59, 9, -1))}
    cloud = make_cloud(Words(), data, "scene_class", "scene_index", count=10)
    assert set(cloud.places["rgb"]) == set(cloud.places["sar"])
    assert len(cloud.places["rgb"]) == 10
    assert {"10", "39"} <= set(cloud.places["rgb"]), "the first and the last that both have"
    row = next(i for i, labels in enumerate(data["sar"].labels) if str(labels["scene_index"]) == cloud.places["sar"][3])
    assert cloud.vectors["sar"][3] == pytest.approx(data["sar"].vectors[row].numpy())
    assert set(cloud.classes[TEXT]) <= {f"c{i}" for i in range(8)} and len(cloud.vectors[TEXT]) <= 10


def test_data_without_places_or_classes(encoded):
    cloud = make_cloud(Words(), {"rgb": encoded("rgb", range(40))}, "scene_class", "no such label", count=10)
    assert (len(cloud.vectors["rgb"]), cloud.places) == (10, {})
    with pytest.raises(DataError, match="40 rgb samples have no label 'kind', first rgb-0"):
        make_cloud(Words(), {"rgb": encoded("rgb", range(40))}, "kind", "scene_index")


def test_the_picture_is_the_same_each_time(encoded, tmp_path):
    cloud = make_cloud(Words("$m$"), {"rgb": encoded("rgb", range(16)), "sar": encoded("sar", range(16))}, "scene_class", "scene_index")
    made = [draw_alignment(tmp_path / name, [cloud]).read_bytes() for name in ("one", "two")]
    assert made[0] == made[1]
    assert "Vectors by modality: $m$" in (tmp_path / "one/pictures/captions.json").read_text(encoding="utf-8")


def test_one_modality_without_places_is_drawn_without_neighbours(encoded, tmp_path):
    cloud = make_cloud(Words(), {"rgb": encoded("rgb", range(16))}, "scene_class", "no such label")
    assert draw_alignment(tmp_path, [cloud]).is_file()
