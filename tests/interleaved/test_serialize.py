"""Each text form: worked-out examples, the way back within one step of it, and what is refused."""

import datetime as dt

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from geolangbind.errors import DataError
from geolangbind.interleaved.segments import Date, GeoBox, GeoPoint, ImageFacts, PixelBox
from geolangbind.interleaved.serialize import (
    read_box,
    read_date,
    read_geobox,
    read_point,
    write_box,
    write_corners,
    write_date,
    write_geobox,
    write_image_facts,
    write_point,
)

quick = settings(max_examples=150, deadline=None, derandomize=True)
lats, lons = st.floats(-90, 90), st.floats(-180, 180)


@pytest.mark.parametrize(
    ("corners", "text"),
    [
        ((0, 0, 256, 128), "(0,0),(999,999)"),  # 1000 would be outside the bins
        ((64, 32, 128, 96), "(250,250),(500,750)"),
        ((0.255, 0, 0.257, 1), "(0,0),(1,7)"),  # 256 / 1000 = 0.256 pixels a bin across; 1000 / 128 = 7.8
    ],
)
def test_box_is_written_in_thousandths(corners, text):
    assert write_corners(PixelBox(*corners), height=128, width=256) == text
    assert write_box(PixelBox(*corners), 128, 256) == f"<|box_start|>{text}<|box_end|>"


def test_box_is_read_inside_its_bins():
    box = PixelBox(250.25, 500.5, 251.75, 503.5, image=1)  # (250 + 1/4, 250 + 1/4, 251 + 3/4, 251 + 3/4) bins of 1 and 2 pixels
    assert read_box("<|box_start|>(250,250),(251,251)<|box_end|>", 2000, 1000, image=1) == box
    assert read_box("(250,250),(251,251)", 2000, 1000, image=1) == box


@quick
@given(st.integers(1, 12000), st.integers(1, 12000), st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_box_round_trip(height, width, shares):
    (x0, x1), (y0, y1) = sorted(shares[:2]), sorted(shares[2:])
    box_corners = (x0 * width, y0 * height, x1 * width, y1 * height)
    assume(box_corners[0] < box_corners[2] and box_corners[1] < box_corners[3])
    text = write_box(PixelBox(*box_corners), height, width)
    again = read_box(text, height, width)
    for there, back, size in zip(box_corners, (again.x0, again.y0, again.x1, again.y1), (width, height) * 2, strict=True):
        assert abs(there - back) <= 0.7501 * size / 1000
    assert write_box(again, height, width) == text


@pytest.mark.parametrize("corners", [(0, 0, 257, 10), (0, 0, 10, 128.5)])
def test_box_outside_its_image_is_refused(corners):
    with pytest.raises(DataError, match=r"reaches out of its image of 256 x 128 pixels; clip it"):
        write_box(PixelBox(*corners), 128, 256)


@pytest.mark.parametrize("text", ["", "(1,2,3,4)", "(0,0),(1000,5)", "(-1,0),(5,5)", "(0,0), (5,5)", "(0,0),(5,5) and more"])
def test_box_of_another_form_is_refused(text):
    with pytest.raises(DataError, match=r"is not a box as serializer geolangbind-1 writes it: \(x0,y0\),\(x1,y1\) in 0..999"):
        read_box(text, 10, 10)


def test_box_with_descending_corners_is_refused():
    with pytest.raises(DataError, match="0 <= x0 < x1"):
        read_box("(500,0),(400,9)", 100, 100)


@pytest.mark.parametrize(
    ("lat", "lon", "text"),
    [
        (12.34561, -45.67891, "latitude 12.3456, longitude -45.6789"),
        (-0.00001, 0.0, "latitude 0.0000, longitude 0.0000"),  # no signed zero
        (90, -180, "latitude 90.0000, longitude -180.0000"),
        (1e-7, 5e-5, "latitude 0.0000, longitude 0.0000"),  # no exponent; half goes to even
    ],
)
def test_point_is_written_with_four_signed_decimals(lat, lon, text):
    assert write_point(GeoPoint(lat, lon)) == text


@quick
@given(lats, lons)
def test_point_round_trip(lat, lon):
    text = write_point(GeoPoint(lat, lon))
    again = read_point(text)
    assert abs(again.lat - lat) <= 0.5000001e-4
    assert abs(again.lon - lon) <= 0.5000001e-4
    assert write_point(again) == text


@pytest.mark.parametrize("text", ["latitude 12.3, longitude 4.5000", "12.3456, 45.6789", "longitude 1.0000, latitude 2.0000", ""])
def test_point_of_another_form_is_refused(text):
    with pytest.raises(DataError, match=r"is not a place as serializer geolangbind-1 writes it: latitude 12.3456, longitude -45.6789"):
        read_point(text)


def test_point_out_of_range_is_refused():
    with pytest.raises(DataError, match=r"latitude -90..90 and longitude -180..180"):
        read_point("latitude 90.0001, longitude 0.0000")


def test_geobox_is_rounded_outwards():
    box = GeoBox(west=-0.00001, south=12.3, east=179.99999, north=12.30001)
    assert write_geobox(box) == "west -0.0001, south 12.3000, east 180.0000, north 12.3001"


@quick
@given(lons, lats, lons, lats)
def test_geobox_round_trip(west, south, east, north):
    assume(south < north and (west < east or west - east > 2e-4))  # but for one that leaves out a sliver of the globe
    text = write_geobox(GeoBox(west, south, east, north))
    again = read_geobox(text)
    step = 1.0000001e-4
    assert -step < again.west - west <= 0 and -step < again.south - south <= 0
    assert 0 <= again.east - east < step and 0 <= again.north - north < step
    assert (again.west > again.east) == (west > east)  # the antimeridian stays inside or outside
    assert write_geobox(again) == text


def test_geobox_of_another_form_or_out_of_range_is_refused():
    with pytest.raises(DataError, match="is not an extent as serializer"):
        read_geobox("1, 2, 3, 4")
    with pytest.raises(DataError, match="south below north"):
        read_geobox("west 1.0000, south 4.0000, east 3.0000, north 2.0000")


@quick
@given(st.dates())
def test_date_round_trip(day):
    assert read_date(write_date(Date(day))) == Date(day)


def test_dates():
    assert write_date(Date(dt.date(2020, 5, 1))) == "2020-05-01"
    for text in ("1 May 2020", "2020-5-1", "20200501", "2020-W18-5"):
        with pytest.raises(DataError, match="is not a day as serializer geolangbind-1 writes it: 2020-05-01"):
            read_date(text)
    with pytest.raises(DataError, match="'2021-02-29' is no day of the calendar"):
        read_date("2021-02-29")


def test_image_facts():
    facts = ImageFacts("sentinel-2-l2a", ("B04",), 64, 64, 10.0, dt.date(2020, 5, 1))
    assert write_image_facts(facts) == "sentinel-2-l2a 10 m 2020-05-01"
    assert write_image_facts(facts, ("date", "gsd_m")) == "2020-05-01 10 m"
    assert write_image_facts(facts, ()) == ""
    assert write_image_facts(ImageFacts("dem", ("z",), 8, 8)) == "dem"
    assert write_image_facts(ImageFacts("aerial", ("r",), 8, 8, gsd_m=0.25)) == "aerial 0.25 m"
