"""Random crops: image, valid pixels, masks and stored tokens stay in step."""

import dataclasses

import pytest
import torch
from torch.nn import functional as F

from geolangbind.data.batch import Batch
from geolangbind.data.crop import crop_batch, crop_planes, crop_tokens, draw_boxes
from geolangbind.data.transforms import Share
from geolangbind.sensors.channels import ChannelSet
from geolangbind.sensors.units import Unit

SIDE, GRID = 32, 8


def ramp(count: int = 3) -> torch.Tensor:
    """Affine in the place: row, column and a mixture, in pixels from the corner."""
    down, across = torch.meshgrid(*[torch.arange(SIDE) + 0.5] * 2, indexing="ij")
    return torch.stack([down, across, 2 * down - 3 * across + 1]).expand(count, 3, SIDE, SIDE).clone()


def patch_means(image: torch.Tensor) -> torch.Tensor:
    """A linear teacher: means of the patches, (B, GRID^2, C)."""
    return F.avg_pool2d(image, SIDE // GRID).flatten(2).transpose(1, 2)


def make_batch(count: int = 4, valid: torch.Tensor | None = None) -> Batch:
    image = ramp(count)
    return Batch(
        image=image if valid is None else image * valid[:, None],
        valid=valid,
        channels=ChannelSet((0.665, 0.56, 0.49), ("display",) * 3, (0.0,) * 3),
        sensor="aerial-rgb",
        bands=("R", "G", "B"),
        unit=Unit.DISPLAY_U8,
        modality="rgb",
        gsd_m=(1.0,) * count,
        keys=tuple(f"s{n}" for n in range(count)),
        captions=(("a field",),) * count,
        masks=(image[:, 0] > SIDE / 2).to(torch.uint8),
        features={"mean": patch_means(image)},
    )


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_off_draws_nothing_and_returns_the_batch():
    batch, generator = make_batch(), seeded(0)
    assert crop_batch(batch, 0.0, generator) is batch
    assert torch.equal(generator.get_state(), seeded(0).get_state())


def test_the_whole_image_is_itself_exactly():
    image, whole = torch.randn(2, 3, 9, 7), torch.tensor([[0.0, 0.0, 1.0]]).expand(2, 3)
    assert torch.equal(crop_planes(image, whole), image)
    tokens = torch.randn(2, 25, 6)
    assert torch.equal(crop_tokens(tokens.half(), whole), tokens.half().float())
    assert torch.equal(crop_batch(make_batch(), 1.0, seeded(0)).image, make_batch().image)


def test_boxes_lie_inside_and_their_areas_are_even():
    left, top, side = draw_boxes(4000, 0.25, seeded(1)).unbind(1)
    assert (left >= 0).all() and (top >= 0).all() and (left + side <= 1 + 1e-6).all() and (top + side <= 1 + 1e-6).all()
    area = side**2
    assert float(area.min()) >= 0.25 - 1e-6 and float(area.max()) <= 1
    # even on [1/4, 1]: mean 5/8, deviation 3/4 / sqrt(12); of 4000 draws the mean strays by 0.0034
    assert float(area.mean()) == pytest.approx(0.625, abs=4 * 0.0034)


def test_a_quarter_by_hand():
    """The right upper quarter of a ramp, pixel centres every half pixel from 16.25 on; the border repeats."""
    image = crop_planes(ramp(1), torch.tensor([[0.5, 0.0, 0.5]]))
    across = 16 + 0.25 + 0.5 * torch.arange(SIDE)
    torch.testing.assert_close(image[0, 1, 5], across.clamp(max=31.5), atol=1e-4, rtol=0)
    down = 0.25 + 0.5 * torch.arange(SIDE)
    torch.testing.assert_close(image[0, 0, :, 9], down.clamp(min=0.5), atol=1e-4, rtol=0)


def test_stored_tokens_are_those_of_the_cropped_ramp():
    """Tokens beyond the outermost centres repeat the border: there the ramp is off by less than half a token."""
    batch = crop_batch(make_batch(8), 0.3, seeded(3))
    live, stored = (tokens.view(8, GRID, GRID, 3)[..., :2] for tokens in (patch_means(batch.image), batch.features["mean"]))
    torch.testing.assert_close(stored[:, 2:-2, 2:-2], live[:, 2:-2, 2:-2], atol=1e-3, rtol=0)
    assert (stored - live).abs().max() < 0.5 * SIDE / GRID
    assert (live - patch_means(make_batch(8).image).view(8, GRID, GRID, 3)[..., :2]).abs().max() > 3  # they did move


def test_valid_pixels_keep_their_values_and_masks_follow():
    valid = torch.ones(4, SIDE, SIDE, dtype=torch.bool)
    valid[:, 10:20, 5:15] = False
    whole, holed = make_batch(), make_batch(valid=valid)
    whole = dataclasses.replace(whole, image=torch.ones_like(whole.image))
    holed = dataclasses.replace(holed, image=torch.ones_like(whole.image) * valid[:, None])
    cropped = crop_batch(holed, 0.3, seeded(4))
    assert cropped.valid is not None and 0 < int((~cropped.valid).sum()) < cropped.valid.numel()
    torch.testing.assert_close(cropped.image, cropped.valid[:, None].expand_as(cropped.image).float())  # no zero leaks in
    masked = crop_batch(make_batch(), 0.3, seeded(4))
    assert masked.masks is not None and masked.masks.dtype == torch.uint8
    assert (masked.masks.bool() == (masked.image[:, 0] > SIDE / 2)).float().mean() > 0.97  # but for the boundary's own row


def test_an_image_whose_box_is_empty_stays_whole():
    valid = torch.zeros(4, SIDE, SIDE, dtype=torch.bool)
    valid[:, 0, 0] = True
    batch = make_batch(valid=valid)
    cropped = crop_batch(batch, 0.3, seeded(0))
    assert torch.equal(cropped.image, batch.image) and torch.equal(cropped.features["mean"], batch.features["mean"])


def test_two_processes_crop_as_one():
    batch = make_batch(4)
    batch = dataclasses.replace(batch, image=torch.rand(4, 3, SIDE, SIDE))
    whole = crop_batch(batch, 0.3, seeded(7))
    rows = slice(2, 4)
    half = dataclasses.replace(
        batch, image=batch.image[rows], masks=batch.masks[rows], features={"mean": batch.features["mean"][rows]},
        gsd_m=batch.gsd_m[rows], keys=batch.keys[rows], captions=batch.captions[rows],
    )  # fmt: skip
    second = crop_batch(half, 0.3, seeded(7), Share.of(len(half), 1, 2))
    assert torch.equal(second.image, whole.image[rows]) and torch.equal(second.features["mean"], whole.features["mean"][rows])
