"""Tars without an index, read front to back: for foreign data and remote addresses."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import IO, cast
from urllib.parse import urlparse
from urllib.request import urlopen

import webdataset

from geolangbind.data.decode import decode_features, decode_image, decode_mask
from geolangbind.data.faults import Faults, Problem
from geolangbind.data.members import read_groups
from geolangbind.data.sample import ENCODINGS, Sample, SampleMeta
from geolangbind.errors import DataError, GeoLangBindError


def stream_tars(urls: Sequence[str], *, shuffle: int = 0, seed: int = 0, faults: Faults | None = None) -> Iterator[Sample]:
    """Yield the samples of tars in the layout of this project (`<key>.image.npy|tif|png|jpg`, `<key>.json`, ...).

    The shuffle is approximate (a buffer), and a run over a stream does not resume exactly: index the tars where that matters.

    Args:
        urls: paths, or http and https addresses.
        shuffle: size of the shuffle buffer, 0 for the order of the tars.
        seed: seed of the shuffle.
        faults: whether damage is an error (by default) or is left out and counted.

    Raises:
        DataError: a tar cannot be read to its end, or a sample is damaged or lacks its image or json; the message names tar and key.
    """
    samples = _read(urls, faults or Faults())
    return webdataset.filters.shuffle(shuffle, rng=random.Random(seed))(samples) if shuffle else samples


def _read(urls: Sequence[str], faults: Faults) -> Iterator[Sample]:
    for url in urls:

        def report(key: str, what: str, url: str = url) -> None:
            faults.note(Problem(url, key or None, what))

        try:
            with _open(url) as file:
                for key, members in read_groups(file, report):
                    try:
                        sample = _to_sample(key, members)
                    except GeoLangBindError as error:
                        report(key, str(error))
                        continue
                    yield sample
        except (OSError, HTTPException) as error:
            report("", f"cannot be opened ({' '.join(str(error).split())}); check the path or address")


def _open(url: str) -> IO[bytes]:
    """Open a path or address. Not webdataset's opener, which hands addresses to a shell."""
    match urlparse(url).scheme:
        case "":
            return Path(url).open("rb")
        case "http" | "https":
            return cast(IO[bytes], urlopen(url))
        case scheme:
            raise DataError(f"cannot stream {url}: '{scheme}:' is not supported; give paths, http or https")


def _to_sample(key: str, raw: Mapping[str, bytes]) -> Sample:
    encoding = next((name for name in ENCODINGS if f"image.{name}" in raw), None)
    if encoding is None or "json" not in raw:
        raise DataError("needs an image (.image.npy, .tif, .png or .jpg) and a .json")
    suffix = ".safetensors"
    return Sample(
        key=key.rsplit("/", 1)[-1],
        image=decode_image(raw[f"image.{encoding}"], encoding),
        meta=SampleMeta.from_json(raw["json"]),
        mask=decode_mask(raw["mask.png"]) if "mask.png" in raw else None,
        encoding=encoding,
        features={name.removesuffix(suffix): decode_features(data) for name, data in raw.items() if name.endswith(suffix)},
    )
