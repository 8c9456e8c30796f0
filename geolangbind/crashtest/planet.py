"""Exact stacks: scenes of the synthetic planet drawn in memory for many sensors, at the same 640 m of ground."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from geolangbind.crashtest.stacks import StackSet, make_batch
from geolangbind.data.batch import Batch
from geolangbind.errors import SettingsError
from geolangbind.planet.noise import FOOTPRINT_M, Map
from geolangbind.planet.render import render
from geolangbind.planet.scene import Scene, draw_scene
from geolangbind.planet.write import SPLITS
from geolangbind.sensors import Unit, get_sensor
from geolangbind.sensors.units import to_canonical


@dataclass(frozen=True)
class View:
    """How a place is drawn: sensor, unit, pixels, bands (None for all good ones) and, of an unseen sensor, the view it is held against."""

    sensor: str
    unit: Unit = Unit.REFLECTANCE
    pixels: int = 64
    bands: tuple[str, ...] | None = None
    against: str = ""


_LANDSAT = tuple(f"SR_B{number}" for number in range(1, 8))
VIEWS: dict[str, View] = {
    "Sentinel-2 L2A": View("sentinel-2-l2a"),
    "Sentinel-2 L1C": View("sentinel-2-l1c"),
    "Sentinel-2 picture": View("sentinel-2-tci", Unit.DISPLAY_U8),
    "EnMAP": View("enmap-l2a", pixels=32),
    "Sentinel-1": View("sentinel-1-grd", Unit.SIGMA0_DB, bands=("VV", "VH")),
    "Landsat thermal": View("landsat-8-9-l1", Unit.BRIGHTNESS_TEMPERATURE_K, bands=("B10", "B11")),
    "Copernicus DEM": View("copernicus-dem", Unit.ELEVATION_M),
    "Landsat SR": View("landsat-8-9-l2", bands=_LANDSAT, against="Sentinel-2 L2A"),
    "SuperDove": View("planetscope-superdove", against="Sentinel-2 L2A"),
    "WorldView-3": View("worldview-3", against="Sentinel-2 L1C"),
    "NAIP": View("naip", Unit.DISPLAY_U8, against="Sentinel-2 picture"),
    "ASTER thermal": View("aster-tir", Unit.BRIGHTNESS_TEMPERATURE_K, against="Landsat thermal"),
    "SRTM": View("srtm", Unit.ELEVATION_M, against="Copernicus DEM"),
}
"""The first seven are what geolangbind's own planet models are trained on; those held against another view are not."""

_TEST_SEED = SPLITS["test"]
_OTHER_DATE = 1_000_000  # scenes whose dates are borrowed lie far from those that are drawn


def planet_stacks(places: int = 64, seed: int = 0, tick: Callable[[], None] = lambda: None) -> StackSet:
    """Draw test scenes of planet `seed` for every view, and once more under another date.

    Another date is the same ground with the sun, season and greenness of another scene of its class.

    Args:
        places: scenes, at least 2; their classes take turns.
        seed: of the planet.
        tick: called after each scene.

    Raises:
        SettingsError: an impossible number or seed.
    """
    if places < 2 or seed < 0:
        raise SettingsError(f"places must be >= 2 and seed >= 0, got {places} and {seed}")
    number = len(SPLITS) * seed + _TEST_SEED
    drawn: dict[str, list[Map]] = {name: [] for name in VIEWS}
    later: dict[str, list[Map]] = {name: [] for name in VIEWS if not VIEWS[name].against}
    for index in range(places):
        scene = draw_scene(number, index)
        for images, shown in ((drawn, scene), (later, _another_date(scene))):
            for name in images:
                images[name].append(_draw(shown, VIEWS[name]))
        tick()
    keys = tuple(f"{number}-{index:05d}" for index in range(places))
    return StackSet(
        name="planet",
        synthetic=True,
        about=f"{places} scenes of the synthetic planet, each drawn for {len(VIEWS)} sensors at the same ground",
        views={name: _batch(images, VIEWS[name], keys) for name, images in drawn.items()},
        unseen={name: view.against for name, view in VIEWS.items() if view.against},
        again={name: _batch(images, VIEWS[name], keys) for name, images in later.items()},
    )


def _another_date(scene: Scene) -> Scene:
    other = draw_scene(scene.seed, scene.index + _OTHER_DATE, scene.scene_class)
    borrowed = ("date", "season", "sun_elevation_deg", "sun_azimuth_deg", "vigour")
    return replace(scene, **{name: getattr(other, name) for name in borrowed})


def _draw(scene: Scene, view: View) -> Map:
    sensor = get_sensor(view.sensor)
    bands = sensor.select(bands=view.bands) if view.bands else sensor.good_bands
    return to_canonical(render(scene, sensor, bands, view.unit, view.pixels, FOOTPRINT_M / view.pixels), view.unit)[0]


def _batch(images: list[Map], view: View, places: tuple[str, ...]) -> Batch:
    sensor = get_sensor(view.sensor)
    bands = sensor.select(bands=view.bands) if view.bands else sensor.good_bands
    return make_batch(images, sensor, bands, view.unit, FOOTPRINT_M / view.pixels, places)
