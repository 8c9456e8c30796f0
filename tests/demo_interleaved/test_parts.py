"""Sequences as views and words, and their mean."""

import datetime as dt

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from geolangbind.demo_interleaved.parts import PartsModel, as_ranked, parts_of, shares_of, weights_sha256
from geolangbind.interleaved.segments import Date, GeoBox, GeoPoint, PixelBox, Text

BOX = PixelBox(16, 0, 32, 64)


def test_a_box_is_cut_out_or_told(fake):
    images, image = fake.images(), fake.image(0)
    query = (image, Text("What is in"), BOX)
    assert parts_of(query, "cut", images) == ([(image, BOX)], "")
    assert parts_of(query, "told", images) == ([(image, None)], "What is in (250,0),(500,999)")
    assert parts_of((Text("a tank"),), "cut", images) == parts_of((Text("a tank"),), "told", images) == ([], "a tank")
    assert shares_of(BOX, images.facts(image)) == (0.25, 0, 0.5, 1)


def test_a_box_belongs_to_its_image_and_everything_else_is_words(fake):
    one, two = fake.image(0), fake.image(1)
    second = PixelBox(0, 0, 32, 32, 1)
    assert parts_of((one, two, second), "cut", fake.images()) == ([(two, second)], "")
    place = (one, GeoPoint(-12.5, 170), GeoBox(1, 2, 3, 4), Date(dt.date(2020, 5, 1)))
    views, words = parts_of(place, "cut", fake.images())
    assert views == [(one, None)]
    assert words == "latitude -12.5000, longitude 170.0000 west 1.0000, south 2.0000, east 3.0000, north 4.0000 2020-05-01"


class _Table(nn.Module):
    """Vector n for the n-th distinct thing it is asked; it remembers what."""

    def __init__(self, length):
        super().__init__()
        self.rows, self.asked = nn.Parameter(length * torch.eye(6)), []

    def forward(self, told, images=None):
        first = len(self.asked)
        self.asked += told
        return self.rows[first : first + len(told)]


def test_the_vector_is_the_mean_of_unit_vectors_and_each_part_is_encoded_once(fake):
    one, two = fake.image(0), fake.image(1)
    model = PartsModel(_Table(3.0), _Table(7.0))
    found = model([(one, Text("a")), (one, two), (Text("a"),), (one, BOX), (one, PixelBox(16, 0, 32, 64))], fake.images())
    assert [(image.source.key, box) for image, box in model.views.asked] == [("0", None), ("1", None), ("0", BOX)]
    assert model.words.asked == ["a"]
    axes = torch.eye(6)
    expected = F.normalize(torch.stack([axes[0] + axes[0], axes[0] + axes[1], axes[0], axes[2], axes[2]]), dim=1)
    torch.testing.assert_close(found, expected)


def test_weights_and_form_are_the_identity(fake):
    model = PartsModel(_Table(1.0), _Table(1.0))
    before = weights_sha256(model)
    cut, told = (as_ranked(model, fake.images(), "dual", form) for form in ("cut", "told"))
    assert (cut.sha256, told.sha256) == (before, before)
    assert cut.prompts != told.prompts
    with torch.no_grad():
        model.views.rows[0, 0] += 1e-6
    assert weights_sha256(model) != before
    assert cut.embed([(Text("a"),), (Text("b"),)], "find").norm(dim=1).tolist() == pytest.approx([1, 1])
