"""Batches on another device."""

import torch

from geolangbind.interleaved.prompts import ImageGroup, Prompts
from geolangbind.sensors.channels import ChannelSet


def test_every_tensor_of_a_batch_moves():
    channels = ChannelSet((0.6,))
    groups = (ImageGroup(channels, torch.zeros(1, 1, 2, 2)), ImageGroup(features=torch.zeros(1, 2, 2, 3)))
    tensors = [torch.zeros(1, 2)] * 6
    moved = Prompts(*tensors[:3], groups, *tensors[3:]).to(torch.device("meta"))
    assert all(getattr(moved, name).is_meta for name in ("ids", "mask", "slots", "images", "regions", "places"))
    assert moved.groups[0].pixels.is_meta and moved.groups[1].features.is_meta
    assert moved.groups[0].channels == channels and moved.groups[0].valid is None
