import pytest
from rich.console import Console

from geolangbind.sensors import get_sensor, list_sensors
from geolangbind.sensors.show import render_sensor, render_sensors


def text_of(renderable) -> str:
    console = Console(width=250)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def test_the_list_names_every_sensor():
    text = text_of(render_sensors())
    assert all(sensor.name in text for sensor in list_sensors())
    assert "202 of 224" in text and "5.405 GHz" in text


@pytest.mark.parametrize("sensor", list_sensors(), ids=lambda sensor: sensor.name)
def test_one_sensor_shows_its_bands_and_sources(sensor):
    text = text_of(render_sensor(sensor))
    assert all(f" {band.name} " in text for band in sensor.bands)
    assert "Sources:" in text and sensor.sources[0][:60] in text


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sentinel-2-l2a", "wavelengths of S2A (also S2B, S2C)"),
        ("sentinel-2-l2a", "no data where stored = 0"),
        ("landsat-8-9-l2", "reflectance = stored * 2.75e-05 + -0.2"),
        ("sentinel-1-grd", "--unit is to be said"),
        ("worldview-3", "--scale + --offset, to be said"),
        ("landsat-8-9-l1", "*_MTL.txt"),
    ],
)
def test_the_unit_rule_is_in_words(name, expected):
    assert expected in text_of(render_sensor(get_sensor(name)))
