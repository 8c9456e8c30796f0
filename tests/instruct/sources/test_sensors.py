"""Two sensors of one place in one query."""

import numpy as np

from geolangbind.data.sample import Sample, SampleMeta
from geolangbind.data.write import write_index, write_shard
from geolangbind.instruct.corpus import read_corpus
from geolangbind.instruct.sources import sensors
from geolangbind.sensors.units import Unit


def test_only_places_that_another_modality_saw(chip, tmp_path, wordings):
    radar = SampleMeta("sentinel-1-grd", ("VV", "VH"), Unit.SIGMA0_DB, 10.0, ("a calm lake",))
    pictures = [chip("rgb-1", captions=("a lake",)), chip("rgb-2"), chip("old-1", captions=("a pond",))]
    records = [
        write_shard(tmp_path / "rgb-000000.tar", pictures),
        write_shard(tmp_path / "sar-000000.tar", [Sample("sar-1", np.zeros((2, 16, 16), np.float32), radar)]),
    ]
    write_index(tmp_path, records)
    rows = list(sensors.rows(read_corpus({"chips": tmp_path})[0], wordings))
    found = {tuple(segment.source.key for segment in row.query): row for row in rows}
    assert sorted(one for one, _ in found) == ["old-1", "rgb-1", "sar-1"]
    assert all("sar-1" in both for both in found)
    row = found["rgb-1", "sar-1"]
    assert row.group == "rgb+sar"
    assert {row.target_key, *row.true} == {'["a lake"]', '["a calm lake"]'}
