"""One sample of a shard: stored pixels and the facts needed to read them. Importable without torch."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from geolangbind.errors import DataError, UnitError
from geolangbind.sensors.units import Unit

Encoding = Literal["npy", "png", "jpg", "tif"]
ENCODINGS: tuple[Encoding, ...] = ("npy", "png", "jpg", "tif")

KEY_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""No dot (readers of WebDataset split a member's name at the first one), no slash, and short enough for a plain tar header."""


@dataclass(frozen=True)
class Box:
    """A region phrase: pixel corners (x0, y0, x1, y1) and the words for what is inside."""

    xyxy: tuple[float, float, float, float]
    text: str


@dataclass(frozen=True)
class SampleMeta:
    """What the pixels of a sample mean; the member `<key>.json`. Physical value = stored * scale + offset, in `unit`.

    Attributes:
        sensor: name of the sensor record.
        bands: band names, in the order of the image's channels.
        unit: unit after scale and offset; never `dn`.
        gsd_m: ground sampling distance of the stored pixels in metres; None where nobody knows.
        captions: one or more sentences about the image.
        caption_sources: what made each caption (see `geolangbind.captions.Caption`); empty where that was not recorded.
        scale: see above.
        offset: see above.
        nodata: stored number that stands for "nothing measured here" (NaN allowed); None where every pixel counts.
        bbox_wgs84: west, south, east, north in degrees.
        datetime: acquisition time, ISO 8601.
        split: train, validation or test, as the source of the sample says.
        labels: JSON values by task name (`{"scene_class": "harbour"}`).
        boxes: region phrases.
        source: where the image comes from.
        licence: the terms it comes under.
    """

    sensor: str
    bands: tuple[str, ...]
    unit: Unit
    gsd_m: float | None
    captions: tuple[str, ...]
    caption_sources: tuple[str, ...] = ()
    scale: float = 1.0
    offset: float = 0.0
    nodata: float | None = None
    bbox_wgs84: tuple[float, float, float, float] | None = None
    datetime: str | None = None
    split: str | None = None
    labels: Mapping[str, Any] = field(default_factory=dict)
    boxes: tuple[Box, ...] = ()
    source: str | None = None
    licence: str | None = None

    def __post_init__(self) -> None:
        if not self.bands or len(set(self.bands)) != len(self.bands):
            raise DataError(f"bands must be named, each once; got {list(self.bands)}")
        if self.unit is Unit.DN:
            raise UnitError("a shard holds no bare digital numbers; set scale, offset and the unit they lead to")
        if self.gsd_m is not None and not (math.isfinite(self.gsd_m) and self.gsd_m > 0):
            raise DataError(f"gsd_m must be a positive number of metres, got {self.gsd_m}")
        if not (math.isfinite(self.scale) and math.isfinite(self.offset) and self.scale != 0):
            raise DataError(f"scale and offset must be finite and scale not 0, got {self.scale} and {self.offset}")
        if self.caption_sources and len(self.caption_sources) != len(self.captions):
            raise DataError(f"{len(self.captions)} captions but {len(self.caption_sources)} sources of them")

    def to_json(self) -> bytes:
        """Return the `<key>.json` member: fields that are set, in the order of the class.

        Raises:
            DataError: a label is no JSON value.
        """
        fields: dict[str, Any] = {name: getattr(self, name) for name in self.__dataclass_fields__}
        fields["boxes"] = [{"xyxy": box.xyxy, "text": box.text} for box in self.boxes]
        fields["labels"] = dict(self.labels)
        if self.nodata is not None and math.isnan(self.nodata):
            fields["nodata"] = "nan"  # JSON has no NaN
        kept = {name: value for name, value in fields.items() if value is not None and (value not in ([], {}, ()) or name == "captions")}
        try:
            return json.dumps(kept, ensure_ascii=False, allow_nan=False).encode()
        except (TypeError, ValueError) as error:
            raise DataError(f"labels must be plain JSON values: {error}") from None

    @classmethod
    def from_json(cls, data: bytes) -> SampleMeta:
        """Read what `to_json` wrote. Unknown fields are left aside, so that later versions can add some.

        Raises:
            DataError: not JSON, a field is missing or of the wrong type.
            UnitError: the unit is unknown.
        """
        try:
            raw = json.loads(data)
            known = {name: value for name, value in raw.items() if name in cls.__dataclass_fields__}
            known["unit"] = Unit.parse(raw["unit"])
            for name in ("sensor", "datetime", "source", "licence"):
                if not isinstance(raw.get(name), str | None):
                    raise ValueError(f"'{name}' must be a string")
            for name in ("bands", "captions"):
                known[name] = _strings(name, raw[name])
            known["caption_sources"] = _strings("caption_sources", raw.get("caption_sources", []))
            known.setdefault("gsd_m", None)
            for name in ("gsd_m", "scale", "offset", "nodata"):
                if raw.get(name) is not None:
                    known[name] = float(raw[name])
            known["labels"] = dict(raw.get("labels", {}))
            known["boxes"] = tuple(Box(_corners(box["xyxy"]), str(box["text"])) for box in raw.get("boxes", ()))
            if raw.get("bbox_wgs84") is not None:
                known["bbox_wgs84"] = _corners(raw["bbox_wgs84"])
            return cls(**known)
        except KeyError as error:
            raise DataError(f"the sample's json has no field {error}") from None
        except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise DataError(f"the sample's json cannot be read: {error}") from None


@dataclass(frozen=True, eq=False)
class Sample:
    """Stored pixels with their facts.

    Attributes:
        key: name inside the shard, unique in its folder; letters, digits, `_` and `-`.
        image: (C, H, W), any real dtype, stored numbers (see `SampleMeta` for how they become physical ones).
        meta: what the pixels mean.
        mask: uint8 (H, W), class per pixel, or None.
        encoding: how the image is stored. `png` and `jpg` hold 8-bit pictures of 1 or 3 channels only.
        stored: the image's bytes in that encoding where they exist already, so that a JPEG is not compressed twice.
        features: fp16 patch features (N, D) by teacher, only on samples read from shards.
    """

    key: str
    image: NDArray[Any]
    meta: SampleMeta
    mask: NDArray[np.uint8] | None = None
    encoding: Encoding = "npy"
    stored: bytes | None = None
    features: Mapping[str, NDArray[np.float16]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not KEY_PATTERN.fullmatch(self.key):
            raise DataError(f"sample key '{self.key}' must be 1 to 64 letters, digits, '_' or '-'")
        if self.image.ndim != 3 or self.image.size == 0 or self.image.dtype.kind not in "uif":
            raise DataError(f"sample {self.key}: image must be real numbers (C, H, W), got {self.image.dtype} {self.image.shape}")
        if self.image.shape[0] != len(self.meta.bands):
            raise DataError(f"sample {self.key}: {self.image.shape[0]} channels but {len(self.meta.bands)} band names")
        if self.encoding not in ENCODINGS:
            raise DataError(f"sample {self.key}: unknown encoding '{self.encoding}'; encodings are {', '.join(ENCODINGS)}")
        mask = self.mask
        if mask is not None and (mask.dtype != np.uint8 or mask.shape != self.image.shape[1:]):
            raise DataError(f"sample {self.key}: mask must be uint8 {self.image.shape[1:]}, got {mask.dtype} {mask.shape}")


def _strings(name: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"'{name}' must be a list of strings")
    "".join(value).encode()  # half of a surrogate pair is no text
    return tuple(value)


def _corners(value: list[float]) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = (float(number) for number in value)
    if not all(map(math.isfinite, (x0, y0, x1, y1))):
        raise ValueError(f"four finite numbers are needed, got {value}")
    return x0, y0, x1, y1
