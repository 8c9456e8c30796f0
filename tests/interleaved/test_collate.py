"""Batches: right padding, one copy of each image, groups by channels and size, and numbers that point where they should."""

import time

import pytest
import torch

from geolangbind.errors import DataError
from geolangbind.interleaved.collate import ImageRef, collate
from geolangbind.interleaved.prompts import Prompt, Region, Slot
from geolangbind.sensors.channels import ChannelSet

RGB, RADAR = ChannelSet((0.665, 0.56, 0.49)), ChannelSet((0.0, 0.0))
PAD = 7


def prompt(length=3, images=0, regions=(), places=()):
    slots = (Slot.IMAGE,) * images + (Slot.TEXT,) * (length - images)
    return Prompt(tuple(range(10, 10 + length)), slots, ((1, 1),) * images, tuple(regions), tuple(places), "")


def image(key, value=0.0, channels=RGB, size=4, valid=None):
    return ImageRef(key, (channels, size), torch.full((len(channels), size, size), value), channels, valid)


def test_right_padding():
    batch = collate([prompt(2), prompt(4, images=1), prompt(1)], [[], [image("a")], []], PAD)
    assert batch.ids.tolist() == [[10, 11, 7, 7], [10, 11, 12, 13], [10, 7, 7, 7]]
    assert batch.mask.tolist() == [[True, True, False, False], [True] * 4, [True, False, False, False]]
    assert batch.slots.tolist() == [[0] * 4, [1, 0, 0, 0], [0] * 4]
    assert (batch.ids.dtype, batch.slots.dtype, batch.mask.dtype) == (torch.int64, torch.int64, torch.bool)


def test_equal_images_are_encoded_once():
    refs = [[image("a", 1), image("b", 2)], [image("a", 1)], [image("b", 2), image("b", 2)]]
    batch = collate([prompt(images=2), prompt(images=1), prompt(images=2)], refs, PAD)
    (group,) = batch.groups
    assert group.pixels[:, 0, 0, 0].tolist() == [1, 2]
    assert batch.images.tolist() == [0, 1, 0, 1, 1]


def test_groups_by_channels_and_size_and_order_restored():
    values = [("a", 1, RGB, 4), ("b", 2, RADAR, 4), ("c", 3, RGB, 8), ("d", 4, RGB, 4), ("e", 5, RADAR, 4)]
    refs = [image(*value) for value in values]
    batch = collate([prompt(images=3), prompt(images=3)], [refs[:3], [refs[3], refs[4], refs[1]]], PAD)
    shapes = [(group.channels, tuple(group.pixels.shape)) for group in batch.groups]
    assert shapes == [(RGB, (2, 3, 4, 4)), (RADAR, (2, 2, 4, 4)), (RGB, (1, 3, 8, 8))]
    laid_out = torch.cat([group.pixels[:, 0, 0, 0] for group in batch.groups])
    assert laid_out[batch.images].tolist() == [1, 2, 3, 4, 5, 2]  # by use, in reading order


def test_regions_and_places_in_reading_order():
    near, far = Region(0, 0.0, 0.25, 0.5, 1.0), Region(1, 0.5, 0.5, 0.75, 0.75)
    prompts = [prompt(images=1, regions=[near], places=[(1.5, 2)]), prompt(places=[(3, 4)]), prompt(images=2, regions=[far, near])]
    batch = collate(prompts, [[image("a")], [], [image("b", channels=RADAR), image("a")]], PAD)
    assert batch.images.tolist() == [0, 1, 0]
    assert batch.regions.tolist() == [[0, 0, 0.25, 0.5, 1], [0, 0.5, 0.5, 0.75, 0.75], [1, 0, 0.25, 0.5, 1]]
    assert batch.places.tolist() == [[1.5, 2], [3, 4]]


def test_text_only_and_empty_batches():
    batch = collate([prompt(2)], [[]], PAD)
    assert batch.groups == ()
    assert (batch.images.shape, batch.regions.shape, batch.places.shape) == ((0,), (0, 5), (0, 2))
    assert (batch.images.dtype, batch.regions.dtype, batch.places.dtype) == (torch.int64, torch.float32, torch.float32)
    assert collate([], [], PAD).ids.shape == (0, 0)


def test_valid_pixels():
    half = torch.tensor([[True, False]] * 2).repeat(2, 2)
    with_mask, without = image("a", valid=half), image("b")
    batch = collate([prompt(images=2)], [[with_mask, without]], PAD)
    assert torch.equal(batch.groups[0].valid, torch.stack([half, torch.ones(4, 4, dtype=torch.bool)]))
    assert collate([prompt(images=1)], [[without]], PAD).groups[0].valid is None


def test_features_from_the_cache():
    features = torch.arange(12.0).reshape(2, 2, 3)
    refs = [ImageRef("a", 0, features=features), ImageRef("b", 0, features=features + 1)]
    (group,) = collate([prompt(images=2)], [refs], PAD).groups
    assert torch.equal(group.features, torch.stack([features, features + 1]))
    assert group.pixels is None and group.channels is None and group.valid is None


def test_what_does_not_fit_is_refused():
    with pytest.raises(DataError, match="prompt 1 has 1 images, but 2 were given"):
        collate([prompt(), prompt(images=1)], [[], [image("a"), image("b")]], PAD)
    for other in (image("b", channels=RADAR), image("b", size=8), ImageRef("b", 0, features=torch.zeros(1, 1, 3))):
        refs = [ImageRef("a", 1, torch.zeros(3, 4, 4), RGB), ImageRef("b", 1, other.pixels, other.channels, None, other.features)]
        with pytest.raises(DataError, match="images of group 1 differ in channels or size"):
            collate([prompt(images=2)], [refs], PAD)
    for given in ({}, {"pixels": torch.zeros(3, 4, 4)}, {"features": torch.zeros(1, 1, 3), "channels": RGB}):
        with pytest.raises(DataError, match="image 'a' needs either pixels and channels, or features"):
            ImageRef("a", 0, **given)


def test_a_large_batch_is_laid_out_at_once():
    prompts = [prompt(60, images=1, regions=[Region(0, 0, 0, 1, 1)]) for _ in range(512)]
    refs = [[image(number % 64)] for number in range(512)]
    collate(prompts, refs, PAD)
    taken = []
    for _ in range(5):
        start = time.perf_counter()
        collate(prompts, refs, PAD)
        taken.append(time.perf_counter() - start)
    assert min(taken) < 0.05  # a few milliseconds on an idle core; the margin is for busy ones
