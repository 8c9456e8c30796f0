"""The model as users hold it: encoding any sensor, saving, loading, refusing."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import geolangbind
from geolangbind.errors import CheckpointError, DataError, SensorError, UnitError
from geolangbind.model import GeoLangBind
from geolangbind.models.encoder import VisionConfig
from geolangbind.models.text import TextConfig
from geolangbind.models.two_tower import TwoTower
from geolangbind.sensors import Unit, channel_set, get_sensor
from geolangbind.statistics import KindStatistics, Statistics
from geolangbind.tokenizer import TextTokenizer, clip_tokenizer
from geolangbind.weights.load import load

KINDS = {
    "reflectance_surface": KindStatistics("log", (0.4, 2.4), (-2.0, -1.5), (0.7, 0.7)),
    "display": KindStatistics("identity", (0.4,), (0.5,), (0.2,)),
    "sigma0_vv_c": KindStatistics("identity", (0.0,), (-11.0,), (5.0,)),
    "sigma0_vh_c": KindStatistics("identity", (0.0,), (-18.0,), (5.0,)),
    "brightness_temperature": KindStatistics("identity", (10.0,), (290.0,), (12.0,)),
    "elevation": KindStatistics("relief", (0.0,), (0.0,), (1.5,)),
}
S2 = ["B04", "B03", "B02"]
MODALITIES = {
    "rgb": ("aerial-rgb", ["R", "G", "B"], "display_u8", 0, 255),
    "sar": ("sentinel-1-grd", ["VV", "VH"], "sigma0_db", -25, 0),
    "msi": ("sentinel-2-l2a", ["B02", "B03", "B04", "B08", "B11", "B12"], "reflectance", 0, 0.5),
    "hsi": ("enmap-l2a", [f"B{i}" for i in range(1, 61)], "reflectance", 0, 0.5),
    "ir": ("aster-tir", ["B13"], "brightness_temperature_k", 270, 320),
    "dem": ("copernicus-dem", ["elevation"], "elevation_m", 0, 900),
}


def build(native: bool = True, **changes) -> GeoLangBind:
    torch.manual_seed(0)
    vision = VisionConfig(32, 8, 32, 1, 2, 64, generator_hidden=64, kinds=native, mean_over_channels=native)
    tokenizer = TextTokenizer("cut", clip_tokenizer(100), 10, "canonicalize")
    towers = TwoTower(vision, TextConfig(614, 10, 16, 1, 2, 2.0, 32))
    return GeoLangBind(towers, **{"tokenizer": tokenizer, "statistics": Statistics(KINDS), **changes}).eval()


@pytest.fixture(scope="module")
def model() -> GeoLangBind:
    return build()


@pytest.fixture
def folder(model, tmp_path) -> Path:
    return model.save(tmp_path / "model")


def chips(kind: str, count: int = 2) -> torch.Tensor:
    _, bands, _, low, high = MODALITIES[kind]
    return low + (high - low) * torch.rand(count, len(bands), 32, 32, generator=torch.Generator().manual_seed(1))


def encode(model: GeoLangBind, kind: str, image=None, **changes) -> torch.Tensor:
    sensor, bands, unit, *_ = MODALITIES[kind]
    return model.encode_image(chips(kind) if image is None else image, **{"sensor": sensor, "bands": bands, "unit": unit, **changes})


@pytest.mark.parametrize("kind", list(MODALITIES))
def test_every_modality_survives_saving_bit_by_bit(model, folder, kind):
    again = load(folder)
    vectors = encode(model, kind)
    assert vectors.shape == (2, 32) and vectors.dtype == torch.float32
    assert torch.allclose(vectors.norm(dim=1), torch.ones(2), atol=1e-6)
    assert torch.equal(encode(again, kind), vectors)


def test_everything_else_survives_saving(tmp_path):
    told = {
        "trained_sensors": ("aerial-rgb", "sentinel-1-grd"),
        "trained_words": frozenset({"field", "pond"}),
        "gsd_m": (0.5, 10.0),
        "parents": [{"role": "base", "sha256": "abc"}],
        "provenance": {"seed": 3},
        "heads": {"maka.vit.conv1.bias": torch.arange(4.0)},
        "statistics": Statistics(KINDS, {"s2/reflectance_surface": {"B04": (-1.0, 0.5)}}),
    }
    model = build(**told)
    again = load(model.save(tmp_path / "m"))
    for name, value in told.items():
        if name != "heads":
            assert getattr(again, name) == value, name
    assert list(again.heads) == list(model.heads) and torch.equal(again.heads["maka.vit.conv1.bias"], torch.arange(4.0))
    assert again.config() == model.config()
    assert torch.equal(again.encode_text(["a pond"]), model.encode_text(["a pond"]))
    assert not again.towers.training
    assert again.vision.config == model.vision.config and again.towers.text_config == model.towers.text_config
    card = (tmp_path / "m" / "README.md").read_text()
    assert "aerial-rgb, sentinel-1-grd" in card and "| elevation | relief |" in card


def test_config_json_says_the_convention(folder, tmp_path):
    assert json.loads((folder / "config.json").read_text())["channel_code"] == {"convention": "native-1", "mean_over_channels": True}
    bare = build(native=False).save(tmp_path / "bare")
    assert json.loads((bare / "config.json").read_text())["channel_code"] == {
        "convention": "wavelengths-only",
        "mean_over_channels": False,
    }
    assert load(bare).vision.config.kinds is False


def test_load_takes_a_run_folder_and_is_exported(folder):
    assert torch.equal(geolangbind.load(str(folder.parent)).encode_text(["x"]), load(folder).encode_text(["x"]))


def test_numpy_and_torch_and_single_images(model):
    image = chips("msi")
    vectors = encode(model, "msi")
    assert torch.equal(encode(model, "msi", image.numpy()), vectors)
    frozen = image.double().numpy()
    frozen.flags.writeable = False
    assert torch.allclose(encode(model, "msi", frozen), vectors, atol=1e-6)
    assert torch.allclose(encode(model, "msi", image[0].clone().requires_grad_()), vectors[:1], atol=1e-6)
    u8 = chips("rgb").numpy().astype(np.uint8)
    assert torch.equal(encode(model, "rgb", u8), encode(model, "rgb", u8.astype(np.float32)))


def test_encoding_leaves_the_users_array_alone(model):
    for kind in MODALITIES:
        image = chips(kind).numpy()
        before = image.copy()
        encode(model, kind, image)
        assert np.array_equal(image, before)


def test_encode_image_is_the_sum_of_its_steps(model):
    """Canonical units, statistics, encoder, unit length."""
    image = chips("rgb")
    sensor = get_sensor("aerial-rgb")
    channels = channel_set(sensor, sensor.select(bands=["R", "G", "B"]), Unit.DISPLAY_U8)
    with torch.no_grad():
        embedding = model.vision((image / 255 - 0.5) / 0.2, channels=channels).embedding
    assert torch.allclose(encode(model, "rgb"), embedding / embedding.norm(dim=1, keepdim=True), atol=1e-6)


def test_linear_backscatter_equals_its_decibels(model):
    linear = 10 ** (chips("sar") / 10)
    assert torch.allclose(encode(model, "sar", linear, unit="sigma0_linear"), encode(model, "sar"), atol=1e-4)
    celsius = encode(model, "ir", chips("ir") - 273.15, unit="celsius")
    assert torch.allclose(celsius, encode(model, "ir"), atol=1e-4)


def test_band_order_follows_the_names(model):
    image = chips("msi")
    names = MODALITIES["msi"][1]
    flipped = encode(model, "msi", image.flip(1), bands=names[::-1])
    assert torch.allclose(flipped, encode(model, "msi", image), atol=1e-5)


def test_a_sensor_of_one_band_needs_no_names(model):
    assert torch.equal(encode(model, "dem", bands=None), encode(model, "dem"))


@pytest.mark.parametrize("shape", [(32, 32), (2, 32, 32)])
@pytest.mark.parametrize("kind", ["msi", "dem"])
def test_invalid_pixels_do_not_count_even_as_nan(model, shape, kind):
    valid = torch.ones(shape, dtype=torch.bool)
    valid[..., :, :9] = False
    image = chips(kind)
    holed = image.clone()
    holed[..., :9] = float("nan")
    expected = encode(model, kind, image, valid=valid)
    assert torch.equal(encode(model, kind, holed, valid=valid), expected)
    assert torch.equal(encode(model, kind, holed.numpy(), valid=valid.numpy()), expected)
    assert not torch.allclose(encode(model, kind, image), expected, atol=1e-4)


def test_wavelengths_instead_of_a_sensor():
    bare = build(native=False)
    image = torch.randn(2, 3, 32, 32)
    vectors = bare.encode_image(image, wavelengths_um=[0.665, 0.56, 0.49])
    assert torch.equal(bare.encode_image(image, wavelengths_um=torch.tensor([0.665, 0.56, 0.49])), vectors)
    with torch.no_grad():
        embedding = bare.vision(image, (0.665, 0.56, 0.49)).embedding
    assert torch.allclose(vectors, embedding / embedding.norm(dim=1, keepdim=True), atol=1e-6)


NAN = torch.full((2, 6, 32, 32), float("nan"))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"sensor": None}, SensorError, r"sensor=, bands= and unit=, or wavelengths_um="),
        ({"unit": None}, SensorError, r"in which unit .*unit=.*sentinel-2-l2a products hold reflectance"),
        ({"unit": "furlongs"}, UnitError, r"unknown unit 'furlongs'; units are"),
        ({"unit": "dn"}, UnitError, r"no physical meaning; give their scale"),
        ({"bands": None}, SensorError, r"which bands of sentinel-2-l2a.*a count is never taken as an order"),
        ({"bands": S2}, SensorError, r"6 channels but 3 bands were named; name one per channel"),
        ({"bands": ["B99"]}, SensorError, r"B99"),
        ({"sensor": "sentinel-9"}, SensorError, r"unknown sensor 'sentinel-9'"),
        ({"sensor": "sentinel-2-l1c"}, UnitError, r"never taught reflectance_toa .*it knows .*reflectance_surface"),
        ({"image": NAN}, DataError, r"NaN or infinite.*`valid`"),
        ({"image": torch.zeros(32, 32)}, DataError, r"\(C, H, W\) or \(B, C, H, W\), got shape \(32, 32\)"),
        ({"valid": torch.zeros(32, 32).bool()}, DataError, r"no valid pixel"),
        ({"valid": torch.ones(16, 32).bool()}, DataError, r"valid must be \(H, W\) or \(B, H, W\).*got \(16, 32\)"),
        ({"image": torch.zeros(2, 6, 4, 4)}, DataError, r"smaller than one token"),
    ],
)
def test_refusals_of_encode_image(model, changes, error, message):
    with pytest.raises(error, match=message):
        encode(model, "msi", **changes)


def test_a_ground_sampling_distance_far_from_training_warns():
    model = build(gsd_m=(0.5, 10.0))
    for gsd_m in (0.125, 5.0, 40.0, None):
        encode(model, "msi", gsd_m=gsd_m)
    for gsd_m in (0.1, 41.0):
        with pytest.warns(UserWarning, match=rf"{gsd_m:g} m pixels; the model was trained on 0.5-10 m"):
            encode(model, "msi", gsd_m=gsd_m)


def test_text(model):
    vectors = model.encode_text(["A harbour!", "a harbour", "two ponds"])
    assert vectors.shape == (3, 32) and torch.equal(vectors[0], vectors[1])
    assert torch.allclose(vectors.norm(dim=1), torch.ones(3), atol=1e-6)
    assert model.encode_text([]).shape == (0, 32)
    with pytest.raises(DataError, match=r"encode_text\(\[text\]\)"):
        model.encode_text("a harbour")


def test_without_tokenizer(tmp_path):
    model = build(tokenizer=None)
    with pytest.raises(CheckpointError, match=r"no tokenizer.*load it from a folder that holds tokenizer\.json"):
        model.encode_text(["x"])
    copy = load(model.save(tmp_path / "m"))
    assert copy.tokenizer is None and not (tmp_path / "m" / "tokenizer.json").exists()
    image = torch.rand(1, 3, 32, 32)
    assert torch.equal(
        copy.encode_image(image, wavelengths_um=(0.66, 0.56, 0.49)), model.encode_image(image, wavelengths_um=(0.66, 0.56, 0.49))
    )


def test_unknown_words():
    model = build(trained_words=frozenset({"a", "field", "of", "wheat"}))
    assert model.unknown_words(["A field of wheat.", "two Fields of rye, rye!"]) == ["fields", "rye", "two"]
    assert build().unknown_words(["anything"]) == []


def change_config(folder: Path, **changes) -> None:
    config = json.loads((folder / "config.json").read_text())
    config.update(changes)
    (folder / "config.json").write_text(json.dumps({key: value for key, value in config.items() if value is not ...}))


@pytest.mark.parametrize("key", ["architecture", "channel_code", "statistics", "tokenizer", "preprocessing", "trained_words", "parents"])
def test_an_incomplete_config_is_refused(folder, key):
    config = json.loads((folder / "config.json").read_text())
    del config[key]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=rf"{folder}.*incomplete or damaged.*{key}"):
        load(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [("architecture", {"vision": {"stem": [], "heads": 3}, "text": {}}), ("architecture", 3), ("channel_code", []), ("tokenizer", [])],
)
def test_a_damaged_config_is_refused(folder, key, value):
    change_config(folder, **{key: value})
    with pytest.raises(CheckpointError, match="damaged"):
        load(folder)


def test_missing_files_are_named(folder):
    (folder / "tokenizer.json").rename(folder / "hidden")
    with pytest.raises(CheckpointError, match=rf"incomplete.*{folder}/tokenizer\.json"):
        load(folder)
    (folder / "hidden").rename(folder / "tokenizer.json")
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"cannot read .*model\.safetensors"):
        load(folder)
    with pytest.raises(CheckpointError, match="no model at"):
        load(folder / "nowhere")


def test_another_tokenizer_is_refused(folder):
    (folder / "tokenizer.json").write_text(clip_tokenizer(101).to_str())
    with pytest.raises(CheckpointError, match="not the one these weights were trained with"):
        load(folder)


def test_every_mismatch_is_listed_once(folder):
    tensors = load_file(folder / "model.safetensors")
    del tensors["logit_bias"]
    tensors["vision.norm.weight"] = torch.zeros(7)
    tensors["extra"] = torch.zeros(1)
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match="3 differences") as failure:
        load(folder)
    assert [line.split(maxsplit=1) for line in str(failure.value).splitlines()[2:]] == [
        ["extra", "(1,)        unexpected"],
        ["logit_bias", "missing     ()"],
        ["vision.norm.weight", "(7,)        (32,)"],
    ]
