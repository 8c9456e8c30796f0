"""Small samples and a folder of shards with three streams, for all tests of geolangbind.data."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from geolangbind.data.features import index_features, write_features
from geolangbind.data.sample import Sample, SampleMeta
from geolangbind.data.shards import ShardSet
from geolangbind.data.write import ShardWriter
from geolangbind.sensors.units import Unit

MakeSample = Callable[..., Sample]

_KINDS = {
    "rgb": ("aerial-rgb", Unit.DISPLAY_U8, 3, 1.0),
    "sar": ("sentinel-1-grd", Unit.SIGMA0_DB, 2, 1.0),
    "msi": ("sentinel-2-l2a", Unit.REFLECTANCE, 4, 10.0),
}


@pytest.fixture
def make_sample() -> MakeSample:
    """`make_sample(number, kind, **changes of the meta, image=, mask=, encoding=)`: pixels follow from the number."""
    from geolangbind.sensors import get_sensor

    def make(number: int = 0, kind: str = "msi", **changes) -> Sample:
        name, unit, channels, gsd_m = _KINDS[kind]
        bands = tuple(band.name for band in get_sensor(name).bands[:channels])
        rng = np.random.default_rng(number)
        image = rng.integers(1, 250, (channels, 6, 8))
        stored = {"rgb": image.astype(np.uint8), "sar": (-image / 10).astype(np.float32), "msi": (image * 40).astype(np.uint16)}[kind]
        own = {name: changes.pop(name) for name in ("image", "mask", "encoding", "key") if name in changes}
        facts = {"sensor": name, "bands": bands, "unit": unit, "gsd_m": gsd_m, "captions": (f"caption {number}",), "labels": {"n": number}}
        meta = SampleMeta(**{**facts, "scale": 1e-4 if kind == "msi" else 1.0, **changes})
        return Sample(**{"key": f"s{number:04d}", "image": stored, "meta": meta, **own})

    return make


@pytest.fixture
def folder(tmp_path: Path, make_sample: MakeSample) -> Path:
    """Shards of 10 rgb (with masks, png), 7 sar and 23 msi samples, five per tar; features of teacher `vit` for all msi."""
    path = tmp_path / "shards"
    with ShardWriter(path, samples_per_shard=5, provenance={"seed": 0}) as writer:
        for kind, count in (("rgb", 10), ("sar", 7), ("msi", 23)):
            extra = {"mask": np.full((6, 8), 3, np.uint8), "encoding": "png"} if kind == "rgb" else {}
            for number in range(count):
                writer.write(make_sample(number, kind, **extra), kind)
    index = ShardSet.open(path).index
    records = []
    for shard in index.shards:
        if shard.layout.modality == "msi":
            tokens = ((key, np.full((4, 3), int(key[1:]))) for key in shard.keys)
            records.append(write_features(path, shard, "vit", tokens, {"weights": "abc"}))
    index_features(path, records)
    return path
