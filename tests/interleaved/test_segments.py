"""Segments refuse impossible values where they are built, and say what was given."""

import datetime as dt
import math
from pathlib import Path

import numpy as np
import pytest

from geolangbind.errors import DataError
from geolangbind.interleaved.segments import Date, GeoBox, GeoPoint, Image, PixelBox, Text, as_segments


@pytest.mark.parametrize(
    "corners", [(5, 0, 5, 9), (5, 0, 4, 9), (0, 9, 5, 9), (-1, 0, 5, 5), (0, -0.5, 5, 5), (0, 0, math.inf, 5), (math.nan, 0, 1, 1)]
)
def test_pixel_box_refuses_corners_that_enclose_nothing(corners):
    with pytest.raises(DataError, match=r"0 <= x0 < x1 and 0 <= y0 < y1; got \("):
        PixelBox(*corners)


def test_pixel_box_counts_images_from_0():
    assert PixelBox(0, 0, 1, 1).image == 0
    with pytest.raises(DataError, match="0 the first; got -1"):
        PixelBox(0, 0, 1, 1, image=-1)


@pytest.mark.parametrize("place", [(90.01, 0), (-91, 0), (0, 180.5), (0, -181), (math.nan, 0), (0, math.inf)])
def test_geo_point_refuses_what_is_not_on_the_globe(place):
    with pytest.raises(DataError, match=r"latitude -90..90 and longitude -180..180 in degrees; got"):
        GeoPoint(*place)


@pytest.mark.parametrize("extent", [(0, 5, 1, 5), (0, 6, 1, 5), (0, -91, 1, 5), (0, 0, 181, 1), (math.nan, 0, 1, 1)])
def test_geo_box_refuses_what_is_no_extent(extent):
    with pytest.raises(DataError, match="south below north; got"):
        GeoBox(*extent)


def test_geo_box_may_cross_the_antimeridian():
    assert GeoBox(170, -10, -170, 10).west == 170


@pytest.mark.parametrize("text", [None, 7, b"a harbour", Path("a")])
def test_text_is_a_string(text):
    with pytest.raises(DataError, match="the text of a sequence is a string; got "):
        Text(text)


class Missing(dt.datetime):
    """Like pandas' NaT: a datetime that equals nothing, itself included."""

    __hash__ = None

    def __eq__(self, other):
        return False


@pytest.mark.parametrize("day", ["2020-05-01", 20200501, np.datetime64("2020-05-01"), Missing(2020, 5, 1)])
def test_a_day_is_a_date(day):
    for make in (Date, lambda value: Image("scene.tif", date=value)):
        with pytest.raises(DataError, match=r"a day is a datetime.date, for example .*; got "):
            make(day)


def test_of_a_time_the_day_counts():
    moment = dt.datetime(2020, 5, 1, 10, 20, tzinfo=dt.UTC)
    assert Date(moment) == Date(dt.date(2020, 5, 1)) and type(Date(moment).day) is dt.date
    assert type(Image("scene.tif", date=moment).date) is dt.date


@pytest.mark.parametrize("gsd_m", ["10", math.nan, math.inf, 0, -10.0])
def test_ground_sampling_distance_is_a_number_of_metres(gsd_m):
    with pytest.raises(DataError, match="gsd_m is a number of metres above 0; got "):
        Image("scene.tif", gsd_m=gsd_m)
    assert Image("scene.tif", gsd_m=np.float32(0.5)).gsd_m == 0.5


def test_strings_stand_for_text():
    image, box = Image("scene.tif"), PixelBox(0, 0, 1, 1)
    assert as_segments([image, "What is in", box]) == (image, Text("What is in"), box)
    assert as_segments(word for word in ("a", "b")) == (Text("a"), Text("b"))


@pytest.mark.parametrize("sequence", ["a harbour", Path("scene.tif"), 7, None])
def test_a_sequence_is_a_list(sequence):
    with pytest.raises(DataError, match="a sequence is a list of segments, for example"):
        as_segments(sequence)


def test_what_is_no_segment_is_refused():
    with pytest.raises(DataError, match=r"PosixPath\('scene.tif'\) is no segment; use text, Image"):
        as_segments([Path("scene.tif")])
    with pytest.raises(DataError, match="at least one segment"):
        as_segments([])
