"""The vision tower: parity with the published one, any image size and channel count, no-data, refusals."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open

from geolangbind.errors import CheckpointError, DataError, SensorError
from geolangbind.models.encoder import VisionConfig, VisionEncoder
from geolangbind.models.zoo import SIZES
from geolangbind.sensors.channels import ChannelSet

RGB_UM = (0.665, 0.56, 0.49)
TINY = {"image_size": 32, "patch_size": 8, "width": 32, "depth": 2, "num_heads": 2, "mlp_hidden": 64, "generator_hidden": 64}


def build(**changes) -> VisionEncoder:
    torch.manual_seed(0)
    return VisionEncoder(VisionConfig(**{**TINY, **changes})).eval()


@pytest.fixture(scope="module")
def native() -> VisionEncoder:
    return build()


@pytest.fixture(scope="module")
def stemmed() -> VisionEncoder:
    return build(patch_size=2, stem=(8, 16))


@pytest.fixture(scope="module")
def golden(shared):
    with safe_open(shared / "parity" / "vision_p16.safetensors", "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, json.loads(file.metadata()["config"])  # noqa: SIM118


@pytest.fixture(scope="module")
def official(golden):
    tensors, config = golden
    state = {name.removeprefix("state."): tensor for name, tensor in tensors.items() if name.startswith("state.")}
    sizes = {"image_size": config["img_size"], "patch_size": config["patch_size"], "num_heads": config["num_heads"]}
    return VisionEncoder.from_official(state, **sizes).eval()


def relative_error(found, expected) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("case", ["rgb", "s2", "sar", "hsi"])
def test_reproduces_the_published_encoder(golden, official, case):
    tensors, _ = golden
    with torch.no_grad():
        output = official(tensors[f"{case}.image"], tensors[f"{case}.wavelengths_um"])
    assert relative_error(output.patch_tokens, tensors[f"{case}.patch_tokens"]) <= 1e-5
    assert relative_error(output.tokens, tensors[f"{case}.last_block_tokens"]) <= 1e-5
    assert relative_error(output.embedding, tensors[f"{case}.embedding"]) <= 1e-5


def test_from_official_reads_the_architecture_from_the_shapes(official):
    config = official.config
    assert (config.width, config.depth, config.mlp_hidden, config.generator_hidden, config.stem) == (96, 4, 384, 2048, ())
    assert not config.kinds and not config.mean_over_channels


@pytest.mark.parametrize(("size", "name"), [("b-224", "GeoLB-ViT-B-16-SigLIP"), ("l-384", "GeoLB-ViT-14-so400m-SigLIP-384")])
def test_shapes_of_the_published_models(shared, size, name):
    shapes = json.loads((shared / "parity" / "official_state_dict_shapes.json").read_text())[name]
    expected = {key.removeprefix("visual.trunk."): tuple(shape) for key, shape in shapes.items() if key.startswith("visual.trunk.")}
    state = {key: torch.empty(shape, device="meta") for key, shape in expected.items()}
    vision = SIZES[size].vision
    with torch.device("meta"):
        encoder = VisionEncoder.from_official(state, image_size=vision.image_size, patch_size=vision.patch_size, num_heads=vision.num_heads)
    assert {key: tuple(value.shape) for key, value in encoder.state_dict().items()} == expected
    for field in ("width", "depth", "mlp_hidden", "generator_hidden", "grid"):
        assert getattr(encoder.config, field) == getattr(vision, field)


def test_from_official_lists_every_tensor_that_does_not_fit(official):
    state = dict(official.state_dict())
    state["blocks.1.norm1.weight"] = torch.zeros(5)
    state["head.weight"] = torch.zeros(2, 2)
    del state["norm.bias"]
    with pytest.raises(CheckpointError) as failure:
        VisionEncoder.from_official(state, image_size=64, patch_size=16, num_heads=4)
    lines = str(failure.value).splitlines()
    assert lines[0].startswith("3 tensors do not fit")
    assert lines[1:] == [
        "  blocks.1.norm1.weight: checkpoint (5,), model (96,)",
        "  head.weight: checkpoint (2, 2), model absent",
        "  norm.bias: checkpoint absent, model (96,)",
    ]


def test_from_official_refuses_other_files_and_heads(official):
    state = official.state_dict()
    with pytest.raises(CheckpointError, match=r"tensor 'pos_embed' is absent.*without 'visual.trunk.'"):
        VisionEncoder.from_official({f"visual.trunk.{key}": v for key, v in state.items()}, image_size=64, patch_size=16, num_heads=4)
    with pytest.raises(CheckpointError, match=r"num_heads is 5.*width 96"):
        VisionEncoder.from_official(state, image_size=64, patch_size=16, num_heads=5)
    with pytest.raises(CheckpointError, match=r"pos_embed: checkpoint \(1, 16, 96\), model \(1, 9, 96\)"):
        VisionEncoder.from_official(state, image_size=48, patch_size=16, num_heads=4)


@torch.no_grad()
@pytest.mark.parametrize("size", [(32, 32), (48, 48), (80, 80), (40, 24), (45, 51)])
@pytest.mark.parametrize("name", ["native", "stemmed"])
def test_any_image_size(request, name, size):
    encoder = request.getfixturevalue(name)
    output = encoder(torch.randn(2, 3, *size), RGB_UM)
    assert output.embedding.shape == (2, 32) and bool(output.embedding.isfinite().all())
    rows, columns = (-(-side // 8) if name == "stemmed" else side // 8 for side in size)
    assert output.tokens.shape == output.patch_tokens.shape == output.features.shape == (2, rows * columns, 32)


@torch.no_grad()
def test_training_size_uses_the_positions_as_they_are(native):
    assert native._positions(4, 4) is native.pos_embed
    image = torch.randn(1, 3, 32, 32)
    output = native(image, RGB_UM)
    x = native.patch_embed(image, ChannelSet(RGB_UM)).flatten(1, 2)
    assert torch.equal(output.patch_tokens, x)
    for block in native.blocks:
        x = block(x if block is not native.blocks[0] else x + native.pos_embed)
    assert torch.equal(output.tokens, x)
    assert torch.equal(output.features, native.norm(x))


@torch.no_grad()
@pytest.mark.parametrize("count", [1, 2, 13, 202])
def test_any_channel_count(native, count):
    wavelengths_um = np.linspace(0.42, 2.4, count)
    assert native(torch.randn(1, count, 32, 32), wavelengths_um).embedding.shape == (1, 32)
    assert native(torch.randn(1, count, 32, 32), torch.tensor(wavelengths_um)).embedding.shape == (1, 32)


@torch.no_grad()
def test_permuting_bands_with_their_channels_changes_nothing(native):
    image = torch.randn(2, 4, 32, 32)
    channels = ChannelSet((0.49, 0.842, 1.61, 0.665), ("reflectance_toa", "display", "reflectance_surface", "reflectance_toa"))
    order = [2, 0, 3, 1]
    turned = ChannelSet(tuple(channels.wavelengths_um[i] for i in order), tuple(channels.kinds[i] for i in order))
    first, second = native(image, channels=channels), native(image[:, order], channels=turned)
    assert torch.allclose(first.embedding, second.embedding, atol=1e-5)
    unturned = native(image[:, order], channels=channels)
    assert not torch.allclose(first.embedding, unturned.embedding, atol=1e-4)


@torch.no_grad()
def test_polarisations_differ_for_a_native_model_only(native):
    image = torch.randn(1, 2, 32, 32)
    channels = ChannelSet((0.0, 0.0), ("sigma0_vv_c", "sigma0_vh_c"), (5.405, 5.405))
    straight, swapped = (native(x, channels=channels).embedding for x in (image, image.flip(1)))
    assert (straight - swapped).abs().max() > 1e-4
    bare = build(kinds=False, mean_over_channels=False)
    straight, swapped = (bare(x, [5.405, 5.405]).embedding for x in (image, image.flip(1)))
    assert torch.allclose(straight, swapped, atol=1e-6)
    assert torch.equal(bare(image, channels=ChannelSet((5.405, 5.405), channels.kinds)).embedding, straight)


@torch.no_grad()
@pytest.mark.parametrize("name", ["native", "stemmed"])
@pytest.mark.parametrize("size", [(32, 32), (44, 36)])
def test_pixels_without_data_have_no_influence(request, name, size):
    encoder = request.getfixturevalue(name)
    image = torch.randn(2, 3, *size)
    valid = torch.rand(2, *size) > 0.4
    valid[:, :, :16] = False
    other = torch.where(valid.unsqueeze(1), image, 1000 * torch.randn_like(image))
    first, second = (encoder(x, RGB_UM, valid=valid) for x in (image, other))
    assert torch.equal(first.embedding, second.embedding)
    assert torch.equal(first.features, second.features)


@torch.no_grad()
def test_tokens_without_data_are_not_looked_at(native):
    """In a plain ViT an image whose left half is missing equals its right half, but for the positions: change those on the left."""
    image, valid = torch.randn(1, 3, 32, 32), torch.ones(1, 32, 32, dtype=torch.bool)
    valid[:, :, :16] = False
    before = native(image, RGB_UM, valid=valid).embedding
    moved = build()
    grid = moved.pos_embed.view(1, 4, 4, 32)
    grid[:, :, :2] += torch.randn(1, 4, 2, 32)
    assert torch.allclose(moved(image, RGB_UM, valid=valid).embedding, before, atol=1e-6)
    assert not torch.allclose(moved(image, RGB_UM).embedding, native(image, RGB_UM).embedding, atol=1e-3)
    # one valid pixel makes a token count
    valid[0, 3, 11] = True
    assert not torch.allclose(moved(image, RGB_UM, valid=valid).embedding, native(image, RGB_UM, valid=valid).embedding, atol=1e-3)


@torch.no_grad()
def test_the_token_mask_follows_patches_when_the_size_does_not_divide(native):
    """44 px hold five patches of 8 and a rest of 4 that is never seen: valid pixels 8-10 are of patch 1 only."""
    image, valid = torch.randn(1, 3, 44, 44), torch.zeros(1, 44, 44, dtype=torch.bool)
    valid[:, 8:10, 8:10] = True
    before = native(image, RGB_UM, valid=valid)
    alone = native.norm(before.tokens[:, 6:7])  # row 1, column 1 of a grid of 5 x 5
    assert torch.allclose(native.attn_pool(alone), before.embedding, atol=1e-5)


@torch.no_grad()
def test_all_valid_is_no_mask(native):
    image = torch.randn(2, 3, 32, 32)
    assert torch.equal(native(image, RGB_UM, valid=torch.ones(2, 32, 32).bool()).embedding, native(image, RGB_UM).embedding)


@torch.no_grad()
def test_valid_pixels_in_the_cropped_rest_only_do_not_break_it(native):
    valid = torch.zeros(1, 36, 32, dtype=torch.bool)
    valid[:, 35] = True
    assert bool(native(torch.randn(1, 3, 36, 32), RGB_UM, valid=valid).embedding.isfinite().all())


def test_keep_tokens_drops_tokens_in_training_only():
    encoder = build().train()
    image = torch.randn(2, 3, 32, 32)
    output = encoder(image, RGB_UM, keep_tokens=0.5)
    assert output.tokens.shape == (2, 8, 32) and output.patch_tokens.shape == (2, 16, 32)
    assert encoder.eval()(image, RGB_UM, keep_tokens=0.5).tokens.shape == (2, 16, 32)


def test_keep_tokens_always_keeps_one_with_data():
    encoder = build().train()
    valid = torch.zeros(1, 32, 32, dtype=torch.bool)
    valid[:, :4, :4] = True
    image = torch.randn(1, 3, 32, 32)
    alone = encoder.eval()(image, RGB_UM, valid=valid).embedding
    encoder.train()
    for _ in range(8):
        assert torch.allclose(encoder(image, RGB_UM, valid=valid, keep_tokens=0.1).embedding, alone, atol=1e-5)


def test_gradients_reach_every_parameter():
    encoder = build(patch_size=2, stem=(8, 16)).train()
    channels = ChannelSet((0.0, 0.0), ("sigma0_vv_c", "sigma0_vh_c"), (5.405, 5.405))
    encoder(torch.randn(2, 2, 32, 32), channels=channels).embedding.sum().backward()
    assert [name for name, parameter in encoder.named_parameters() if parameter.grad is None] == []


def _spoiled(value: float) -> torch.Tensor:
    image = torch.randn(1, 3, 32, 32)
    image[0, 1, 5, 6] = value
    return image


GOOD = torch.zeros(1, 3, 32, 32)


@pytest.mark.parametrize(
    ("image", "arguments", "error", "message"),
    [
        (_spoiled(float("nan")), {}, DataError, "NaN or infinite.*mark those pixels with `valid`"),
        (_spoiled(float("inf")), {}, DataError, "NaN or infinite"),
        (_spoiled(float("-inf")), {}, DataError, "NaN or infinite"),
        (GOOD, {"valid": torch.zeros(1, 32, 32).bool()}, DataError, "no valid pixel at all; leave it out"),
        (GOOD, {"wavelengths_um": RGB_UM[:2]}, SensorError, "3 channels but 2 wavelengths were given; pass one per channel"),
        (GOOD, {"wavelengths_um": None}, SensorError, "needs wavelengths_um, one centre wavelength in µm per channel"),
        (GOOD, {"wavelengths_um": ()}, SensorError, "at least one channel"),
        (torch.zeros(1, 3, 32, 7), {}, DataError, "smaller than one token of 8 px; resize"),
        (torch.zeros(3, 32, 32), {}, DataError, r"must be \(B, C, H, W\), got shape \(3, 32, 32\)"),
    ],
)
def test_refusals(native, image, arguments, error, message):
    with pytest.raises(error, match=message):
        native(image, **{"wavelengths_um": RGB_UM, **arguments})


def test_one_empty_image_in_a_batch_is_refused(native):
    valid = torch.ones(2, 32, 32, dtype=torch.bool)
    valid[1] = False
    with pytest.raises(DataError, match="no valid pixel"):
        native(torch.zeros(2, 3, 32, 32), RGB_UM, valid=valid)
