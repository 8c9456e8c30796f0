"""Which raster of a STAC item holds which band, and how what the item states joins what the files say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path

import numpy as np

from geolangbind.data.envi import header_of, inspect_envi
from geolangbind.data.raster_bands import WAVELENGTH_TOL_UM, Layer, layers_of_file
from geolangbind.data.raster_source import FileBand, Source, inspect
from geolangbind.data.stac import Item, ItemAsset, ItemBand, locate
from geolangbind.errors import DataError, SensorError
from geolangbind.sensors.channels import RADAR_BANDS
from geolangbind.sensors.records import Band, ScaleRule, Sensor, find_band, names

_FREQUENCY_TOL = 0.05
"""Radars of one band letter differ by more than this part of their frequency."""


@dataclass(frozen=True)
class _Offer:
    """An asset that holds a band."""

    asset: ItemAsset
    file: Path | None

    @property
    def rank(self) -> tuple[bool, bool, float]:
        """The lowest is the best: here rather than missing, as measured rather than resampled, fine rather than coarse."""
        return self.file is None, not self.asset.original, self.asset.gsd_m


def inspect_any(path: Path) -> Source:
    """Read what a raster file, ENVI or other, says about itself; see `inspect` and `inspect_envi`."""
    header = header_of(path)
    return inspect(path) if header is None else inspect_envi(path, header)


def layers_of_item(item: Item, sensor: Sensor, wanted: Sequence[str] | None) -> tuple[tuple[Layer, ...], tuple[str, ...]]:
    """Assign the rasters of an item to bands: by name, polarisation, common name, then wavelength.

    Of several assets with one band (other resolutions, other formats) the best is taken. Assets that hold no band of the sensor are
    passed over.

    Args:
        item: the item.
        sensor: its sensor.
        wanted: `--bands`: a selection; the order of all channels where one file is all there is and nothing names its bands.

    Raises:
        DataError: a file is missing or does not fit the item.
        SensorError: no asset holds a band of the sensor, a wanted band is missing, or the item contradicts the sensor.
    """
    _refuse_other_sensor(item, sensor)
    notes = (f"STAC item {item.title}", *_offset_note(item, sensor))
    if not item.assets:
        raise DataError(f"{item.path}: has no asset that is a raster with the role 'data'")
    if len(item.assets) == 1:
        asset = item.assets[0]
        whole, found = layers_of_file(_source(item, asset, _here(item, asset, ""), sensor), sensor, wanted)
        return whole, (*notes, *found)
    offers: dict[str, list[_Offer]] = {}
    for asset in item.assets:
        offer = _Offer(asset, locate(item, asset))
        for facts in asset.bands:
            band = _identify(item, asset, facts, sensor)
            if band is not None:
                offers.setdefault(band.name, []).append(offer)
    best = {name: min(several, key=lambda offer: offer.rank) for name, several in offers.items()}
    chosen = _chosen(item, sensor, wanted, list(best))
    there = [name for name in best if best[name].file is not None]
    layers: dict[str, Layer] = {}
    for asset in {best[name].asset: None for name in chosen}:
        own = [name for name in chosen if best[name].asset is asset]
        file = _here(item, asset, f", or choose others with --bands {','.join(there)}" if there else "")
        layers.update(zip(own, layers_of_file(_source(item, asset, file, sensor), sensor, own)[0], strict=True))
    missing = [band.name for band in sensor.good_bands if band.name not in best]
    absent = (f"not in the item: {', '.join(missing)}",) if missing and wanted is None else ()
    return tuple(layers[name] for name in chosen), (*notes, "bands from the STAC item", *absent)


def _chosen(item: Item, sensor: Sensor, wanted: Sequence[str] | None, held: list[str]) -> list[str]:
    if not held:
        keys = ", ".join(repr(asset.key) for asset in item.assets)[:200]
        raise SensorError(
            f"{item.path}: none of its assets {keys} is a band of {sensor.name} ({names(sensor.bands)}); say another --sensor"
        )
    if wanted is None:
        return [band.name for band in sensor.good_bands if band.name in held] or held
    chosen = [band.name for band in sensor.select(bands=wanted)]
    lacking = [name for name in chosen if name not in held]
    if lacking:
        raise SensorError(f"{item.path}: has no band {', '.join(lacking)} of {sensor.name}; it has {','.join(held)}")
    return chosen


def _here(item: Item, asset: ItemAsset, way_out: str) -> Path:
    file = locate(item, asset)
    if file is None:
        raise DataError(
            f"{item.path}: the file of asset {asset.key!r} is not there ({asset.href[:200]!r}); "
            f"put a copy of that name beside the item{way_out}"
        )
    return file


def _identify(item: Item, asset: ItemAsset, facts: ItemBand, sensor: Sensor) -> Band | None:
    """Return the band that an entry of an item is, or None.

    Raises:
        SensorError: its name and its wavelength are of different bands.
    """
    labels = (facts.name, facts.polarization, asset.key if len(asset.bands) == 1 else None)
    named = next((band for label in labels if label and (band := find_band(sensor.bands, label)) is not None), None)
    if named is None and facts.common_name is not None:
        same = [band for band in sensor.bands if band.common_name == facts.common_name]
        named = same[0] if len(same) == 1 else None
    stated = facts.center_wavelength_um
    if stated is None or (named is not None and named.center_wavelength_um is None):
        return named
    if named is None:
        close = [(abs((band.center_wavelength_um or 0.0) - stated), band) for band in sensor.bands if band.center_wavelength_um is not None]
        distance, nearest = min(close, key=lambda pair: pair[0], default=(float("inf"), None))
        return nearest if distance <= WAVELENGTH_TOL_UM else None
    # catalogues round: 2.19 µm for Sentinel-2A's B12 at 2.2024 is the same band as long as it lies inside it
    centre = named.center_wavelength_um or 0.0
    if abs(centre - stated) > max(WAVELENGTH_TOL_UM, (named.fwhm_um or 0.0) / 2):
        raise SensorError(
            f"{item.path}: asset {asset.key!r} calls a band {named.name} and gives it the wavelength {stated:g} µm, "
            f"but {named.name} of {sensor.name} lies at {centre:g} µm; the sensor is another one (--sensor), or the item is wrong"
        )
    return named


def _source(item: Item, asset: ItemAsset, file: Path, sensor: Sensor) -> Source:
    """Return what the file says about itself, with what the item states about it in front."""
    source = inspect_any(file)
    facts = asset.bands if asset.listed else asset.bands * len(source.bands)
    if len(facts) != len(source.bands):
        raise DataError(
            f"{item.path}: lists {len(facts)} bands in asset {asset.key!r}, but {file.name} has {len(source.bands)}; one of them is wrong"
        )
    # by text, because NaN is not equal to NaN
    marks = {str(entry.nodata): entry.nodata for entry in facts if entry.nodata is not None and _can_hold(source.dtype, entry.nodata)}
    if len(marks) > 1:
        raise DataError(f"{item.path}: asset {asset.key!r} has bands with different 'nodata' ({', '.join(marks)}); correct the item")
    return replace(
        source,
        bands=tuple(_joined(stored, entry, item, asset, sensor) for stored, entry in zip(source.bands, facts, strict=True)),
        nodata=next(iter(marks.values()), source.nodata),
        tags={"PROCESSING_BASELINE": item.baseline, **source.tags} if item.baseline else source.tags,
    )


def _can_hold(dtype: str, number: float) -> bool:
    """Whether a pixel can have this number: a mark of no data that none can have marks nothing."""
    if np.dtype(dtype).kind == "f":
        return not isfinite(number) or abs(number) <= float(np.finfo(dtype).max)
    return isfinite(number) and number.is_integer() and np.iinfo(dtype).min <= number <= np.iinfo(dtype).max


def _joined(stored: FileBand, facts: ItemBand, item: Item, asset: ItemAsset, sensor: Sensor) -> FileBand:
    spectrometer = sensor.modality == "hsi"
    band = None if spectrometer else _identify(item, asset, facts, sensor)
    offset = facts.offset
    if sensor.rule is ScaleRule.SENTINEL2_BASELINE and (item.offset_applied or item.baseline):
        # catalogues state -0.1 for products that have no offset yet, and for those where it has been applied: these two know
        offset = 0.0 if item.offset_applied else None
    own = facts.scale is not None or offset is not None
    return replace(
        stored,
        description=(band.name if band is not None else facts.name) or stored.description,
        # centres of a spectrometer differ between scenes; those of other sensors are rounded in catalogues, and the record is exact
        wavelength_um=facts.center_wavelength_um or stored.wavelength_um if spectrometer else stored.wavelength_um,
        fwhm_um=facts.fwhm_um or stored.fwhm_um if spectrometer else stored.fwhm_um,
        scale=stored.scale if facts.scale is None else facts.scale,
        offset=stored.offset if offset is None else offset,
        unit=facts.unit or stored.unit,
        stated_by="item" if own else stored.stated_by,
    )


def _offset_note(item: Item, sensor: Sensor) -> tuple[str, ...]:
    if sensor.rule is ScaleRule.SENTINEL2_BASELINE and item.offset_applied:
        return ("the item says that the offset of baseline 04.00 has been applied",)
    return ()


def _refuse_other_sensor(item: Item, sensor: Sensor) -> None:
    """Refuse an item whose radar frequency or wavelength range is not the sensor's."""
    frequencies = [band.frequency_ghz for band in sensor.bands if band.frequency_ghz is not None]
    if frequencies and item.frequency_ghz is not None and abs(item.frequency_ghz / frequencies[0] - 1) > _FREQUENCY_TOL:
        raise SensorError(
            f"{item.path}: its radar works at {item.frequency_ghz:g} GHz, {sensor.name} at {frequencies[0]:g} GHz; say another --sensor"
        )
    limits = RADAR_BANDS.get((item.frequency_band or "").lower())
    if frequencies and limits is not None and not limits[0] <= frequencies[0] < limits[1]:
        raise SensorError(
            f"{item.path}: its radar is of band {item.frequency_band}, {sensor.name} works at {frequencies[0]:g} GHz; say --sensor"
        )
    centres = [band.center_wavelength_um for band in sensor.bands if band.center_wavelength_um is not None]
    low, high = item.wavelength_range_um
    if sensor.modality == "hsi" and centres and ((low is not None and low > max(centres)) or (high is not None and high < min(centres))):
        raise SensorError(f"{item.path}: its wavelengths from {low} to {high} µm lie outside those of {sensor.name}; say another --sensor")
