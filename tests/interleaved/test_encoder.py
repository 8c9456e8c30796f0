"""Sequences in, unit vectors out: every mix of inputs, every sensor, and clear refusals."""

import datetime as dt

import numpy as np
import pytest
import torch

import geolangbind
from geolangbind import Date, GeoBox, GeoPoint, Image, PixelBox, Text
from geolangbind.errors import CheckpointError, DataError, GeoLangBindError, SensorError, SettingsError, UnitError
from geolangbind.interleaved.backbone import build_backbone, describe_backbone
from geolangbind.interleaved.encoder import InterleavedEncoder
from geolangbind.interleaved.images import fitted_size
from geolangbind.interleaved.render import Rendering
from geolangbind.interleaved.vocabulary import tiny_vocabulary

RGB = {"sensor": "aerial-rgb", "bands": ("R", "G", "B"), "unit": "display_u8"}
SAR = {"sensor": "sentinel-1-grd", "bands": ("VV", "VH"), "unit": "sigma0_linear"}
DEM = {"sensor": "copernicus-dem", "unit": "elevation_m"}


def numbers(count, low, high, side=32, seed=0):
    return np.random.default_rng(seed).uniform(low, high, (count, side, side)).astype(np.float32)


PIXELS = numbers(3, 0, 255)
MIXES = {
    "text": ["a harbour"],
    "image": [Image(PIXELS, **RGB)],
    "box": [Image(PIXELS, **RGB), "What is in", PixelBox(3, 4, 20, 30)],
    "adjacent": [Image(PIXELS, **RGB), Image(numbers(2, 0.01, 0.3), **SAR)],
    "place": ["mapped at", GeoPoint(58.4, 15.6), GeoBox(-10, 40, 5, 50), Date(dt.date(2020, 5, 1))],
    "heights": [Text("how high"), Image(numbers(1, 0, 900), **DEM, gsd_m=30, date=dt.date(2021, 1, 2))],
}


@pytest.mark.parametrize("name", MIXES)
def test_every_mix_is_a_unit_vector_of_its_own(encoder, name):
    vectors = encoder.embed([MIXES[name], ["something else"]], instruction="Represent this.")
    assert vectors.shape == (2, 32) and vectors.dtype == torch.float32
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(2))
    assert vectors[0] @ vectors[1] < 0.9999


def test_a_mixed_batch_gives_what_each_gives_alone_in_the_order_given(encoder):
    together = encoder.embed(list(MIXES.values()))
    for vector, sequence in zip(together, MIXES.values(), strict=True):
        torch.testing.assert_close(encoder.embed([sequence])[0], vector, atol=1e-5, rtol=0)


def test_batch_size_changes_nothing_and_progress_is_told(encoder):
    told = []
    sequences = list(MIXES.values())
    small = encoder.embed(sequences, batch_size=4, progress=lambda done, total: told.append((done, total)))
    torch.testing.assert_close(small, encoder.embed(sequences), atol=1e-5, rtol=0)
    assert told == [(4, 6), (6, 6)]
    assert encoder.embed([]).shape == (0, 32)


def test_what_is_said_matters(encoder):
    image = Image(PIXELS, **RGB)
    one, other, instructed, moved = encoder.embed(
        [[image, PixelBox(0, 0, 8, 8)], [image, PixelBox(8, 8, 32, 32)], [image], [GeoPoint(1, 2)]]
    )
    assert not torch.allclose(one, other, atol=1e-4)
    assert not torch.allclose(encoder.embed([[image]], "Find a caption.")[0], instructed, atol=1e-4)
    assert not torch.allclose(encoder.embed([[GeoPoint(1, 2.5)]])[0], moved, atol=1e-4)


def test_shorter_vectors_are_the_first_numbers_at_unit_length(encoder):
    whole, cut = encoder.embed([["a lake"]]), encoder.embed([["a lake"]], dim=8)
    torch.testing.assert_close(cut, whole[:, :8] / whole[:, :8].norm(dim=1, keepdim=True))
    with pytest.raises(SettingsError, match="dim is 33"):
        encoder.embed([["a lake"]], dim=33)


def test_files_and_arrays_give_the_same(encoder, tmp_path, tif):
    stored = np.random.default_rng(0).integers(1, 255, (3, 32, 32), dtype=np.uint8)
    path = tif(tmp_path / "a.tif", stored)
    by_path = encoder.embed([[Image(path, **RGB)], [Image(str(path), **RGB)]])
    by_raster = encoder.embed([[Image(geolangbind.read_raster(path, **RGB))]])
    by_pixels = encoder.embed([[Image(torch.from_numpy(stored), **RGB, gsd_m=10.0)]])
    torch.testing.assert_close(by_path, torch.cat([by_raster, by_pixels]), atol=1e-6, rtol=0)


def test_bands_come_in_any_order(encoder):
    plain, turned, wrong = encoder.embed(
        [
            [Image(PIXELS, **RGB)],
            [Image(PIXELS[[2, 0, 1]], **{**RGB, "bands": ("B", "R", "G")})],
            [Image(PIXELS[[2, 0, 1]], **RGB)],
        ]
    )
    torch.testing.assert_close(turned, plain, atol=1e-5, rtol=0)
    assert not torch.allclose(wrong, plain, atol=1e-4)


def test_an_image_is_read_once_for_all_that_is_said_of_it(encoder, tmp_path, tif, monkeypatch):
    path = tif(tmp_path / "a.tif", np.full((3, 32, 32), 9, np.uint8))
    calls = []
    monkeypatch.setattr(
        "geolangbind.interleaved.images.read_raster", lambda path, **said: calls.append(path) or geolangbind.read_raster(path, **said)
    )
    encoder.embed([[Image(path, **RGB), PixelBox(0, 0, 9 + i, 9)] for i in range(5)])
    assert len(calls) == 1
    first, later = (encoder.embed([[Image(path, **RGB, date=dt.date(year, 1, 1))] for year in years]) for years in ((2020, 2021), (2021,)))
    torch.testing.assert_close(first[1], later[0], atol=1e-5, rtol=0)  # the same pixels on another day are another image
    assert not torch.allclose(first[0], first[1], atol=1e-5)


def test_large_images_are_averaged_down_and_boxes_keep_their_place(encoder):
    large = PIXELS.repeat(4, 1).repeat(4, 2)
    small, big = encoder.embed([[Image(PIXELS, **RGB), PixelBox(4, 8, 16, 24)], [Image(large, **RGB), PixelBox(16, 32, 64, 96)]])
    torch.testing.assert_close(big, small, atol=1e-5, rtol=0)


def test_sides_are_brought_to_what_the_projector_joins(encoder):
    """Tokens of 8 px joined 2 x 2: any side of 16 to 23 px has two, which is even; 24 to 31 px have three, which is not."""
    assert [fitted_size(encoder.model, side, 32) for side in (16, 23, 24, 31, 32, 47, 48)] == [
        (16, 32), (23, 32), (23, 32), (23, 32), (32, 32), (39, 32), (48, 32),
    ]  # fmt: skip
    assert encoder.embed([[Image(PIXELS[:, :29], **RGB)]]).shape == (1, 32)
    with pytest.raises(DataError, match="32 x 15 px is too small or too narrow; this model needs 16 px"):
        fitted_size(encoder.model, 32, 15)
    # 32 px on the longer side leave 1024 / 256 = 4 on the other
    with pytest.raises(DataError, match=r"64 x 512 px, which the model sees averaged down to 4 x 32 px, is too small.*; cut it into tiles"):
        fitted_size(encoder.model, 64, 512)


def test_pixels_without_data_do_not_matter(encoder):
    valid = np.ones((32, 32), bool)
    valid[:, 20:] = False
    one, other = PIXELS.copy(), PIXELS.copy()
    one[:, :, 20:], other[:, :, 20:] = 0, np.nan
    vectors = encoder.embed([[Image(one, **RGB, valid=valid)], [Image(other, **RGB, valid=valid)], [Image(PIXELS, **RGB)]])
    torch.testing.assert_close(vectors[0], vectors[1], atol=1e-6, rtol=0)
    assert not torch.allclose(vectors[0], vectors[2], atol=1e-5)


@pytest.mark.parametrize(
    ("sequence", "failure", "told"),
    [
        ("a harbour", DataError, "a sequence is a list of segments"),
        (Image(PIXELS), DataError, "a sequence is a list of segments"),
        ([], DataError, "at least one segment"),
        ([PIXELS], DataError, "is no segment"),
        ([Image(np.zeros((3, 32, 32)), **RGB)], DataError, "every pixel of the image is zero"),
        ([Image(np.zeros((2, 32, 32)), **SAR)], DataError, "every pixel of the image is zero"),
        ([Image(np.full((3, 32, 32), np.nan), **RGB)], DataError, "NaN or infinite"),
        ([Image(PIXELS, **RGB, valid=np.zeros((32, 32), bool))], DataError, "no valid pixel"),
        ([Image(PIXELS, **RGB, valid=np.ones((9, 9), bool))], DataError, "valid must be"),
        ([Image(PIXELS[0], **RGB)], DataError, r"pixels \(C, H, W\); got ndarray \(32, 32\)"),
        ([Image(None, **RGB)], DataError, "got NoneType"),
        ([Image(PIXELS, unit="display_u8")], SensorError, "pixels need their sensor"),
        ([Image(PIXELS, sensor="aerial-rgb", unit="display_u8")], SensorError, "say which bands of aerial-rgb"),
        ([Image(PIXELS, **{**RGB, "bands": ["R", "G"]})], SensorError, "3 channels but 2 bands"),
        ([Image(PIXELS, sensor="aerial-rgb", bands=["R", "G", "B"])], SensorError, "in which unit"),
        ([Image(PIXELS, **{**RGB, "unit": "furlong"})], UnitError, "unknown unit 'furlong'"),
        ([Image(numbers(1, 1, 9), sensor="copernicus-dem", unit="height_m")], UnitError, "height"),
        ([Image("nowhere.tif", **RGB)], DataError, "nowhere.tif: no such file"),
        (["in", PixelBox(0, 0, 3, 3)], DataError, "a box lies in image 0"),
        ([Image(PIXELS, **RGB), PixelBox(0, 0, 40, 3)], DataError, "40"),
        (["word " * 600], DataError, "more than max_length"),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_one_line_with_the_sequence(encoder, sequence, failure, told):
    with pytest.raises(failure, match=f"^sequence 1: .*{told}") as caught:
        encoder.embed([["fine"], sequence])
    assert "\n" not in str(caught.value) and isinstance(caught.value, GeoLangBindError)


def test_a_raster_without_data_is_refused(encoder, tmp_path, tif):
    path = tif(tmp_path / "a.tif", np.zeros((3, 32, 32), np.uint8))
    with pytest.raises(DataError, match="every pixel of the image is zero"):
        encoder.embed([[Image(path, **RGB)]])
    with pytest.raises(DataError, match=r"no .*valid pixel"):
        encoder.embed([[Image(tif(tmp_path / "b.tif", np.zeros((3, 32, 32), np.uint8), nodata=0), **RGB)]])
    with pytest.raises(DataError, match="say them to read_raster"):
        encoder.embed([[Image(geolangbind.read_raster(path, **RGB), sensor="aerial-rgb")]])
    with pytest.raises(DataError, match="valid= goes with pixels"):
        encoder.embed([[Image(path, **RGB, valid=np.ones((32, 32), bool))]])


def test_radar_files_without_data_are_refused_as_stored(encoder, tmp_path, tif):
    """In decibel, as the model sees them, zeros are -60."""
    empty = tif(tmp_path / "a.tif", np.zeros((2, 32, 32), np.float32))
    with pytest.raises(DataError, match="every pixel of the image is zero"):
        encoder.embed([[Image(empty, **SAR)]])
    pixels = np.full((2, 32, 32), -9999, np.float32)
    pixels[:, 8:] = 0  # what is no data says nothing
    with pytest.raises(DataError, match="every pixel of the image is zero"):
        encoder.embed([[Image(tif(tmp_path / "b.tif", pixels, nodata=-9999), **SAR)]])
    pixels[0, 20, 20] = 0.1
    assert encoder.embed([[Image(tif(tmp_path / "c.tif", pixels, nodata=-9999), **SAR)]]).shape == (1, 32)


@pytest.mark.parametrize("dtype", [">u2", ">f4", "<u2", "u2"])
def test_pixels_in_any_order_of_bytes(encoder, dtype):
    whole = PIXELS.round()
    vectors = encoder.embed([[Image(whole, **RGB)], [Image(whole.astype(dtype), **RGB)]])
    torch.testing.assert_close(vectors[1], vectors[0])


def test_calls_of_another_shape_are_refused(encoder):
    with pytest.raises(DataError, match="embed takes a list of sequences"):
        encoder.embed("a harbour")
    with pytest.raises(DataError, match="embed takes a list of sequences"):
        encoder.embed(Image(PIXELS, **RGB))
    with pytest.raises(DataError, match="one instruction"):
        encoder.embed([["a"]], ["b"])
    with pytest.raises(SettingsError, match="batch_size is 0"):
        encoder.embed([["a"]], batch_size=0)


def test_a_vocabulary_larger_than_the_backbone_is_refused(tower):
    backbone = build_backbone(describe_backbone("tiny", config={"vocab_size": 100, "hidden_size": 32, "num_hidden_layers": 1}))
    with pytest.raises(CheckpointError, match="has 8198 entries, the backbone 100"):
        InterleavedEncoder.create(tower, backbone, tiny_vocabulary(), Rendering())
