"""The same places seen by several sensors: what a crash test looks at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray

from geolangbind.data.batch import Batch
from geolangbind.errors import DataError
from geolangbind.sensors import Band, Sensor, Unit, channel_set, modality_of


@dataclass(frozen=True, eq=False)
class StackSet:
    """Places, each seen by every view.

    Attributes:
        name: of the set.
        synthetic: drawn, not taken.
        about: where the places come from, in a sentence.
        views: batches by the name of the view; row i shows place i in all of them.
        unseen: views of sensors that few models were trained on, each with the view it is held against.
        again: the same places at another date, by the name of the view.
    """

    name: str
    synthetic: bool
    about: str
    views: Mapping[str, Batch]
    unseen: Mapping[str, str] = field(default_factory=dict)
    again: Mapping[str, Batch] = field(default_factory=dict)

    def __post_init__(self) -> None:
        batches = [*self.views.values(), *self.again.values()]
        if not batches or len(batches[0]) < 2:
            raise DataError(f"{self.name}: a crash test needs at least 2 places, so that there is another one to mistake a place for")
        if any(batch.keys != batches[0].keys for batch in batches):
            raise DataError(f"{self.name}: the views do not show the same places in the same order")
        if missing := {*self.unseen, *self.unseen.values(), *self.again} - set(self.views):
            raise DataError(f"{self.name}: there is no view {', '.join(sorted(missing))}; views are {', '.join(self.views)}")

    @property
    def places(self) -> tuple[str, ...]:
        """Keys of the places."""
        return next(iter(self.views.values())).keys


def make_batch(
    images: Sequence[NDArray[np.float32]],
    sensor: Sensor,
    bands: Sequence[Band],
    unit: Unit,
    gsd_m: float | None,
    places: Sequence[str],
    valid: Sequence[NDArray[np.bool_]] = (),
) -> Batch:
    """Stack images (C, H, W) of one sensor in canonical `unit`, with their valid pixels (H, W) where there are holes."""
    seen = torch.from_numpy(np.stack(valid)) if valid else None
    return Batch(
        image=torch.from_numpy(np.stack(images)),
        valid=None if seen is None or bool(seen.all()) else seen,
        channels=channel_set(sensor, bands, unit),
        sensor=sensor.name,
        bands=tuple(band.name for band in bands),
        unit=unit,
        modality=modality_of(sensor, unit),
        gsd_m=(gsd_m,) * len(images),
        keys=tuple(places),
        captions=((),) * len(images),
    )


def rows(batch: Batch, start: int, stop: int) -> Batch:
    """Places `start` to `stop` of a view."""
    cut = slice(start, stop)
    return replace(
        batch,
        image=batch.image[cut],
        valid=None if batch.valid is None else batch.valid[cut],
        gsd_m=batch.gsd_m[cut],
        keys=batch.keys[cut],
        captions=batch.captions[cut],
    )
