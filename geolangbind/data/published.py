"""The tars of the published GeoLangBind-2M to indexed shards, in one pass, without running what they hold.

Layout: `<subset>/<subset>_train-*-train.tar`, per sample `.image` (npy, H x W x C or H x W), `.text` (caption), `.wavelength` (list of µm)
and `.geoloc`. Pixels are scaled to 0 to 255 for all sensors, so only pictures say what they are worth; for the rest the user must.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geolangbind.data.decode import decode_image
from geolangbind.data.faults import Faults, Problem
from geolangbind.data.index import INDEX_NAME, load_index
from geolangbind.data.literals import Numbers, parse_numbers
from geolangbind.data.members import read_groups
from geolangbind.data.sample import Sample, SampleMeta
from geolangbind.data.write import Existing, ShardWriter
from geolangbind.errors import DataError, GeoLangBindError, SensorError, SettingsError, UnitError
from geolangbind.sensors import get_sensor
from geolangbind.sensors.channels import channel_set
from geolangbind.sensors.records import Band, Sensor
from geolangbind.sensors.units import Unit, to_canonical

Progress = Callable[[Sequence[Path]], Iterable[Path]]
"""Wraps the tars to go through, to show how far the work is; `rich.progress.track` is one."""

_S2_BANDS = ("B04", "B03", "B02", "B05", "B06", "B07", "B08", "B11", "B12")
_KNOWN: tuple[tuple[str, str, tuple[str, ...], Unit | None], ...] = (
    (r"Skyscript(_\d)?|Seg4|Det10|Ret3|VRS_train|Flair2_rgb_train", "aerial-rgb", ("R", "G", "B"), Unit.DISPLAY_U8),
    (r"ChatEarthNet_S2_train", "sentinel-2-l2a", _S2_BANDS, None),
    (r"ChatEarthNet_SAR_train|MMflood_sar_train", "sentinel-1-grd", ("VV", "VH"), None),
    (r"NLCD_hyper", "enmap-l2a", (), None),
)
"""Subsets whose sensor and bands are known (none: the sensor's good ones), with the unit where that is, too. Not among them: SAR_ship
(several radars), IR_ship (sources disagree on the camera) and Flair2_elevation_train (surface or height above ground is not told)."""

_MOST_LAYOUTS = 64  # each image size is a shard of its own, open until the end
_WAVELENGTH_SHARE = 0.02  # what published centres of one band differ by; neighbouring bands of Sentinel-2 differ by 5 %
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9_]")  # no "-" either, which would name a place (`places.place_of`)


@dataclass(frozen=True)
class Meaning:
    """What the pixels of a subset are; None where neither the user nor the layout says.

    Attributes:
        gsd_m: ground sampling distance in metres.
        sensor: name of the sensor record.
        bands: of the channels, in their order; empty for the sensor's good bands.
        unit: unit after scale and offset.
        scale: unit = stored * scale + offset.
        offset: see `scale`.
    """

    gsd_m: float
    sensor: str | None = None
    bands: tuple[str, ...] = ()
    unit: str | None = None
    scale: float | None = None
    offset: float | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.gsd_m) and self.gsd_m > 0):
            raise SettingsError(f"--gsd is {self.gsd_m}; give metres per pixel, above 0")


@dataclass(frozen=True)
class Pixels:
    """A `Meaning` that says all, with the records of sensor and bands."""

    sensor: Sensor
    bands: tuple[Band, ...]
    unit: Unit
    scale: float
    offset: float
    gsd_m: float


@dataclass(frozen=True)
class ImportReport:
    """What an import wrote, and what it left out."""

    folder: Path
    subset: str
    shards: int
    samples: int
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Whether every sample was taken."""
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        """Plain values: folder, subset, counts, `ok`, and `problems` as shard, key and what is wrong."""
        told = {"folder": str(self.folder), "subset": self.subset, "shards": self.shards, "samples": self.samples, "ok": self.ok}
        return {**told, "problems": [asdict(problem) for problem in self.problems]}


def import_published(
    source: Path, out: Path, meaning: Meaning, faults: Faults, *, existing: Existing = "refuse", progress: Progress | None = None
) -> ImportReport:
    """Convert one subset; stored numbers are kept as they are.

    Args:
        source: the subset's folder; its name is that of the subset.
        out: folder of shards to write. A key becomes `<subset>_<number of the tar>_<key>`, for keys come again in other tars.
        meaning: what the user says.
        faults: whether a bad sample ends the import or is left out.
        existing: see `ShardWriter`.
        progress: see `Progress`.

    Returns:
        What was written; `shards` counts all of the folder.

    Raises:
        SettingsError: no tars there, `out` may not be written, or it is not told what the pixels are.
        DataError: see `Faults`; or no sample is good.
    """
    subset = source.name
    tars = sorted({*source.glob(f"{subset}_train-*-train.tar"), *source.glob(f"{subset}-*-train.tar")})
    if not tars:
        raise SettingsError(f"{source} has no tar {subset}_train-*-train.tar; give the folder of one subset, e.g. ROOT/Seg4")
    pixels = complete(subset, meaning)
    if existing == "refuse" and (out / INDEX_NAME).exists():
        raise SettingsError(f"{out} already has an {INDEX_NAME}; choose another folder, or append to it or overwrite it explicitly")
    written, prefixes = 0, set[str]()
    with ShardWriter(out, existing=existing, provenance={"source": "GeoLangBind-2M"}) as writer:
        for number, tar in enumerate((progress or list)(tars)):

            def report(key: str, what: str, name: str = tar.name) -> None:
                faults.note(Problem(name, key or None, what))

            with tar.open("rb") as file:
                for key, members in read_groups(file, report):
                    try:
                        sample = _to_sample(f"{subset}_{number:05d}_{_NOT_PLAIN.sub('_', key)}", members, pixels, subset)
                        writer.write(sample, _prefix(subset, sample, prefixes))
                    except GeoLangBindError as error:
                        report(key, str(error))
                        continue
                    written += 1
        if not written:
            raise DataError(f"{source} has no good sample. The first finding: {faults.found[0] if faults.found else 'the tars are empty'}")
    return ImportReport(out, subset, len(load_index(out).shards), written, tuple(faults.found))


def complete(subset: str, meaning: Meaning) -> Pixels:
    """What is known of a subset and what the user says, together.

    Raises:
        SettingsError: both together do not say what the pixels are, or sensor, bands and unit do not go together.
    """
    try:
        return _complete(subset, meaning)
    except (SensorError, UnitError) as error:
        raise SettingsError(f"{subset}: {error}") from None


def _complete(subset: str, meaning: Meaning) -> Pixels:
    known = next(((sensor, bands, unit) for names, sensor, bands, unit in _KNOWN if re.fullmatch(names, subset)), ("", (), None))
    name = meaning.sensor or known[0]
    if not name:
        raise SettingsError(f"{subset}: its sensor is not known; say --sensor (`geolangbind sensors` lists them), --bands, --unit")
    sensor = get_sensor(name)
    same = sensor.name == known[0]
    bands = sensor.select(bands=list(meaning.bands or (known[1] if same else ())) or None)
    unit = Unit.parse(meaning.unit) if meaning.unit else known[2] if same else None
    scale, offset = (1.0, 0.0) if unit is Unit.DISPLAY_U8 else (None, None)
    scale, offset = (told if told is not None else own for told, own in ((meaning.scale, scale), (meaning.offset, offset)))
    if unit is None or scale is None or offset is None:
        raise SettingsError(
            f"{subset}: its pixels are scaled to 0 to 255, and what that is worth is not published; say --unit, --scale and --offset "
            f"(unit = stored x scale + offset), for example --unit {sensor.unit} --scale 0.01 --offset 0"
        )
    channel_set(sensor, bands, to_canonical(np.zeros(1, np.float32), unit)[1])
    return Pixels(sensor, bands, unit, scale, offset, meaning.gsd_m)


def _to_sample(key: str, members: Mapping[str, bytes], pixels: Pixels, subset: str) -> Sample:
    lacking = [name for name in ("image", "text", "wavelength") if name not in members]
    if lacking:
        raise DataError(f"has no .{lacking[0]}; copy the tar again, or leave the sample out")
    stored = decode_image(members["image"], "npy")
    channels = stored.shape[2] if stored.ndim == 3 else 1
    _check_wavelengths(members["wavelength"], channels, pixels)
    try:
        caption = members["text"].decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise DataError(f".text is not UTF-8 at byte {error.start}; write captions as UTF-8") from None
    if not caption:
        raise DataError(".text is empty; give the sample a caption, or leave it out")
    place = parse_numbers(members["geoloc"], ".geoloc") if "geoloc" in members else []
    box = _box(place)
    meta = SampleMeta(
        sensor=pixels.sensor.name, bands=tuple(band.name for band in pixels.bands), unit=pixels.unit, gsd_m=pixels.gsd_m,
        captions=(caption,), scale=pixels.scale, offset=pixels.offset, bbox_wgs84=box,
        labels={"geoloc": place} if place and box is None else {}, source=f"GeoLangBind-2M {subset}",
    )  # fmt: skip
    return Sample(key, _image(stored, pixels), meta)


def _image(stored: NDArray[Any], pixels: Pixels) -> NDArray[Any]:
    """Stored numbers as (C, H, W)."""
    count = len(pixels.bands)
    if stored.ndim not in (2, 3) or stored.size == 0 or stored.dtype.kind not in "uif":
        raise DataError(f".image must be real numbers (H, W, C) or (H, W), got {stored.dtype} {stored.shape}")
    image = stored[None] if stored.ndim == 2 else stored.transpose(2, 0, 1)
    if count == 1 and len(image) == 3 and (image == image[:1]).all():
        image = image[:1]  # one channel written three times
    if len(image) != count:
        raise DataError(f".image {stored.shape} has {len(image)} channels (the last axis), {pixels.sensor.name} {count} bands; see --bands")
    low, high = image.min(), image.max()  # NaN if there is one
    if not (np.isfinite(low) and np.isfinite(high)):
        raise DataError(".image has NaN or infinite pixels; leave the sample out")
    if pixels.unit is Unit.DISPLAY_U8 and not 0 <= low <= high <= 255:
        raise DataError(f".image holds {low} to {high}, a picture 0 to 255; say --unit, --scale and --offset")
    return np.ascontiguousarray(image)


def _check_wavelengths(data: bytes, channels: int, pixels: Pixels) -> None:
    found = parse_numbers(data, ".wavelength")
    values = [value for value in found if isinstance(value, float)] if isinstance(found, list) else [found]
    if len(values) != channels or (isinstance(found, list) and len(found) != channels):
        raise DataError(f".wavelength has {len(found) if isinstance(found, list) else 1} entries for {channels} channels")
    if pixels.sensor.modality not in ("rgb", "msi", "hsi") or not any(values):
        return  # radar, heat and heights carry numbers of no physical meaning; all 0 stands for none
    for value, band in zip(values, pixels.bands, strict=False):
        centre = band.center_wavelength_um or value
        if abs(value - centre) > _WAVELENGTH_SHARE * centre:
            raise DataError(
                f".wavelength says {value:g} µm where {pixels.sensor.name} {band.name} lies at {centre:g}; see --sensor, --bands"
            )


def _box(place: Numbers) -> tuple[float, float, float, float] | None:
    """West, south, east, north where four numbers can be nothing else; what `.geoloc` holds is not published."""
    match place:
        case [float(west), float(south), float(east), float(north)]:
            if -180 <= west < east <= 180 and -90 <= south < north <= 90:
                return west, south, east, north
    return None


def _prefix(subset: str, sample: Sample, prefixes: set[str]) -> str:
    _, height, width = sample.image.shape
    prefix = f"{subset}-{height}x{width}-{sample.image.dtype.name}"
    if prefix not in prefixes and len(prefixes) == _MOST_LAYOUTS:
        raise DataError(
            f"is {height} x {width} {sample.image.dtype}; a folder takes {_MOST_LAYOUTS} image sizes: cut all to one size first"
        )
    prefixes.add(prefix)
    return prefix
