"""Labels are found in pickles that are never run."""

import pickle
from contextlib import suppress
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS

from geolangbind.errors import DataError
from geolangbind.sources.readers.pickled_label import pickled_label


class Runs:
    """Would make a file where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (Path(self.path),)


def attribute(content):
    return str(pickle.dumps(content, protocol=4))


BAND = {
    "date": date(2018, 1, 1),
    "transform": Affine(1, 0, 0, 0, -1, 0),
    "crs": CRS.from_epsg(32631),
    "meta_info": {"x": [1, 2.5, None, b"y"]},
}


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        (0, (0,)),
        (300, (300,)),
        (2**40, (2**40,)),
        (True, (1,)),
        (np.int64(5), (5,)),
        (np.uint8(200), (200,)),
        (np.array([1, 0, 0, 1]), (1, 0, 0, 1)),
        (np.arange(300) % 2, tuple(n % 2 for n in range(300))),
        (np.array([True, False]), (1, 0)),
        ([0, 1, 1], (0, 1, 1)),
    ],
)
def test_labels(label, expected):
    assert pickled_label(attribute({"label": label, "04 - Red": BAND, "bands_order": ["04 - Red"]})) == expected
    assert pickled_label(attribute({"04 - Red": BAND, "08 - NIR": BAND, "bands_order": ["04 - Red"], "label": label})) == expected


def test_nothing_is_run(tmp_path):
    path = tmp_path / "run"
    assert pickled_label(attribute({"label": 3, "04 - Red": Runs(path)})) == (3,)
    with pytest.raises(DataError, match="neither a whole number"):
        pickled_label(attribute({"label": Runs(path)}))
    assert not path.exists()


@pytest.mark.parametrize(
    "text",
    [
        None, 5, "", "5", "b'", "b'\\x80\\x04.'", "(" * 100_000, "__import__('os').getcwd()", attribute({}), attribute([1]), attribute(3),
        attribute({"label": 1.5}), attribute({"label": np.array([1.5])}), attribute({"label": np.array([[1], [0]])}),
        attribute({"label": np.array(["a"])}), attribute({"label": None}), attribute({"label": [1, "x"]}),
        str(pickle.dumps({"label": 1}, protocol=0)), str(b"cos\nsystem\n(S'echo'\ntR."), str(b"\x80\x04]\x94h\x00a."), str(b"\x80\x04t."),
    ],
)  # fmt: skip
def test_what_is_no_label(text):
    with pytest.raises(DataError):
        pickled_label(text)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damage_ends_in_a_label_or_a_data_error(data):
    whole = bytearray(pickle.dumps({"label": np.array([1, 0, 1]), "04 - Red": BAND}, protocol=4))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with suppress(DataError):
        assert all(isinstance(number, int) for number in pickled_label(str(bytes(whole))))
