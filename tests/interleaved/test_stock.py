"""Qwen2-VL with its own vision tower: the vectors are those of transformers' whole model on the same prompt."""

import numpy as np
import pytest
import torch
from transformers import Qwen2VLModel
from transformers.models.qwen2_vl.image_processing_qwen2_vl import Qwen2VLImageProcessor

from geolangbind import GeoPoint, Image, PixelBox
from geolangbind.errors import CheckpointError, DataError, SensorError, SettingsError
from geolangbind.interleaved.backbone import build_backbone, describe_backbone
from geolangbind.interleaved.encoder import InterleavedEncoder
from geolangbind.interleaved.folder import load_interleaved, save_interleaved
from geolangbind.interleaved.lora import LoraSettings, add_lora, lora_state
from geolangbind.models.interleaved import InterleavedConfig
from geolangbind.weights.read import read_weights

RGB = {"sensor": "aerial-rgb", "bands": ("R", "G", "B"), "unit": "display_u8"}
NUMBERS = np.random.default_rng(0)
SMALL, WIDE = (NUMBERS.integers(1, 255, (3, *size), dtype=np.uint8) for size in ((56, 56), (60, 100)))
SEQUENCES = [
    [Image(SMALL, **RGB), "What is in", PixelBox(3, 4, 20, 30)],
    ["a lake", GeoPoint(3, 4)],
    [Image(SMALL, **RGB), Image(WIDE, **RGB)],
]


def config(vocabulary) -> dict:
    """Of a very small Qwen2-VL whose image token is the filler."""
    rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3]}
    text = {
        "vocab_size": vocabulary.size, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
        "intermediate_size": 64, "bos_token_id": 0, "eos_token_id": 1, "rope_parameters": rope,
    }  # fmt: skip
    vision = {"depth": 1, "embed_dim": 32, "num_heads": 2, "hidden_size": 32, "mlp_ratio": 2}
    return {"text_config": text, "vision_config": vision, "image_token_id": vocabulary.filler}


@pytest.fixture(scope="module")
def bases(tmp_path_factory, vocabulary):
    """Whole models as transformers saves them, of other weights each."""
    place = tmp_path_factory.mktemp("stock")
    for seed, name in enumerate(("base", "other")):
        torch.manual_seed(seed)
        spec = describe_backbone("qwen2-vl", config=config(vocabulary), vision=True)
        build_backbone(spec).model.save_pretrained(place / name)
    return place


@pytest.fixture(scope="module")
def stock(bases, vocabulary):
    backbone = build_backbone(describe_backbone("qwen2-vl", bases / "base", vision=True))
    return InterleavedEncoder.create(backbone.take_vision(), backbone, vocabulary)


@pytest.mark.parametrize("sequence", SEQUENCES)
@torch.no_grad()
def test_vectors_are_those_of_the_whole_model_in_transformers(stock, bases, vocabulary, sequence):
    prompt, _ = stock._render([part if not isinstance(part, str) else _text(part) for part in sequence], "Represent this.", {})
    pictures = [torch.from_numpy(part.source) for part in sequence if isinstance(part, Image)]
    given = {}
    if pictures:
        taken = Qwen2VLImageProcessor()(images=pictures, return_tensors="pt")
        kinds = torch.tensor([prompt.slots]) == 1
        given = {"pixel_values": taken.pixel_values, "image_grid_thw": taken.image_grid_thw, "mm_token_type_ids": kinds.long()}
    whole = Qwen2VLModel.from_pretrained(bases / "base").eval()
    expected = whole(input_ids=torch.tensor([prompt.ids]), use_cache=False, **given).last_hidden_state[0, -1]
    # transformers rounds a resized image to whole grey levels, which ours is not: only the wide one is resized
    found = stock.embed([sequence], "Represent this.")[0]
    torch.testing.assert_close(found, expected / expected.norm(), atol=1e-3 if len(pictures) == 2 else 1e-5, rtol=0)
    assert prompt.ids[-1] == vocabulary.eos and set(prompt.slots) <= {0, 1}


def _text(words):
    from geolangbind import Text

    return Text(words)


def test_mixed_batches_give_what_each_gives_alone(stock):
    together = stock.embed(SEQUENCES)
    for vector, sequence in zip(together, SEQUENCES, strict=True):
        torch.testing.assert_close(stock.embed([sequence])[0], vector, atol=1e-5, rtol=0)


def test_an_image_takes_a_token_per_merged_patch_within_the_limits(stock):
    """28 px a token; at least 56 x 56 px; at most 1,280 tokens."""
    sizes = {(56, 56): (2, 2), (60, 100): (2, 4), (16, 16): (2, 2), (1024, 1024): (35, 35)}
    for size, grid in sizes.items():
        fitted = stock.tower.fitted_size(*size)
        assert stock.model.grid_of(*fitted) == grid and fitted == (28 * grid[0], 28 * grid[1])
    with pytest.raises(DataError, match="2 x 900 px is too narrow"):
        stock.embed([[Image(np.ones((3, 2, 900)), **RGB)]])


def test_visible_bands_are_chosen_by_wavelength(stock):
    bands = {"B08": 0.3, "B04": 0.06, "B02": 0.24, "B03": 0.15}
    image = np.stack([np.full((56, 56), value, np.float32) for value in bands.values()])
    many = Image(image, sensor="sentinel-2-l2a", bands=tuple(bands), unit="reflectance")
    display = np.stack([np.full((56, 56), bands[name] / 0.3 * 255, np.float32) for name in ("B04", "B03", "B02")])
    one, other = stock.embed([[many], [Image(display, sensor="sentinel-2-tci", bands=("R", "G", "B"), unit="display_u8")]], "Find.")
    facts_differ = stock.rendering.image_facts  # the sensor's name is part of the prompt
    assert "sensor" in facts_differ and not torch.equal(one, other)
    pixels = [stock._render([image], "", {})[1][0].pixels for image in (many, Image(display, **RGB))]
    torch.testing.assert_close(*pixels)


@pytest.mark.parametrize(
    "image",
    [
        Image(NUMBERS.uniform(0.01, 0.3, (2, 56, 56)), sensor="sentinel-1-grd", bands=("VV", "VH"), unit="sigma0_linear"),
        Image(NUMBERS.uniform(0, 900, (1, 56, 56)), sensor="copernicus-dem", unit="elevation_m"),
        Image(NUMBERS.uniform(0, 1, (2, 56, 56)), sensor="sentinel-2-l2a", bands=("B04", "B03"), unit="reflectance"),
        Image(NUMBERS.uniform(0, 1, (3, 56, 56)), sensor="sentinel-2-l2a", bands=("B08", "B11", "B12"), unit="reflectance"),
    ],
)
def test_sensors_without_red_green_and_blue_are_refused(stock, image):
    with pytest.raises(SensorError, match=f"sequence 0: .*sees red, green and blue only, and these bands of {image.sensor}") as caught:
        stock.embed([[image]])
    assert "\n" not in str(caught.value)


def test_adapters_land_on_the_language_path_and_reload_with_the_right_base_only(bases, vocabulary, tmp_path):
    backbone = build_backbone(describe_backbone("qwen2-vl", bases / "base", vision=True))
    assert (LoraSettings().r, LoraSettings().alpha, LoraSettings().dropout) == (16, 64, 0.1)
    assert all("language_model" in name for name in add_lora(backbone, LoraSettings(r=2)))
    encoder = InterleavedEncoder.create(backbone.take_vision(), backbone, vocabulary)
    assert not any("lora" in name for name in encoder.tower.state_dict())
    for tensor in lora_state(backbone).values():
        tensor.add_(torch.randn(tensor.shape) * 0.1)
    folder = save_interleaved(encoder, tmp_path / "m")
    assert not (folder / "tower").exists() and "the backbone's own" in (folder / "README.md").read_text()
    assert not any(name.startswith(("tower.", "backbone.")) for name in read_weights(folder / "model.safetensors"))
    assert torch.equal(load_interleaved(folder).embed(SEQUENCES), encoder.embed(SEQUENCES))
    with pytest.raises(CheckpointError, match="other are not those that this model was built on"):
        load_interleaved(folder, base=bases / "other")


def test_random_weights_carry_their_tower(vocabulary, tmp_path):
    backbone = build_backbone(describe_backbone("qwen2-vl", config=config(vocabulary), vision=True))
    encoder = InterleavedEncoder.create(backbone.take_vision(), backbone, vocabulary)
    assert torch.equal(load_interleaved(save_interleaved(encoder, tmp_path / "m")).embed(SEQUENCES), encoder.embed(SEQUENCES))


def test_parts_that_do_not_fit_are_refused(stock, tower, vocabulary):
    with pytest.raises(SettingsError, match="no vision tower to give"):
        stock.backbone.take_vision()
    with pytest.raises(SettingsError, match="a text backbone has no vision tower of its own"):
        describe_backbone("text", config={"model_type": "llama", "vocab_size": 60}, vision=True)
    for eye, projector in ((tower, "none"), (stock.tower, "shuffle")):
        with pytest.raises(SettingsError, match=f"projector is '{projector}'; 'none' goes with Qwen2-VL's own tower"):
            InterleavedEncoder.create(eye, stock.backbone, vocabulary, config=InterleavedConfig(projector=projector))
