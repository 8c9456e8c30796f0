import json

import numpy as np
import pytest

from geolangbind.data.sample import Box, Sample, SampleMeta
from geolangbind.errors import DataError, UnitError
from geolangbind.sensors.units import Unit

PLAIN = {"sensor": "naip", "bands": ("R", "G"), "unit": Unit.REFLECTANCE, "gsd_m": 0.6, "captions": ("a barn",)}


def test_json_round_trip_keeps_every_field():
    meta = SampleMeta(
        **PLAIN,
        scale=1e-4,
        offset=-0.1,
        nodata=0.0,
        bbox_wgs84=(7.0, 46.5, 7.1, 46.6),
        datetime="2024-05-01T10:00:00Z",
        labels={"scene": "harbour", "count": 3, "tags": ["a", "b"]},
        boxes=(Box((1.0, 2.0, 3.0, 4.0), "a ship"),),
        source="made here",
        licence="CC0-1.0",
    )
    assert SampleMeta.from_json(meta.to_json()) == meta


def test_json_is_the_documented_one():
    document = json.loads(SampleMeta(**PLAIN).to_json())
    assert document == {
        "sensor": "naip", "bands": ["R", "G"], "unit": "reflectance", "gsd_m": 0.6, "captions": ["a barn"], "scale": 1.0, "offset": 0.0,
    }  # fmt: skip


def test_nan_as_nodata_survives_json():
    text = SampleMeta(**PLAIN, nodata=float("nan")).to_json()
    assert b'"nan"' in text
    assert np.isnan(SampleMeta.from_json(text).nodata)


def test_unknown_fields_of_later_versions_are_left_aside():
    document = json.loads(SampleMeta(**PLAIN).to_json()) | {"from_the_future": 1}
    assert SampleMeta.from_json(json.dumps(document).encode()) == SampleMeta(**PLAIN)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"{", "cannot be read"),
        (b"[]", "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
        (b'{"sensor": "naip", "unit": "reflectance", "bands": ["R"]}', "no field 'captions'"),
        (b'{"sensor": "naip", "unit": "reflectance", "bands": "R", "captions": []}', "'bands' must be a list"),
        (b'{"sensor": "naip", "unit": "reflectance", "bands": ["R"], "captions": [1], "gsd_m": 1}', "'captions' must be a list"),
    ],
)
def test_damaged_json_is_refused(text, words):
    with pytest.raises(DataError, match=words):
        SampleMeta.from_json(text)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"unit": Unit.DN}, UnitError, "scale, offset"),
        ({"bands": ()}, DataError, "bands"),
        ({"bands": ("R", "R")}, DataError, "each once"),
        ({"gsd_m": 0.0}, DataError, "gsd_m"),
        ({"gsd_m": float("nan")}, DataError, "gsd_m"),
        ({"scale": 0.0}, DataError, "scale"),
        ({"offset": float("inf")}, DataError, "offset"),
    ],
)
def test_meta_without_meaning_is_refused(change, error, words):
    with pytest.raises(error, match=words):
        SampleMeta(**{**PLAIN, **change})


def test_labels_that_are_no_json_are_refused():
    with pytest.raises(DataError, match="labels"):
        SampleMeta(**PLAIN, labels={"x": {1, 2}}).to_json()
    with pytest.raises(DataError, match="labels"):
        SampleMeta(**PLAIN, labels={"x": float("nan")}).to_json()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"key": "a.b"}, "key 'a.b'"),
        ({"key": "../a"}, "key"),
        ({"key": ""}, "key"),
        ({"image": np.zeros((2, 4), np.float32)}, "must be real numbers"),
        ({"image": np.zeros((2, 4, 4), object)}, "must be real numbers"),
        ({"image": np.zeros((2, 4, 4), np.complex64)}, "must be real numbers"),
        ({"image": np.zeros((2, 0, 4), np.float32)}, "must be real numbers"),
        ({"image": np.zeros((3, 4, 4), np.float32)}, "3 channels but 2 band names"),
        ({"mask": np.zeros((4, 5), np.uint8)}, "mask must be uint8"),
        ({"mask": np.zeros((4, 4), np.int64)}, "mask must be uint8"),
        ({"encoding": "gif"}, "unknown encoding 'gif'"),
    ],
)
def test_unusable_samples_are_refused(change, words):
    parts = {"key": "a", "image": np.zeros((2, 4, 4), np.float32), "meta": SampleMeta(**PLAIN)}
    with pytest.raises(DataError, match=words):
        Sample(**{**parts, **change})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sensor": ["naip"]}, "'sensor' must be a string"),
        ({"licence": 3}, "'licence' must be a string"),
        ({"captions": ["\ud800"]}, "surrogates not allowed"),
        ({"captions": "a barn"}, "'captions' must be a list of strings"),
        ({"bbox_wgs84": [0, 1, 2, float("nan")]}, "four finite numbers"),
        ({"boxes": [{"xyxy": [0, 1, 2, float("inf")], "text": "a"}]}, "four finite numbers"),
        ({"scale": 10**400}, "too large"),
        ({"labels": 3}, "cannot be read"),
    ],
)
def test_json_of_the_wrong_types_is_one_line(change, words):
    told = {**json.loads(SampleMeta(**PLAIN).to_json()), **change}
    with pytest.raises(DataError, match=words) as caught:
        SampleMeta.from_json(json.dumps(told).encode())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [b"[" * 100_000, b'{"a":' * 100_000, b"\xff", b"null", b"[]", b"{}", b""])
def test_what_is_no_object_is_one_line(data):
    with pytest.raises(DataError, match="json"):
        SampleMeta.from_json(data)
