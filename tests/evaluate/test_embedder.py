"""Patch tokens of our model: joint vectors, earlier layers, grids of odd images."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from geolangbind.data.batch import collate
from geolangbind.evaluate.embedder import Ours
from geolangbind.models.encoder import VisionConfig
from geolangbind.models.two_tower import TwoTower

PLAIN = VisionConfig(64, 8, 32, 8, 4, 64, generator_hidden=64)


@pytest.fixture(scope="module")
def batch(streams):
    return collate(streams["dem"][0].read_many(range(3)))


def with_tower(model, config):
    torch.manual_seed(1)
    towers = TwoTower(config, model.towers.text_config)
    torch.nn.init.normal_(towers.vision.attn_pool.mlp.fc2.bias)
    return Ours("test", "", replace(model, towers=towers).eval())


def test_joint_vectors_of_equal_tokens_are_the_image_vector(model, batch) -> None:
    ours = with_tower(model, PLAIN)
    torch.nn.init.zeros_(ours.model.vision.pos_embed)
    flat = replace(batch, image=batch.image[:, :, :1, :1].expand_as(batch.image).contiguous())
    patches, images = ours.patches(flat), ours.images(flat)
    torch.testing.assert_close(patches.joint, images.unsqueeze(1).expand(-1, 64, -1), rtol=1e-5, atol=1e-6)
    assert not torch.allclose(images[0], images[1])


def test_a_joint_vector_is_the_value_path_of_its_token(model, batch) -> None:
    ours = with_tower(model, PLAIN)
    patches, pool = ours.patches(batch), ours.model.vision.attn_pool
    with torch.no_grad():
        value = pool.proj(F.linear(patches.features, pool.kv.weight[32:], pool.kv.bias[32:]))
        expected = F.normalize(value + pool.mlp(pool.norm(value)), dim=-1)
    torch.testing.assert_close(patches.joint, expected, rtol=1e-5, atol=1e-6)


def test_earlier_layers_are_those_at_a_quarter_half_and_three_quarters(model, batch) -> None:
    ours = with_tower(model, PLAIN)
    patches, vision = ours.patches(batch), ours.model.vision
    assert [tuple(layer.shape) for layer in patches.earlier] == [(3, 64, 32)] * 3 and patches.stride == 8
    with torch.no_grad():
        tokens = patches.earlier[0]
        for number in range(2, 8):
            tokens = vision.blocks[number](tokens)
            if number in (3, 5):
                torch.testing.assert_close(patches.earlier[number // 2], tokens)
        torch.testing.assert_close(patches.features, vision.norm(tokens))
    assert not any(block._forward_hooks for block in vision.blocks)
    assert Ours("test", "", model).patches(batch).earlier == ()  # three blocks are too few for four layers


@pytest.mark.parametrize(("config", "grid"), [(replace(PLAIN, patch_padding=1), (8, 6)), (PLAIN, (8, 6)), (None, (9, 7))])
def test_the_grid_of_images_that_are_no_whole_patches(model, batch, config, grid) -> None:
    ours = Ours("test", "", model) if config is None else with_tower(model, config)
    image = F.pad(batch.image, (0, -14, 0, 2), mode="replicate")  # 66 x 50; convolutions of a stem round up
    patches = ours.patches(replace(batch, image=image, valid=None, masks=None))
    assert patches.grid == grid and patches.features.shape[1] == grid[0] * grid[1] == patches.joint.shape[1]
