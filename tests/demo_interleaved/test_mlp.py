"""What the plain controls are told."""

import torch

from geolangbind.demo_interleaved.box_type import box_and_type
from geolangbind.demo_interleaved.mlp import WAVES, Bag, pooled, region_mlp
from geolangbind.demo_interleaved.parts import as_ranked
from geolangbind.instruct.segments_json import key_of
from geolangbind.interleaved.segments import PixelBox, Text
from geolangbind.models.boxes import box_code

LEFT, RIGHT = PixelBox(0, 0, 32, 64), PixelBox(32, 0, 64, 64)


def halves():
    """One image whose left half is 1 and whose right half is 3, in every feature."""
    features = torch.ones(1, 4, 4, 5)
    features[:, :, 2:] = 3
    return features


def test_a_region_is_its_features_the_mean_and_its_place(fake):
    images, image = fake.images(features=halves().half()), fake.image(0)
    told = pooled([(image, RIGHT), (image, None)], images)
    torch.testing.assert_close(told[:, :10], torch.tensor([[3.0] * 5 + [2.0] * 5, [2.0] * 10]))
    torch.testing.assert_close(told[:, 10:], box_code(torch.tensor([[0.5, 0, 1, 1], [0, 0, 1, 1]]), WAVES))


def test_a_view_is_described_once(fake):
    images = fake.images(features=halves())
    model = as_ranked(region_mlp(5), images, "mlp")
    queries = [(fake.image(0), Text("What is in"), box) for box in (LEFT, RIGHT)]
    first = model.embed(queries, "")
    assert images.read == [0]
    torch.testing.assert_close(model.embed(queries, ""), first)
    assert images.read == [0]
    assert not torch.allclose(first[0], first[1])


def test_words_keep_their_order():
    bag = Bag(16, 16)
    one, other, same = bag(["a tank north of a pit", "a pit north of a tank", "A tank, north of a pit."])
    assert not torch.allclose(one, other)
    torch.testing.assert_close(one, same)


def test_box_and_type_sees_no_pixel(fake):
    images, image = fake.images(), fake.image(0)
    kinds = {key_of((image, LEFT)): "tank", key_of((image, RIGHT)): "tank", key_of((fake.image(1), LEFT)): "pond"}
    model = box_and_type(kinds)
    told = model.views.describe([(image, LEFT), (image, RIGHT), (fake.image(1), LEFT), (image, None)], images)
    assert told[:, 8 * WAVES :].sum(1).tolist() == [1, 1, 1, 0]
    torch.testing.assert_close(told[0, 8 * WAVES :], told[1, 8 * WAVES :])
    torch.testing.assert_close(told[0, : 8 * WAVES], told[2, : 8 * WAVES])
    assert not torch.equal(told[0], told[2])
    as_ranked(model, images, "box").embed([(image, Text("What is in"), LEFT)], "")
    assert images.read == []
