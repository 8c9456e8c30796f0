"""Tars without an index, read front to back through webdataset: for foreign data and remote addresses."""

from __future__ import annotations

import random
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any, cast
from urllib.parse import urlparse
from urllib.request import urlopen

import webdataset

from geolangbind.data.decode import decode_features, decode_image, decode_mask
from geolangbind.data.sample import ENCODINGS, Sample, SampleMeta
from geolangbind.errors import DataError, GeoLangBindError


def stream_tars(urls: Sequence[str], *, shuffle: int = 0, seed: int = 0) -> Iterator[Sample]:
    """Yield the samples of tars in the layout of this project (`<key>.image.npy|tif|png|jpg`, `<key>.json`, ...).

    The shuffle is approximate (a buffer), and a run over a stream does not resume exactly: index the tars where that matters.

    Args:
        urls: paths, or http and https addresses.
        shuffle: size of the shuffle buffer, 0 for the order of the tars.
        seed: seed of the shuffle.

    Raises:
        DataError: a tar cannot be read to its end, or a sample lacks its image or json; the message names tar and key.
    """
    samples = _read(urls)
    return webdataset.filters.shuffle(shuffle, rng=random.Random(seed))(samples) if shuffle else samples


def _read(urls: Sequence[str]) -> Iterator[Sample]:
    for url in urls:
        try:
            with _open(url) as stream:
                members = webdataset.tariterators.tar_file_expander([{"url": url, "stream": stream}])
                for raw in webdataset.tariterators.group_by_keys(members):
                    yield _to_sample(raw)
        except (OSError, EOFError, ValueError, tarfile.TarError, HTTPException) as error:
            raise DataError(f"cannot stream {url}: {' '.join(str(error).split())}") from error


def _open(url: str) -> IO[bytes]:
    """Open a path or address. Not webdataset's opener, which hands addresses to a shell."""
    match urlparse(url).scheme:
        case "":
            return Path(url).open("rb")
        case "http" | "https":
            return cast(IO[bytes], urlopen(url))
        case scheme:
            raise DataError(f"cannot stream {url}: '{scheme}:' is not supported; give paths, http or https")


def _to_sample(raw: Mapping[str, Any]) -> Sample:
    encoding = next((name for name in ENCODINGS if f"image.{name}" in raw), None)
    try:
        if encoding is None or "json" not in raw:
            raise DataError("needs an image (.image.npy, .tif, .png or .jpg) and a .json")
        suffix = ".safetensors"
        return Sample(
            key=raw["__key__"].rsplit("/", 1)[-1],
            image=decode_image(raw[f"image.{encoding}"], encoding),
            meta=SampleMeta.from_json(raw["json"]),
            mask=decode_mask(raw["mask.png"]) if "mask.png" in raw else None,
            encoding=encoding,
            features={name.removesuffix(suffix): decode_features(data) for name, data in raw.items() if name.endswith(suffix)},
        )
    except GeoLangBindError as error:
        raise DataError(f"{raw.get('__url__', 'tar')}, key {raw['__key__']}: {error}") from None
