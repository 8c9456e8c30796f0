"""Tars without an index, read front to back through webdataset: for foreign data and remote addresses."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import webdataset

from geolangbind.data.decode import decode_features, decode_image, decode_mask
from geolangbind.data.sample import ENCODINGS, Sample, SampleMeta
from geolangbind.errors import DataError, GeoLangBindError


def stream_tars(urls: Sequence[str], *, shuffle: int = 0, seed: int = 0) -> Iterator[Sample]:
    """Yield the samples of tars in the layout of this project (`<key>.image.npy|tif|png|jpg`, `<key>.json`, ...).

    The shuffle is approximate (a buffer), and a run over a stream does not resume exactly: index the tars where that matters.

    Args:
        urls: tar files or addresses that webdataset opens; no shell pipes.
        shuffle: size of the shuffle buffer, 0 for the order of the tars.
        seed: seed of the shuffle.

    Raises:
        DataError: a tar cannot be read to its end, or a sample lacks its image or json; the message names tar and key.
    """
    webdataset.utils.enforce_security = True  # as WDS_SECURE=1 does, which counts only before the first import: no pipes, no pickles
    tars = webdataset.WebDataset(list(urls), shardshuffle=False, nodesplitter=None, handler=webdataset.reraise_exception, empty_check=False)
    if shuffle:
        tars = tars.shuffle(shuffle, seed=seed)
    try:
        for raw in tars:
            yield _to_sample(raw)
    except (OSError, EOFError, ValueError, tarfile.TarError) as error:
        raise DataError(f"cannot stream {', '.join(urls)}: {' '.join(str(error).split())}") from error


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
