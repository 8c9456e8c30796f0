"""Between tower and backbone: projectors, codes of boxes and places, pooling, shared beginnings, images of several sensors and sizes."""

import math
from dataclasses import replace
from itertools import product

import pytest
import torch

from geolangbind.errors import DataError, SettingsError
from geolangbind.interleaved.backbone import build_backbone, describe_backbone
from geolangbind.interleaved.prompts import ImageGroup, Prompts, Slot
from geolangbind.models.boxes import Around, box_code, grid_boxes, places_in_images, pool_boxes, sphere_code
from geolangbind.models.encoder import VisionConfig, VisionEncoder
from geolangbind.models.interleaved import (
    InterleavedConfig,
    InterleavedModel,
    Resampler,
    Shuffle,
    shared_beginnings,
)
from geolangbind.sensors.channels import RGB_UM, ChannelSet

RGB = ChannelSet(RGB_UM, ("display",) * 3)
SAR = ChannelSet((0.0, 0.0), ("sigma0_vv_c", "sigma0_vh_c"), (5.405, 5.405))
T, I = int(Slot.TEXT), int(Slot.IMAGE)  # noqa: E741


@pytest.fixture(scope="module")
def model() -> InterleavedModel:
    torch.manual_seed(0)
    tower = VisionEncoder(VisionConfig(32, 8, 32, 1, 2, 64, generator_hidden=64))
    spec = describe_backbone("tiny", config={"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2})
    return InterleavedModel(tower, build_backbone(spec), 32, InterleavedConfig(factor=2)).eval()


def prompts(rows, groups, images) -> Prompts:
    """`rows` of slots, all of one length, with ids that count up from 1."""
    slots = torch.tensor(rows)
    ids = torch.arange(1, slots.shape[1] + 1).repeat(len(rows), 1)
    return Prompts(ids, torch.ones_like(slots).bool(), slots, groups, torch.tensor(images), torch.zeros(0, 5), torch.zeros(0, 2))


def test_the_shuffle_lays_each_block_side_by_side():
    shuffle = Shuffle(3, 5, InterleavedConfig(factor=2))
    shuffle.mlp = torch.nn.Identity()
    features = torch.randn(2, 4, 6, 3)
    found = shuffle(features)
    assert shuffle.grid_of(4, 6) == (2, 3) and found.shape == (2, 6, 12)
    for row in range(2):
        for column in range(3):
            block = [features[:, 2 * row + y, 2 * column + x] for y in range(2) for x in range(2)]
            assert torch.equal(found[:, 3 * row + column], torch.cat(block, dim=1))
    with pytest.raises(DataError, match="3 x 4 vision tokens cannot be joined 2 x 2"):
        shuffle.grid_of(3, 4)


@pytest.mark.parametrize("grid", [(4, 4), (3, 7), (1, 1)])
def test_the_resampler_asks_the_same_questions_of_any_grid(grid):
    resampler = Resampler(64, 8, InterleavedConfig(projector="resampler", queries=3))
    assert resampler.grid_of(*grid) == (3, 3) and resampler(torch.randn(2, *grid, 64)).shape == (2, 9, 8)


def test_boxes_are_pooled_by_area():
    """Cells of 10 x 10 points each, counted one by one."""
    features = torch.randn(3, 4, 5, 6)
    boxes = torch.tensor([[[0.1, 0.2, 0.5, 0.9], [0.5, 0.3, 0.8, 0.4]], [[0, 0, 1, 1], [0, 0, 0, 0]], [[0.42, 0.525, 0.44, 0.55]] * 2])
    fine = features.repeat_interleave(50, 1).repeat_interleave(40, 2)  # 200 x 200 points
    for pooled, points, those in zip(pool_boxes(features, boxes), fine, (boxes * 200).round().int().tolist(), strict=True):
        for found, (x0, y0, x1, y1) in zip(pooled, those, strict=True):
            expected = points[y0:y1, x0:x1].mean((0, 1)) if x1 > x0 else torch.zeros(6)  # where an image has fewer boxes than others
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_what_lies_around_is_plain_attention_with_a_key_for_each_offset():
    """Box by box, head by head, with the code of each cell's offset written out, where the module turns its question instead."""
    torch.manual_seed(0)
    around, features, boxes, pooled = Around(10, 7, 3, 6), torch.randn(2, 3, 4, 10), torch.rand(2, 2, 4), torch.randn(2, 2, 10)
    torch.nn.init.normal_(around.nothing)
    told = around(features, boxes, pooled)
    centres = (grid_boxes(3, 4, features.device).unflatten(1, (2, 2))).mean(1)
    for image, number in product(range(2), range(2)):
        box = boxes[image, number]
        keys, values = around.content(features[image].flatten(0, 1)).chunk(2, dim=1)
        asked = around.asked(torch.cat([pooled[image, number], box_code(box[None], 6)[0]]))
        angles = (centres - box.unflatten(0, (2, 2)).mean(0))[:, :, None] * math.pi * 2.0 ** torch.arange(6)
        offsets = torch.cat([angles.sin(), angles.cos()], dim=2).flatten(1)
        seen = []
        for head, (key, value, question) in enumerate(zip(keys.split(16, 1), values.split(16, 1), asked.split(16), strict=True)):
            logits = torch.cat([(key @ question + offsets @ around.offset(question)) / 4, around.nothing[head : head + 1]])
            weights = logits.softmax(0)[:-1]
            seen += [weights @ value, weights @ offsets]
        torch.testing.assert_close(around.told(torch.cat(seen)), told[image, number], atol=1e-5, rtol=1e-4)


def test_boxes_are_numbered_within_their_images():
    places, most = places_in_images(torch.tensor([2, 0, 2, 2, 0]), 4)
    assert places.tolist() == [0, 0, 1, 2, 1] and most == 3
    assert places_in_images(torch.tensor([], dtype=torch.int64), 2)[1] == 0


@torch.no_grad()
def test_boxes_of_several_images_in_any_order(model):
    """A box's token does not depend on what other boxes and images are asked with it."""
    features = [torch.randn(2, 2, 2, 64), torch.randn(1, 4, 4, 64)]
    corners = torch.rand(5, 2) / 2
    regions = torch.cat([torch.tensor([[2.0], [0], [1], [0], [0]]), corners, corners + 0.3], dim=1)
    tokens = model._region_tokens(features, regions)
    for row, region in enumerate(regions):
        torch.testing.assert_close(model._region_tokens(features, region[None])[0], tokens[row], atol=1e-5, rtol=0)


def test_heads_that_look_around_are_counted():
    assert InterleavedConfig(around=0).around == 0
    with pytest.raises(SettingsError, match="around is -1; it is a number of heads, or 0 for none"):
        InterleavedConfig(around=-1)


def test_codes_know_no_seam():
    near = sphere_code(torch.tensor([[10.0, 179.9999], [10.0, -179.9999], [89.9999, 0.0], [89.9999, 120.0], [10.0, 170.0]]), 6)
    assert torch.allclose(near[0], near[1], atol=1e-3) and torch.allclose(near[2], near[3], atol=1e-3)
    assert (near[0] - near[4]).norm() > 0.5
    assert near.shape == (5, 36) and box_code(torch.rand(2, 4), 6).shape == (2, 48)


@pytest.mark.parametrize("trained", ["projector", "backbone"])
def test_shared_beginnings_give_the_plain_vectors_and_gradients(model, monkeypatch, trained):
    group = ImageGroup(features=torch.randn(2, 2, 2, 64))
    batch = prompts([[T, I, T, T, T, T]] * 6, (group,), [0, 0, 0, 1, 1, 1])
    batch = replace(batch, ids=batch.ids + torch.tensor([[0, 0, 0, shift, shift, 0] for shift in range(6)]))
    assert shared_beginnings(batch).length == 3 and len(shared_beginnings(batch).rows) == 2
    weight = {"projector": model.projector.mlp[1].weight, "backbone": model.backbone.model.layers[0].mlp.up_proj.weight}[trained]

    def run():
        vectors = model(batch)
        return vectors.detach(), torch.autograd.grad((vectors * torch.linspace(-1, 1, 32)).sum(), weight)[0]

    shared = run()
    monkeypatch.setattr("geolangbind.models.interleaved.shared_beginnings", lambda _: None)
    for found, plain in zip(shared, run(), strict=True):
        torch.testing.assert_close(found, plain, atol=1e-5, rtol=1e-3)


@torch.no_grad()
def test_sensors_and_sizes_in_one_batch_and_bands_in_any_order(model):
    small, large, radar = torch.randn(1, 3, 16, 16), torch.randn(1, 3, 32, 32), torch.randn(1, 2, 16, 16)
    order = [2, 0, 1]

    def vectors(large, channels):
        groups = (ImageGroup(RGB, small), ImageGroup(channels, large), ImageGroup(SAR, radar))
        rows = [[T, I, T, I, T, T, T], [T, I, I, I, I, T, T], [T, T, T, T, T, T, T]]
        return model(prompts(rows, groups, [0, 2, 1]))

    plain = vectors(large, RGB)
    torch.testing.assert_close(vectors(large[:, order], RGB.subset(order)), plain, atol=1e-5, rtol=0)
    assert not torch.allclose(vectors(large[:, order], RGB)[1], plain[1], atol=1e-4)  # bands without their wavelengths
    alone = model(prompts([[T, I, I, I, I, T, T]], (ImageGroup(RGB, large),), [0]))
    torch.testing.assert_close(alone[0], plain[1], atol=1e-5, rtol=0)
    torch.testing.assert_close(
        model(prompts([[T, I, T, I, T, T, T]], (ImageGroup(SAR, radar), ImageGroup(RGB, small)), [1, 0]))[0], plain[0]
    )


def test_images_need_their_channels_and_data(model):
    pixels = torch.randn(1, 3, 16, 16)
    with pytest.raises(DataError, match="needs its features, or its pixels and what their channels are"):
        model(prompts([[T, I, T]], (ImageGroup(pixels=pixels),), [0]))
    with pytest.raises(DataError, match="valid"):
        model.vision_features(pixels, RGB, torch.zeros(1, 16, 16, dtype=torch.bool))


@torch.no_grad()
def test_an_image_tells_how_it_differs_from_the_one_before_it_of_the_same_grid(model):
    """The later image's tokens are those of the image and, once more projected, of the difference; the first image's are its own."""
    small, large = torch.randn(2, 2, 2, 64), torch.randn(1, 4, 4, 64)
    tokens, grids = model._image_tokens([small, large], [0, 1, 2, 1, 0], [0, 0, 0, 1, 2])
    alone = [model._image_tokens([small, large], [image], [0])[0] for image in range(3)]
    assert grids == [(1, 1), (1, 1), (2, 2), (1, 1), (1, 1)]
    first, second, third, *others = tokens.split([1, 1, 4, 1, 1])
    torch.testing.assert_close(first, alone[0])
    torch.testing.assert_close(second, alone[1] + model.difference((small[1] - small[0])[None])[0])
    torch.testing.assert_close(third, alone[2])  # another grid than the image before it
    torch.testing.assert_close(torch.cat(others), torch.cat([alone[1], alone[0]]))  # other sequences


@torch.no_grad()
def test_differences_are_found_within_sequences(model):
    group = ImageGroup(features=torch.randn(2, 2, 2, 64))
    together = model(prompts([[T, I, T, I, T, T], [T, I, T, I, T, T]], (group,), [0, 1, 1, 0]))
    for row, order in enumerate(([0, 1], [1, 0])):
        torch.testing.assert_close(model(prompts([[T, I, T, I, T, T]], (group,), order))[0], together[row], atol=1e-5, rtol=0)
