import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geolangbind.data.batch import Batch, collate
from geolangbind.data.buffers import Buffers
from geolangbind.data.decode import decode_image
from geolangbind.data.sample import Sample, SampleMeta
from geolangbind.errors import DataError
from geolangbind.sensors.units import Unit


def test_scale_and_offset_lead_to_the_unit(make_sample):
    stored = np.array([0, 1000, 10000, 65535], np.uint16).reshape(4, 1, 1)
    batch = collate([make_sample(0, image=stored, scale=1e-4, offset=-0.1)])
    np.testing.assert_allclose(batch.image.flatten(), [-0.1, 0.0, 0.9, 6.4535], atol=1e-6)
    assert (batch.unit, batch.modality, batch.valid, batch.masks) == (Unit.REFLECTANCE, "msi", None, None)


def test_values_come_in_canonical_units(make_sample):
    picture = collate([make_sample(0, "rgb", image=np.array([0, 51, 255], np.uint8).reshape(3, 1, 1))])
    np.testing.assert_allclose(picture.image.flatten(), [0, 0.2, 1], atol=1e-7)
    radar = collate([make_sample(0, "sar", unit=Unit.SIGMA0_LINEAR, image=np.array([0.1, 1.0], np.float32).reshape(2, 1, 1))])
    np.testing.assert_allclose(radar.image.flatten(), [-10, 0], atol=1e-5)
    assert radar.unit is Unit.SIGMA0_DB
    assert radar.channels.kinds == ("sigma0_vv_c", "sigma0_vh_c")


@pytest.mark.parametrize("dtype", ["u1", "i2", "<u4", ">f4", "f8", "f2"])
def test_any_stored_dtype_becomes_the_same_float32(make_sample, dtype):
    stored = np.arange(1, 1 + 4 * 6 * 8).reshape(4, 6, 8) % 100
    batch = collate([make_sample(0, image=stored.astype(dtype), scale=0.01)])
    assert batch.image.dtype == torch.float32
    np.testing.assert_allclose(batch.image[0], stored * 0.01, rtol=1e-6)


@pytest.mark.parametrize("nodata", [0.0, float("nan"), -3.4028234663852886e38])
def test_no_data_in_any_channel_makes_the_pixel_invalid_and_zero(make_sample, nodata):
    stored = np.full((4, 6, 8), 500, np.float32)
    stored[1, 2, 3] = nodata
    whole = make_sample(1, image=np.ones((4, 6, 8), np.float32), nodata=nodata)
    batch = collate([make_sample(0, image=stored, nodata=nodata, scale=10.0), whole])
    assert batch.valid.sum() == 2 * 48 - 1
    assert not batch.valid[0, 2, 3]
    assert batch.image[0, :, 2, 3].tolist() == [0, 0, 0, 0]
    assert torch.all(batch.image[0][:, batch.valid[0]] == 5000)


def test_facts_of_the_samples_stay_in_order(make_sample):
    mask = np.arange(48, dtype=np.uint8).reshape(6, 8)
    samples = [make_sample(3, mask=mask), make_sample(1, mask=mask + 1, gsd_m=20.0, captions=("x", "y"), labels={"scene": "lake"})]
    batch = collate(samples)
    assert batch.keys == ("s0003", "s0001")
    assert batch.captions == (("caption 3",), ("x", "y"))
    assert batch.gsd_m == (10.0, 20.0)
    assert batch.labels == {"n": (3, None), "scene": (None, "lake")}
    assert batch.masks.dtype == torch.uint8
    np.testing.assert_array_equal(batch.masks, np.stack([mask, mask + 1]))
    assert len(batch) == 2
    assert len(batch.channels) == len(batch.bands) == 4


def test_moving_keeps_everything(make_sample):
    stored = np.full((4, 6, 8), 500, np.uint16)
    stored[0, 0, 0] = 0
    sample = make_sample(0, image=stored, nodata=0.0, mask=np.zeros((6, 8), np.uint8))
    batch = collate([replace(sample, features={"vit": np.zeros((2, 3), np.float16)})])
    moved = batch.to("meta")
    assert {tensor.device.type for tensor in (moved.image, moved.valid, moved.masks, moved.features["vit"])} == {"meta"}
    assert (batch.image.device.type, moved.keys, moved.channels) == ("cpu", batch.keys, batch.channels)
    assert torch.equal(batch.to("cpu").image, batch.image)


def test_samples_that_do_not_belong_together_are_refused(make_sample):
    for other in (make_sample(1, "sar"), make_sample(1, image=np.ones((4, 5, 5), np.uint16)), make_sample(1, unit=Unit.CELSIUS)):
        with pytest.raises(DataError, match="s0000 and s0001 differ"):
            collate([make_sample(0), other])
    with pytest.raises(DataError, match="at least one"):
        collate([])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_broken_pixels_name_their_sample(make_sample, value):
    stored = np.ones((4, 6, 8), np.float32)
    stored[3, 5, 7] = value
    with pytest.raises(DataError, match="sample s0007 has NaN or infinite pixels"):
        collate([make_sample(1, image=np.ones_like(stored)), make_sample(7, image=stored)])


def test_huge_but_finite_values_are_no_error(make_sample):
    collate([make_sample(0, image=np.full((4, 6, 8), 3e38, np.float32), scale=1.0)])


def test_samples_without_one_valid_pixel_are_refused(make_sample):
    with pytest.raises(DataError, match="sample s0001 has no valid pixel"):
        collate([make_sample(0, nodata=0.0), make_sample(1, nodata=0.0, image=np.zeros((4, 6, 8), np.uint16))])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"image": torch.zeros(1, 4, 6, 8, dtype=torch.float64)}, "float32"),
        ({"image": torch.zeros(4, 6, 8)}, "float32"),
        ({"image": torch.zeros(1, 3, 6, 8)}, "3 channels in the batch, but 4 described"),
        ({"bands": ("B02",)}, "1 band names"),
        ({"keys": ("a", "b")}, "but 2 keys"),
        ({"labels": {"scene": ()}}, "but 0 scene"),
        ({"features": {"vit": torch.zeros(2, 1, 1)}}, "but 2 vit"),
        ({"valid": torch.ones(1, 6, 8)}, "valid must be torch.bool"),
        ({"masks": torch.zeros(1, 6, 7, dtype=torch.uint8)}, "masks must be torch.uint8"),
    ],
)
def test_a_batch_checks_itself(make_sample, change, words):
    good = collate([make_sample(0)])
    fields = {name: getattr(good, name) for name in Batch.__dataclass_fields__}
    with pytest.raises(DataError, match=words):
        Batch(**{**fields, **change})


def test_with_bands_keeps_pixels_and_descriptions_together(make_sample):
    batch = collate([make_sample()])
    chosen = list(range(len(batch.bands)))[::-2]
    fewer = batch.with_bands(chosen)
    assert fewer.bands == tuple(batch.bands[i] for i in chosen)
    assert fewer.channels.wavelengths_um == tuple(batch.channels.wavelengths_um[i] for i in chosen)
    assert fewer.channels.kinds == tuple((batch.channels.kinds or ())[i] for i in chosen)
    for position, i in enumerate(chosen):
        assert torch.equal(fewer.image[:, position], batch.image[:, i])


CANONICAL = {  # as first written, with new memory at each step
    Unit.REFLECTANCE: lambda values: values,
    Unit.DISPLAY_U8: lambda values: values / np.float32(255),
    Unit.CELSIUS: lambda values: values + np.float32(273.15),
    Unit.SIGMA0_LINEAR: lambda values: (10 * np.log10(np.maximum(values, np.float32(1e-6)))).astype(np.float32),
}
SENSORS = {
    Unit.DISPLAY_U8: ("aerial-rgb", ("R", "G", "B")),
    Unit.SIGMA0_LINEAR: ("sentinel-1-grd", ("VV", "VH")),
    Unit.CELSIUS: ("landsat-8-9-l1", ("B10", "B11")),
    Unit.REFLECTANCE: ("sentinel-2-l2a", ("B02", "B03", "B04")),
}


@settings(max_examples=150, deadline=None)
@given(
    dtype=st.sampled_from(["u1", "<u2", ">u2", "<i2", ">i2", "<f4", ">f4", "<f8", ">f8"]),
    unit=st.sampled_from(list(CANONICAL)),
    fortran=st.booleans(),
    scale=st.sampled_from([1.0, 1e-4, 0.01, -0.5, 3.0]),
    offset=st.sampled_from([0.0, -0.1, 273.0]),
    nodata=st.sampled_from([None, 0.0, float("nan"), 7.0]),
    seed=st.integers(0, 2**16),
)
def test_reused_memory_gives_the_plain_arithmetic_bit_for_bit(dtype, unit, fortran, scale, offset, nodata, seed):
    sensor, bands = SENSORS[unit]
    rng = np.random.default_rng(seed)
    stored = rng.integers(0, 250, (len(bands), 5, 7)).astype(dtype)
    if stored.dtype.kind == "f":
        stored += rng.uniform(size=stored.shape)
    stored[:, 0, 0] = 100  # one pixel at least is valid
    if nodata is not None:
        hit = rng.uniform(size=stored.shape) < 0.05
        hit[:, 0, 0] = False
        stored[hit] = nodata if stored.dtype.kind == "f" else np.nan_to_num(nodata)
    image = decode_image(_npy(np.asfortranarray(stored) if fortran else stored), "npy")
    sample = Sample("a", image, SampleMeta(sensor, bands, unit, 10.0, ("x",), scale=scale, offset=offset, nodata=nodata))
    with np.errstate(invalid="ignore"):
        physical = stored.astype(np.float32) * np.float32(scale)
        expected = CANONICAL[unit](physical + np.float32(offset) if offset else physical)  # -0 + 0 would be 0
    hole = np.zeros((5, 7), bool) if nodata is None else (np.isnan(stored) if np.isnan(nodata) else stored == nodata).any(axis=0)
    expected[:, hole] = 0
    buffers = Buffers()
    for _ in range(2):
        batch = collate([sample], buffers)
        np.testing.assert_array_equal(batch.image[0].numpy().view(np.uint32), expected.view(np.uint32))
        assert (batch.valid is None) == (not hole.any())
        assert batch.valid is None or np.array_equal(batch.valid[0], ~hole)
        batch.image.fill_(float("nan"))  # what the next batch must not see
        del batch


def _npy(array):
    file = io.BytesIO()
    np.lib.format.write_array(file, array, allow_pickle=False)
    return file.getvalue()


def test_a_batch_that_is_kept_is_never_written_again(make_sample):
    buffers = Buffers(3)
    kept = [collate([make_sample(number)], buffers) for number in range(8)]
    assert all(torch.equal(batch.image, collate([make_sample(number)]).image) for number, batch in enumerate(kept))
    part, expected = kept[3].image[0, 1], kept[3].image[0, 1].clone()
    del kept
    for number in range(20, 30):
        collate([make_sample(number)], buffers)
    assert torch.equal(part, expected)
