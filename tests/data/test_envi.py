"""ENVI headers: what they say reaches the image, and damage is one clear line."""

import random

import numpy as np
import pytest
import rasterio

from geolangbind.data.envi import data_of, header_of, read_header
from geolangbind.data.rasters import open_raster, read_raster
from geolangbind.errors import DataError, GeoLangBindError, SensorError, UnitError
from geolangbind.sensors import Unit

ENMAP = "hsi_enmap_potsdam/images/enmap_potsdam_tile_64_0.tif"
DN = np.arange(400, 460, dtype=np.int16).reshape(3, 4, 5) * 10
FIELDS = {
    "band names": "{B1, B2, B3}",
    "wavelength units": "Nanometers",
    "wavelength": "{418.24, 423.874, 429.294}",
    "fwhm": "{7.0, 6.7, 6.4}",
    "data ignore value": "4000",
    "reflectance scale factor": "10000",
}


@pytest.fixture
def envi(tif, tmp_path):
    """Write a 3-band EnMAP-like raster with these header fields in place of GDAL's own band names."""

    def write(name="scene.dat", fields=FIELDS, pixels=DN, **profile):
        data = tif(tmp_path / name, pixels, driver="ENVI", **profile)
        header = tmp_path / f"{name.split('.')[0]}.hdr"
        kept = header.read_text().split("band names")[0]
        header.write_text(kept + "".join(f"{key} = {value}\n" for key, value in fields.items()))
        return data

    return write


@pytest.mark.parametrize("name", ["scene.dat", "scene.img", "scene.bsq", "scene.BIN", "scene"])
def test_data_file_and_header_are_one_raster(envi, name):
    data = envi(name)
    header = data.with_suffix(".hdr")
    assert header_of(data) == header and data_of(header) == data
    for path in (data, header):
        raster = read_raster(path, sensor="enmap-l2a")
        assert [band.name for band in raster.bands] == ["B1", "B2", "B3"] and raster.unit is Unit.REFLECTANCE
        np.testing.assert_array_equal(raster.valid, (DN != 4000).all(0))
        np.testing.assert_allclose(raster.image[:, raster.valid], DN[:, raster.valid] / 10000, rtol=1e-6)
    # the header's own digits, which GDAL rounds to 0.418 and 0.007
    assert (raster.bands[0].center_wavelength_um, raster.bands[1].fwhm_um) == (0.41824, 0.0067)
    assert raster.gsd_m == 10 and any("of the header" in note for note in raster.notes)


@pytest.mark.parametrize("interleave", ["bsq", "bil", "bip"])
def test_interleaves_and_byte_orders(envi, interleave):
    data = envi(pixels=DN, interleave=interleave)
    native = read_raster(data, sensor="enmap-l2a").image
    data.write_bytes(np.frombuffer(data.read_bytes(), "<i2").astype(">i2").tobytes())
    header = data.with_suffix(".hdr")
    header.write_text(header.read_text().replace("byte order = 0", "byte order = 1"))
    np.testing.assert_array_equal(read_raster(data, sensor="enmap-l2a").image, native)


def test_wavelengths_find_bands_and_bad_bands_are_left_out(envi):
    fields = {
        **FIELDS,
        "bbl": "{1, 0, 1}",
        "wavelength units": "Micrometers",
        "wavelength": "{0.41824, 0.423874, 0.429294}",
        "fwhm": "{0,0,0}",
    }
    del fields["band names"]
    raster = read_raster(envi(fields=fields), sensor="enmap-l2a")
    assert [band.name for band in raster.bands] == ["B1", "B3"]
    assert raster.bands[0].fwhm_um == 0.006996  # no width in the header: the record's
    np.testing.assert_allclose(raster.image[1][raster.valid], DN[2][raster.valid] / 10000, rtol=1e-6)


def test_ones_own_sensor_takes_the_header_s_wavelengths(envi, tmp_path):
    record = tmp_path / "cam.yaml"
    record.write_text(
        "{name: cam, title: t, modality: hsi, product_level: surface, unit: reflectance, scale: 0.5, offset: 0, sources: [sheet], bands: ["
        "{name: a, center_wavelength_um: 0.42}, {name: b, center_wavelength_um: 0.4245}, {name: c, center_wavelength_um: 0.43}]}"
    )
    fields = {**FIELDS, "band names": "{a, b, c}"}
    with pytest.raises(SensorError, match="does not say which sensor"):
        open_raster(envi(fields=fields))
    raster = read_raster(envi(fields=fields), sensor=record)
    assert raster.channels.wavelengths_um == (0.41824, 0.423874, 0.429294)
    np.testing.assert_allclose(raster.image[0, 1], DN[0, 1] / 10000, rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "scale", "offset"),
    [
        ({"data reflectance gain values": "{2e-4,2e-4,2e-4}", "data reflectance offset values": "{.1,.1,.1}"}, 2e-4, 0.1),
        ({"reflectance scale factor": "5000", "data gain values": "{9,9,9}"}, 2e-4, 0.0),
        ({"reflectance scale factor": None, "data gain values": "{3e-4,3e-4,3e-4}"}, 3e-4, 0.0),
        ({"reflectance scale factor": None}, 1e-4, 0.0),  # the sensor's rule
    ],
)
def test_gains(envi, changes, scale, offset):
    fields = {key: value for key, value in {**FIELDS, **changes}.items() if value is not None}
    raster = read_raster(envi(fields=fields), sensor="enmap-l2a")
    np.testing.assert_allclose(raster.image[2][raster.valid], DN[2][raster.valid] * scale + offset, rtol=1e-5)


def test_radiance_is_no_reflectance(envi):
    fields = {**FIELDS, "data gain values": "{0.05, 0.05, 0.05}"}
    del fields["reflectance scale factor"]
    with pytest.raises(UnitError, match="but reflectance lies in"):
        read_raster(envi(fields=fields), sensor="enmap-l2a")


def test_values_and_wavelengths_equal_the_geotiff_s(shared, tmp_path):
    tif = shared / "data" / "real" / ENMAP
    data = tmp_path / "potsdam.img"
    with rasterio.open(tif) as file:
        profile = {**file.profile, "driver": "ENVI", "interleave": "bil"}
        profile = {key: profile[key] for key in ("driver", "count", "width", "height", "dtype", "crs", "transform", "interleave")}
        pixels, tags = file.read(), [file.tags(index) for index in file.indexes]
        with rasterio.open(data, "w", **profile) as copy:
            copy.write(pixels)
        names = file.descriptions
    header = data.with_suffix(".hdr")
    lists = {key: ", ".join(tag[key] for tag in tags) for key in ("wavelength", "fwhm", "bbl")}
    text = header.read_text().split("band names")[0] + "".join(f"{key} = {{{value}}}\n" for key, value in lists.items())
    header.write_text(
        f"{text}wavelength units = {tags[0]['wavelength_units']}\nband names = {{{','.join(map(str, names))}}}\n"
        "data ignore value = -32768\nreflectance scale factor = 10000\n; a comment, with = and {braces}\n"
    )
    copied, original = read_raster(data, sensor="enmap-l2a"), read_raster(tif, sensor="enmap-l2a")
    assert len(copied.bands) == 202 and copied.bands == original.bands
    np.testing.assert_array_equal(copied.valid, original.valid)
    np.testing.assert_array_equal(copied.image, original.image)
    expected = pixels[[int(band.name[1:]) - 1 for band in copied.bands]] / 10000
    np.testing.assert_allclose(copied.image[:, copied.valid], expected[:, copied.valid], rtol=1e-6)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("ENVI\n", "INVE\n", "is no ENVI header"),
        ("samples = 5", "", "has no 'samples'"),
        ("lines   = 4", "lines = four", "'lines' is 'four', which is no count"),
        ("lines   = 4", "lines = 400000", "the file is cut off"),
        ("bands   = 3", "bands = 2", "lists 3 values of"),
        ("data type = 2", "data type = 77", "has the data type 77"),
        ("interleave = bsq", "interleave = tiled", "has the interleave 'tiled'"),
        ("byte order = 0", "byte order = 7", "byte order other than 0"),
        ("fwhm = {7.0, 6.7, 6.4}", "fwhm = {7.0, 6.7", "has no closing brace"),
        ("{7.0, 6.7, 6.4}", "{7.0, nan, 6.4}", "'fwhm' holds 'nan'"),
        ("418.24", "__import__('os').getcwd()", "which is no number it can be"),
        ('SPHEROID["WGS_1984",6378137.0', 'SPHEROID["WGS_1984",7e36', "cannot be converted to degrees"),
        ("Nanometers", "Index", "in 'Index', which is no known unit"),
        ("factor = 10000", "factor = 0", "it is the number that stands for 1"),
        ("file type = ENVI Standard", "file type = ENVI Classification", "describes an ENVI Classification"),
    ],
)
def test_a_damaged_header_is_one_line(envi, old, new, told):
    data = envi()
    header = data.with_suffix(".hdr")
    text = header.read_text()
    assert old in text
    header.write_text(text.replace(old, new))
    with pytest.raises(DataError, match="scene") as caught:
        open_raster(header, sensor="enmap-l2a")
    assert told in str(caught.value) and "\n" not in str(caught.value)


def test_headers_of_other_formats_and_lone_headers(tif, envi, tmp_path):
    esri = tif(tmp_path / "dem.bil", DN[:1], driver="EHdr")  # ESRI's .bil has a .hdr too
    assert header_of(esri) is None and open_raster(esri, sensor="srtm").bands[0].name == "elevation"
    data = envi()
    (tmp_path / "scene.bin").write_bytes(b"")
    with pytest.raises(DataError, match=r"several files could be \(scene.bin, scene.dat\)"):
        open_raster(tmp_path / "scene.hdr", sensor="enmap")
    (tmp_path / "scene.bin").unlink()
    data.unlink()
    with pytest.raises(DataError, match="there is no file with them beside it; name the data file"):
        open_raster(tmp_path / "scene.hdr", sensor="enmap")


def test_a_place_beyond_the_earth_has_no_pixel_size(envi):
    data = envi(crs="EPSG:4326")
    header = data.with_suffix(".hdr")
    header.write_text(header.read_text().replace("600000, 5000000", "1e999, 1e999"))
    assert "1e999" in header.read_text() and open_raster(data, sensor="enmap-l2a").gsd_m is None


def test_comments_case_and_lists_over_lines(tmp_path):
    path = tmp_path / "a.hdr"
    path.write_text("ENVI\n; bands = 9\nBands=2\nBand  Names = {\n one ,\n two\t\n\x1b2 }\nx = \n")
    header = read_header(path)
    assert (header.bands, header.texts("band names"), header.numbers("fwhm")) == (2, ("one", "two 2"), None)
    assert header.fields["x"] == ""


def test_mutated_headers_end_in_one_line_or_an_image(envi):
    rng = random.Random(6)
    data = envi()
    header = data.with_suffix(".hdr")
    lines = header.read_text().splitlines()
    values = ["", "{", "{}", "nan", "-1", "1e999", "9" * 400, "{1,2}", "{a,b,c}", "../../etc/passwd", "os.system('x')", "\x00", "é{", "1,5"]
    endings = []
    for _ in range(100):
        mutated = list(lines)
        number = rng.randrange(1, len(lines))
        match rng.randrange(3):
            case 0:
                del mutated[number]
            case 1:
                mutated[number] = f"{mutated[number].split('=')[0]}= {rng.choice(values)}"
            case 2:
                mutated = mutated[:number]
        header.write_text("\n".join(mutated), encoding="utf-8")
        try:
            endings.append(read_raster(data, sensor="enmap-l2a").image.shape[1:])
        except GeoLangBindError as error:
            assert "\n" not in str(error)
            endings.append("refused")
    assert 20 < endings.count("refused") < 90
