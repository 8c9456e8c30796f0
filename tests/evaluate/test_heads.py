"""Heads on maps of patch features, and the way from patches to pixels."""

import pytest
import torch
from torch.nn import functional as F

from geolangbind.evaluate.heads import LinearHead, UPerHead, to_pixels


def test_a_linear_head_is_one_matrix_on_the_last_map() -> None:
    head = LinearHead(5, 3)
    maps = torch.randn(4, 2, 5, 7, 6)
    expected = F.linear(maps[-1].movedim(1, -1), head.classify.weight[:, :, 0, 0], head.classify.bias).movedim(-1, 1)
    torch.testing.assert_close(head(list(maps)), expected)


@pytest.mark.parametrize("grid", [(8, 8), (7, 5), (1, 1)])
@pytest.mark.parametrize("layers", [1, 4])
def test_a_pyramid_is_four_times_as_fine_as_the_patches_and_learns_from_every_layer(grid, layers) -> None:
    torch.manual_seed(0)
    head = UPerHead(6, 3, 16)
    maps = [torch.randn(2, 6, *grid, requires_grad=True) for _ in range(layers)]
    logits = head(maps)
    assert logits.shape == (2, 3, 4 * grid[0], 4 * grid[1])
    logits.square().sum().backward()
    assert all(level.grad.abs().sum() > 0 for level in maps)
    assert all(weight.grad is not None for weight in head.parameters())
    if layers == 1:
        torch.testing.assert_close(head(maps * 4), logits)  # one layer serves for all four levels


def test_a_pyramid_sees_the_whole_image_and_other_images_play_no_part() -> None:
    torch.manual_seed(0)
    head = UPerHead(6, 3, 16)
    maps = torch.randn(2, 6, 8, 8, requires_grad=True)
    head([maps])[0, :, 0, 0].sum().backward()
    assert (maps.grad[0].abs().sum(0) > 0).all() and not maps.grad[1].any()


def test_usual_sizes() -> None:
    with torch.device("meta"):
        head = UPerHead(768, 10)
    counted = 4 * 768 * 512 + (4 + 5 * 9 + 3 * 9 + 4 * 9) * 512**2 + 3 * 4 * 512**2  # 1x1 and pools, 3x3, transposed
    counted += 3 * 512 + 2 * 512 * 14 + 10 * 513  # biases of the transposed, scales and shifts of fourteen norms, classifier
    assert sum(weight.numel() for weight in head.parameters()) == counted


def test_the_centre_of_a_patch_has_its_score() -> None:
    scores = torch.randn(2, 3, 4, 5)
    pixels = to_pixels(scores, (4, 5), 3, (12, 15))
    assert pixels.shape == (2, 3, 12, 15)
    torch.testing.assert_close(pixels[:, :, 1::3, 1::3], scores)
    between = scores[:, :, :, :-1] * 2 / 3 + scores[:, :, :, 1:] / 3
    torch.testing.assert_close(pixels[:, :, 1::3, 2:-1:3], between)


def test_pixels_beyond_the_last_patch_repeat_the_edge_and_patches_beyond_the_image_are_cut() -> None:
    scores = torch.randn(1, 2, 2, 2)
    whole = to_pixels(scores, (2, 2), 3, (6, 6))
    larger = to_pixels(scores, (2, 2), 3, (8, 7))
    torch.testing.assert_close(larger[:, :, :6, :6], whole)
    torch.testing.assert_close(larger[:, :, 6:, :6], whole[:, :, 5:].expand(-1, -1, 2, -1))
    torch.testing.assert_close(to_pixels(scores, (2, 2), 3, (5, 4)), whole[:, :, :5, :4])
    assert to_pixels(scores, (2, 2), None, (9, 4)).shape == (1, 2, 9, 4)
