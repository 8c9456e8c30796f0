"""Real co-registered stacks below a root: which files show the same ground, what their numbers mean, and tiles cut from them as places.

Tiles of one scene are neighbours and look alike, which makes them harder to tell apart than distant places, and the intervals, which
take tiles for independent, are too narrow by as much. Few scenes: the figures say what happened on these and no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from geolangbind.crashtest.stacks import StackSet, make_batch
from geolangbind.data.batch import Batch
from geolangbind.data.raster_reader import Raster
from geolangbind.data.rasters import PixelWindow, open_raster
from geolangbind.errors import DataError

TILE_PX = 48
_S2 = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
_S2_L1C_B8A_LAST = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B09", "B10", "B11", "B12", "B8A")
_DB_OF_COPERNICUS_S1 = 10 ** (-83 / 20)  # 20 log10(DN) - 83 dB


@dataclass(frozen=True)
class RealView:
    """Files of one sensor: a path with `{id}`, and what `open_raster` must be told. `offsets` holds the scenes whose offset differs."""

    path: str
    options: Mapping[str, Any]
    offsets: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Collection:
    """Co-registered files in one folder.

    Attributes:
        folder: below the root.
        scenes: a pattern below the folder; the stem of each match is the `{id}` of a scene, its parent's name the `{class}`.
        views: by name, on the same grid.
        again: the same sensor at another date, by the name of the view.
    """

    folder: str
    scenes: str
    views: Mapping[str, RealView]
    again: Mapping[str, RealView] = field(default_factory=dict)


def _s1_worldcereal(month: str) -> RealView:
    options = {"sensor": "sentinel-1-grd", "unit": "sigma0_amplitude", "scale": _DB_OF_COPERNICUS_S1, "offset": 0.0}
    return RealView(f"s1_{month}.tif", options)


def _s2_worldcereal(month: str) -> RealView:
    return RealView(f"s2_{month}.tif", {"sensor": "sentinel-2-l2a", "offset": 0.0})


def _s1_myanmar(name: str) -> RealView:
    options = {"sensor": "sentinel-1-grd", "unit": "sigma0_db", "scale": 0.01, "offset": 0.0, "bands": ["VV", "VH"]}
    return RealView(f"S1A_IW_GRDH_1SDV_{name}.tif", options)


COLLECTIONS: dict[str, Collection] = {
    "terramesh": Collection(
        "coreg_s1_s2_dem_lulc_terramesh",
        "*_*",
        {
            "Sentinel-2 L2A": RealView("{id}/S2L2A.tif", {"sensor": "sentinel-2-l2a", "scale": 1e-4, "offset": 0.0}),
            # two of the three carry the +1000 of later processing baselines in L1C: their cirrus band has a mean of 1010
            "Sentinel-2 L1C": RealView(
                "{id}/S2L1C.tif", {"sensor": "sentinel-2-l1c", "scale": 1e-4, "offset": -0.1}, {"637U_59R_1_3": 0.0}
            ),
            "Sentinel-1": RealView("{id}/S1RTC.tif", {"sensor": "sentinel-1-grd", "unit": "gamma0_db"}),
            "Copernicus DEM": RealView("{id}/DEM.tif", {"sensor": "copernicus-dem"}),
        },
    ),
    "worldcereal": Collection(
        "coreg_s1_s2_dem_worldcereal",
        "dem.tif",
        {
            "Sentinel-2 L2A": _s2_worldcereal("2021-04"),
            "Sentinel-1": _s1_worldcereal("2021-04"),
            "SRTM": RealView("dem.tif", {"sensor": "srtm", "bands": ["elevation"]}),
        },
        {"Sentinel-2 L2A": _s2_worldcereal("2021-08"), "Sentinel-1": _s1_worldcereal("2021-08")},
    ),
    "bigearthnet": Collection(
        "coreg_s1_s2_bigearthnet",
        "S2?_MSIL2A_*",
        {
            "Sentinel-2 L2A": RealView("{id}", {"sensor": "sentinel-2-l2a", "offset": 0.0, "bands": list(_S2)}),
            "Sentinel-1": RealView("{id}", {"sensor": "sentinel-1-grd", "unit": "sigma0_db", "bands": ["VV", "VH"]}),
        },
    ),
    "myanmar": Collection(
        "coreg_s1_dem_myanmar",
        "srtm_slope_elevation.tif",
        {
            "Sentinel-1": _s1_myanmar("20170610T233208_20170610T233233_016978_01C442_1389"),
            "SRTM": RealView("{id}.tif", {"sensor": "srtm", "bands": ["elevation"]}),
        },
        {"Sentinel-1": _s1_myanmar("20171207T233212_20171207T233237_019603_0214BF_8906")},
    ),
    "mendoza": Collection(
        "landsat8_thermal_mendoza",
        "l8_dn.tif",
        {
            "Landsat SR": RealView("l8_sr_x10000.tif", {"sensor": "landsat-8-9-l2", "scale": 1e-4, "offset": 0.0}),
            "Landsat TOA": RealView("l8_dn.tif", {"sensor": "landsat-8-9-l1", "bands": ["B2", "B3", "B4", "B5", "B6", "B7"]}),
            "Landsat thermal": RealView("l8_dn.tif", {"sensor": "landsat-8-9-l1", "bands": ["B10", "B11"]}),
        },
    ),
    "eurosat": Collection(
        "eurosat",
        "ms/*/*.tif",
        {
            "Sentinel-2 L1C": RealView("ms/{class}/{id}.tif", {"sensor": "sentinel-2-l1c", "offset": 0.0, "bands": list(_S2_L1C_B8A_LAST)}),
            "Sentinel-2 picture": RealView("rgb/{class}/{id}.jpg", {"sensor": "sentinel-2-tci"}),
        },
    ),
}
"""Stacks by folder name. Where aerial and satellite chips share only a few pixels (TreeSat: 6 x 6), no tile can be cut."""


def real_stacks(root: Path | str, tile_px: int = TILE_PX, tick: Callable[[], None] = lambda: None) -> list[StackSet]:
    """Read every collection whose folder lies below `root`.

    Args:
        root: a folder with any of the collections' folders.
        tile_px: side of a tile; scenes are cut into as many whole ones as they hold.
        tick: called after each collection.

    Raises:
        DataError: there is none, or a file cannot be read.
        GeoLangBindError: its numbers contradict what is said of them.
    """
    if not (there := {name: found for name, found in COLLECTIONS.items() if (Path(root) / found.folder).is_dir()}):
        folders = ", ".join(found.folder for found in COLLECTIONS.values())
        raise DataError(f"--real {root}: none of the folders {folders} lies there")
    sets = []
    for name, found in there.items():
        sets.append(_read(name, found, Path(root) / found.folder, tile_px))
        tick()
    return sets


def _read(name: str, collection: Collection, folder: Path, tile_px: int) -> StackSet:
    scenes = sorted(folder.glob(collection.scenes))
    tiles: dict[tuple[str, bool], list[Raster]] = {}
    places: list[str] = []
    for scene in scenes:
        asked = [((key, False), view) for key, view in collection.views.items()]
        asked += [((key, True), view) for key, view in collection.again.items()]
        cut = {key: list(_tiles(folder, scene, view, tile_px)) for key, view in asked}
        if len({len(found) for found in cut.values()}) != 1:
            counts = ", ".join(f"{key} {len(found)}" for (key, _), found in cut.items())
            raise DataError(f"{scene}: its views are not on one grid; tiles of {tile_px} px: {counts}")
        for key, found in cut.items():
            tiles.setdefault(key, []).extend(found)
        places += [f"{scene.stem}-{number}" for number in range(len(next(iter(cut.values()))))]
    if not scenes:
        raise DataError(f"{folder}: no {collection.scenes} in it; restore the folder or leave it out of the root")
    return StackSet(
        name=name,
        synthetic=False,
        about=f"{len(places)} tiles of {tile_px} px from {len(scenes)} real scene{'s' * (len(scenes) > 1)} ({collection.folder})",
        views={key: _batch(found, places) for (key, later), found in tiles.items() if not later},
        again={key: _batch(found, places) for (key, later), found in tiles.items() if later},
    )


def _tiles(folder: Path, scene: Path, view: RealView, tile_px: int) -> Iterator[Raster]:
    path = folder / view.path.format(**{"id": scene.stem, "class": scene.parent.name})
    options = {**view.options, **({"offset": view.offsets[scene.stem]} if scene.stem in view.offsets else {})}
    reader = open_raster(path, **options)
    for row in range(0, reader.height - tile_px + 1, tile_px):
        for column in range(0, reader.width - tile_px + 1, tile_px):
            window: PixelWindow = (column, row, tile_px, tile_px)
            yield reader.read(window)


def _batch(tiles: Sequence[Raster], places: Sequence[str]) -> Batch:
    first = tiles[0]
    valid = [tile.valid for tile in tiles]
    return make_batch([tile.image for tile in tiles], first.sensor, first.bands, first.unit, first.gsd_m, places, valid)
