import numpy as np
import pytest

from geolangbind.errors import DataError, SettingsError
from geolangbind.sources.card import Place
from geolangbind.sources.readers.arrays import open_item, records

SERIES = np.arange(5 * 2 * 3 * 4, dtype=np.uint16).reshape(5, 2, 3, 4)


def read(root, spec, **options):
    return records(root, Place("arrays", spec, options), None, None)


@pytest.mark.parametrize(
    ("axes", "values", "images"),
    [
        ("TCHW", SERIES, list(SERIES)),
        ("CHW", SERIES[0], [SERIES[0]]),
        ("HWC", SERIES[0].transpose(1, 2, 0), [SERIES[0]]),
        ("THWC", SERIES.transpose(0, 2, 3, 1), list(SERIES)),
        ("HW", SERIES[0, 0], [SERIES[0, :1]]),
        ("THW", SERIES[:, 0], [image[:1] for image in SERIES]),
    ],
)
def test_axes(tmp_path, axes, values, images):
    np.save(tmp_path / "a.npy", values)
    found = read(tmp_path, "{id}.npy", axes=axes)
    assert [record.place for record in found] == ([f"a_{t:04d}" for t in range(5)] if axes[0] == "T" else ["a"])
    for record, image in zip(found, images, strict=True):
        np.testing.assert_array_equal(open_item(record.image).image, image)


def test_what_is_no_array_of_numbers(tmp_path):
    with pytest.raises(SettingsError, match="axes are one of"):
        read(tmp_path, "{id}.npy", axes="CWH")
    np.save(tmp_path / "a.npy", SERIES)
    with pytest.raises(DataError, match=r"uint16 \(5, 2, 3, 4\), not numbers with the axes CHW"):
        open_item(read(tmp_path, "{id}.npy")[0].image)
    np.save(tmp_path / "a.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="is no readable NumPy file"):
        read(tmp_path, "{id}.npy", axes="THW")
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x01\x00")
    with pytest.raises(DataError, match="is no readable NumPy file"):
        read(tmp_path, "{id}.npy", axes="THW")
