"""The published layout: what it holds arrives exactly, and nothing in it is run."""

import io
import json
import tarfile

import numpy as np
import pytest

from geolangbind.data.faults import Faults
from geolangbind.data.published import Meaning, complete, import_published
from geolangbind.data.shards import ShardSet
from geolangbind.data.verify import verify
from geolangbind.errors import DataError, SettingsError
from geolangbind.sensors.units import Unit

RGB = b"[0.665, 0.56, 0.49]"
S2 = b"[0.665, 0.56, 0.49, 0.705, 0.74, 0.783, 0.842, 1.61, 2.19]"


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def picture(number=0, shape=(5, 7, 3), dtype=np.uint8):
    return np.random.default_rng(number).integers(0, 256, shape).astype(dtype)


def members(number=0, **changes):
    plain = {"image": npy(picture(number)), "text": f"a port, {number}é".encode(), "wavelength": RGB, "geoloc": b"(9.5, 48.25)"}
    return {name: data for name, data in {**plain, **changes}.items() if data is not None}


@pytest.fixture
def subset(tmp_path):
    """`subset("Seg4", {"00": members(), ...}, ...)`: one tar per mapping."""

    def write(name, *tars):
        folder = tmp_path / name
        folder.mkdir()
        for number, samples in enumerate(tars):
            with tarfile.open(folder / f"{name}_train-{number:04d}-train.tar", "w") as tar:
                for key, parts in samples.items():
                    for extension, data in parts.items():
                        item = tarfile.TarInfo(f"{key}.{extension}")
                        item.size = len(data)
                        tar.addfile(item, io.BytesIO(data))
        return folder

    return write


@pytest.fixture
def convert(tmp_path):
    def go(source, *, on_error="raise", existing="refuse", **told):
        return import_published(source, tmp_path / "out", Meaning(**{"gsd_m": 0.5, **told}), Faults(on_error), existing=existing)

    return go


def test_pixels_captions_and_places_arrive_as_they_were(subset, convert, tmp_path):
    boxed = members(1, geoloc=b"[8.0, 47.0, 8.5, 47.5]")
    report = convert(subset("Seg4", {"a": members(0), "b-1": boxed}, {"a": members(2, geoloc=None)}))
    assert report.ok and (report.samples, report.shards) == (3, 1)
    assert report.to_json() == {"folder": str(tmp_path / "out"), "subset": "Seg4", "shards": 1, "samples": 3, "ok": True, "problems": []}
    (stream,) = ShardSet.open(tmp_path / "out").streams
    assert (stream.sensor, stream.bands, stream.unit, stream.shape) == ("aerial-rgb", ("R", "G", "B"), Unit.DISPLAY_U8, (3, 5, 7))
    first, second, third = stream.read_many(range(3))
    assert [first.key, second.key, third.key] == ["Seg4_00000_a", "Seg4_00000_b_1", "Seg4_00001_a"]
    for number, sample in enumerate((first, second, third)):
        assert sample.image.dtype == np.uint8
        np.testing.assert_array_equal(sample.image, picture(number).transpose(2, 0, 1))
        assert sample.meta.captions == (f"a port, {number}é",) and sample.meta.gsd_m == 0.5
    assert (first.meta.labels, first.meta.bbox_wgs84) == ({"geoloc": [9.5, 48.25]}, None)
    assert (second.meta.labels, second.meta.bbox_wgs84) == ({}, (8.0, 47.0, 8.5, 47.5))
    assert (third.meta.labels, third.meta.bbox_wgs84) == ({}, None)
    assert verify(tmp_path / "out").ok


def test_sizes_go_apart_and_a_grey_picture_written_three_times_is_one_band(subset, convert, tmp_path):
    grey = picture(3, (4, 4, 1), np.uint16)
    tar = {"a": members(image=npy(grey.repeat(3, 2))), "b": members(1, image=npy(grey[:1, :1, 0]), wavelength=b"[0.0]")}
    assert convert(subset("IR_ship", tar), sensor="lwir-camera", unit="display_u8").ok
    large, pixel = sorted(ShardSet.open(tmp_path / "out").streams, key=lambda stream: -stream.shape[1])
    np.testing.assert_array_equal(large.read(0).image, grey.transpose(2, 0, 1))
    assert pixel.shape == (1, 1, 1) and pixel.read(0).image[0, 0, 0] == grey[0, 0, 0]  # one pixel is an image like any other
    assert verify(tmp_path / "out").ok


def test_what_the_pixels_are_is_known_or_must_be_said():
    assert [band.name for band in complete("ChatEarthNet_S2_train", Meaning(10, unit="reflectance", scale=1e-3, offset=0)).bands] == [
        "B04", "B03", "B02", "B05", "B06", "B07", "B08", "B11", "B12"
    ]  # fmt: skip
    assert len(complete("NLCD_hyper", Meaning(30, unit="reflectance", scale=4e-3, offset=0)).bands) == 202
    radar = complete("MMflood_sar_train", Meaning(10, unit="sigma0_db", scale=0.2, offset=-40))
    assert [band.name for band in radar.bands] == ["VV", "VH"] and (radar.scale, radar.offset) == (0.2, -40)
    for name, told, pattern in (
        ("SAR_ship", {}, "its sensor is not known; say --sensor"),
        ("Mine", {"sensor": "sentinel-3"}, "sentinel-3"),
        ("ChatEarthNet_SAR_train", {}, "what that is worth is not published; say --unit, --scale and --offset"),
        ("NLCD_hyper", {"unit": "reflectance", "scale": 0.1}, "say --unit, --scale and --offset"),
        ("Seg4", {"unit": "kelvins"}, "unknown unit 'kelvins'"),
        ("Seg4", {"unit": "sigma0_db", "scale": 1.0, "offset": 0.0}, "no radar frequency"),
        ("Seg4", {"bands": ("R", "X")}, "no band 'X'"),
        ("Seg4", {"sensor": "sentinel-1-grd"}, "say --unit"),
    ):  # fmt: skip
        with pytest.raises(SettingsError, match=pattern):
            complete(name, Meaning(1.0, **told))
    with pytest.raises(SettingsError, match="--gsd is 0"):
        Meaning(0.0)


CODE = b"__import__('os').system('touch owned')"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"wavelength": CODE}, r"\.wavelength must be finite numbers .*which is not run"),
        ({"geoloc": b"[open('owned', 'w')]"}, r"\.geoloc must be finite numbers"),
        ({"wavelength": b"[" * 9000 + b"]" * 9000}, "which is not run"),
        ({"wavelength": b"[0.665, 0.56]"}, r"\.wavelength has 2 entries for 3 channels"),
        ({"wavelength": b"[0.49, 0.56, 0.665]"}, "says 0.49 µm where aerial-rgb R lies at 0.665; see --sensor, --bands"),
        ({"text": b"caf\xe9"}, r"\.text is not UTF-8 at byte 3"),
        ({"text": b" \n"}, r"\.text is empty"),
        ({"image": None}, r"has no \.image"),
        ({"image": npy(picture(shape=(3, 5, 7))), "wavelength": b"[0.0]*7"}, "which is not run"),
        ({"image": npy(picture(shape=(5, 7, 4))), "wavelength": b"[0, 0, 0, 0]"}, "has 4 channels .* 3 bands; see --bands"),
        ({"image": npy(np.array([{"a": 1}], dtype=object))}, "holds Python objects"),
        ({"image": npy(np.full((5, 7, 3), np.nan))}, "NaN or infinite"),
        ({"image": npy(np.full((5, 7, 3), 300.0))}, "holds 300.0 to 300.0, a picture 0 to 255"),
        ({"image": npy(np.zeros((0, 7, 3)))}, r"must be real numbers"),
        ({"image": npy(picture())[:-1]}, "cannot be decoded"),
    ],
)  # fmt: skip
def test_a_bad_sample_is_one_line_with_tar_and_key_and_its_neighbours_stay(subset, convert, tmp_path, monkeypatch, changes, told):
    monkeypatch.chdir(tmp_path)
    source = subset("Seg4", {"a": members(0), "b": members(1, **changes), "c": members(2)})
    with pytest.raises(DataError, match=r"Seg4_train-0000-train\.tar, key b: .*" + told) as caught:
        convert(source)
    assert "\n" not in str(caught.value) and not list((tmp_path / "out").glob("*"))
    report = convert(source, on_error="skip")
    assert [(problem.shard, problem.key) for problem in report.problems] == [("Seg4_train-0000-train.tar", "b")]
    (stream,) = ShardSet.open(tmp_path / "out").streams
    assert [sample.meta.captions[0] for sample in stream.read_many(range(len(stream)))] == ["a port, 0é", "a port, 2é"]
    assert not (tmp_path / "owned").exists()


def test_wavelengths_of_the_published_bands_pass(subset, convert):
    image = npy(picture(shape=(5, 7, 9)))
    source = subset("ChatEarthNet_S2_train", {"a": members(image=image, wavelength=S2)})
    assert convert(source, unit="reflectance", scale=1e-3, offset=0).ok
    assert complete("Seg4", Meaning(1.0)).scale == 1.0


def test_folders_that_hold_nothing_or_are_taken_are_refused(subset, convert, tmp_path):
    with pytest.raises(SettingsError, match=r"has no tar Seg4_train-\*-train\.tar"):
        convert(tmp_path / "Seg4")
    with pytest.raises(DataError, match="has no good sample"):
        convert(subset("Ret3", {"a": members(text=b"")}), on_error="skip")
    source = subset("Seg4", {"a": members()})
    assert convert(source).samples == 1
    with pytest.raises(SettingsError, match="already has an index"):
        convert(source)
    assert convert(subset("Det10", {"a": members()}), existing="append").shards == 2


def test_the_command_says_whole_skipped_or_unusable(subset, tmp_path, typed):
    good, bad = subset("Seg4", {"a": members()}), subset("Det10", {"a": members(), "b": members(wavelength=CODE)})
    code, out, _ = typed("shards", "import-published", good, "--out", tmp_path / "good", "--gsd", "0.5")
    assert code == 0 and "wrote 1 samples of Seg4" in out
    code, out, _ = typed("shards", "import-published", bad, "--out", tmp_path / "bad", "--gsd", "0.5", "--json")
    told = json.loads(out)
    assert (code, told["ok"], told["samples"]) == (1, False, 1) and told["problems"][0]["key"] == "b"
    code, _, err = typed("shards", "import-published", bad, "--out", tmp_path / "worse", "--gsd", "0.5", "--sensor", "sentinel-9")
    assert code == 2 and err.count("\n") == 1 and "sentinel-9" in err
