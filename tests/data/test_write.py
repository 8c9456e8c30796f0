import gc
import io
import json
import tarfile

import numpy as np
import pytest
import webdataset

from geolangbind.data.index import load_index
from geolangbind.data.shards import ShardSet
from geolangbind.data.write import ShardWriter, write_index, write_shard
from geolangbind.errors import DataError, SensorError


def _names(path):
    return sorted(item.name for item in path.iterdir())


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")  # webdataset closes late
def test_tars_are_plain_webdataset_tars(folder):
    samples = list(webdataset.WebDataset(str(folder / "rgb-000000.tar"), shardshuffle=False))
    assert [sample["__key__"] for sample in samples] == [f"s{n:04d}" for n in range(5)]
    assert json.loads(samples[2]["json"])["captions"] == ["caption 2"]
    assert {"image.png", "json", "mask.png"} <= set(samples[0])
    first = next(iter(webdataset.WebDataset(str(folder / "msi-000000.tar"), shardshuffle=False)))
    gc.collect()
    assert np.load(io.BytesIO(first["image.npy"]), allow_pickle=False).shape == (4, 6, 8)


def test_index_says_where_each_member_lies(folder):
    for shard in load_index(folder).shards:
        with tarfile.open(folder / shard.file) as tar:
            lies = {item.name: [item.offset_data, item.size] for item in tar}
        listed = {f"{key}.{e}": row[:2].tolist() for e, table in shard.members.items() for key, row in zip(shard.keys, table, strict=True)}
        assert listed == lies


def test_shards_are_cut_at_the_given_count(folder):
    counts = {shard.file: len(shard.keys) for shard in load_index(folder).shards}
    assert counts == {
        "rgb-000000.tar": 5, "rgb-000001.tar": 5, "sar-000000.tar": 5, "sar-000001.tar": 2,
        "msi-000000.tar": 5, "msi-000001.tar": 5, "msi-000002.tar": 5, "msi-000003.tar": 5, "msi-000004.tar": 3,
    }  # fmt: skip


def test_bytes_are_reproducible_and_the_fingerprint_follows_the_content(tmp_path, make_sample):
    prints = []
    for name, offset in (("a", 0), ("b", 0), ("c", 1)):
        with ShardWriter(tmp_path / name, "x") as writer:
            for number in range(3):
                writer.write(make_sample(number + offset))
        prints.append(ShardSet.open(tmp_path / name).fingerprint)
    assert (tmp_path / "a/x-000000.tar").read_bytes() == (tmp_path / "b/x-000000.tar").read_bytes()
    assert (tmp_path / "a/index.json").read_bytes() == (tmp_path / "b/index.json").read_bytes()
    assert prints[0] == prints[1] != prints[2]


def test_an_exception_leaves_nothing(tmp_path, make_sample):
    with pytest.raises(RuntimeError), ShardWriter(tmp_path / "out", "x", samples_per_shard=2) as writer:
        for number in range(5):
            writer.write(make_sample(number))
        raise RuntimeError
    assert _names(tmp_path / "out") == []


def test_nothing_final_is_seen_before_the_end(tmp_path, make_sample):
    with ShardWriter(tmp_path, "x", samples_per_shard=1) as writer:
        for number in range(3):
            writer.write(make_sample(number))
        assert list(tmp_path.glob("[!.]*")) == []
    assert _names(tmp_path) == ["index.json", "x-000000.tar", "x-000001.tar", "x-000002.tar"]


def test_a_failing_write_shard_leaves_nothing(tmp_path, make_sample):
    def broken():
        yield make_sample(0)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_shard(tmp_path / "x-000000.tar", broken())
    with pytest.raises(DataError, match="at least one sample"):
        write_shard(tmp_path / "x-000000.tar", [])
    assert _names(tmp_path) == []


def test_write_shard_and_write_index_in_any_order(tmp_path, make_sample):
    """As by several processes: the index does not depend on who was first."""
    records = [write_shard(tmp_path / f"x-{n:06d}.tar", [make_sample(n)]) for n in (2, 0, 1)]
    index = write_index(tmp_path, records, {"seed": 7})
    assert [shard.file for shard in index.shards] == ["x-000000.tar", "x-000001.tar", "x-000002.tar"]
    assert ShardSet.open(tmp_path).index.provenance == {"seed": 7}
    assert ShardSet.open(tmp_path).fingerprint == index.fingerprint


def test_a_finished_folder_is_refused_appended_to_or_overwritten(folder, make_sample):
    before = load_index(folder)
    with pytest.raises(DataError, match=r"already has an index\.json"):
        ShardWriter(folder, "msi")
    with ShardWriter(folder, "msi", existing="append") as writer:
        writer.write(make_sample(100))
    after = load_index(folder)
    assert {shard.file for shard in after.shards} - {shard.file for shard in before.shards} == {"msi-000005.tar"}
    assert after.provenance == {"seed": 0}
    assert after.shards[0].features.keys() == {"vit"}
    with ShardWriter(folder, "msi", existing="overwrite") as writer:
        writer.write(make_sample(0))
    assert _names(folder) == ["index.json", "msi-000000.tar"]
    assert len(ShardSet.open(folder)) == 1


def test_appending_a_key_twice_is_refused_and_harms_nothing(folder, make_sample):
    names = _names(folder)
    words = "sentinel-2-l2a sample 's0003' is used twice"
    with pytest.raises(DataError, match=words), ShardWriter(folder, "more", existing="append") as writer:
        writer.write(make_sample(3))
    assert _names(folder) == names
    assert len(ShardSet.open(folder)) == 40


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"scale": 2e-4}, "scale 0.0002 instead of 0.0001"),
        ({"nodata": 0.0}, "nodata"),
        ({"image": np.ones((4, 6, 9), np.uint16)}, r"shape \(4, 6, 9\) instead of \(4, 6, 8\)"),
        ({"image": np.ones((4, 6, 8), np.float32)}, "dtype float32 instead of uint16"),
        ({"encoding": "tif"}, "encoding tif instead of npy"),
        ({"mask": np.zeros((6, 8), np.uint8)}, "has_mask True instead of False"),
        ({"kind": "sar"}, "sensor sentinel-1-grd instead of sentinel-2-l2a"),
    ],
)
def test_mixed_shards_are_refused(tmp_path, make_sample, change, words):
    with pytest.raises(DataError, match=words), ShardWriter(tmp_path, "x", samples_per_shard=1) as writer:
        writer.write(make_sample(0))
        writer.write(make_sample(1, **change))
    assert _names(tmp_path) == []


def test_gsd_may_differ_and_is_then_not_claimed_for_the_shard(tmp_path, make_sample):
    same = write_shard(tmp_path / "a.tar", [make_sample(0), make_sample(1)])
    mixed = write_shard(tmp_path / "b.tar", [make_sample(0), make_sample(1, gsd_m=20.0)])
    assert (same.gsd_m, mixed.gsd_m) == (10.0, None)


def test_keys_sensors_bands_and_names_are_checked(tmp_path, make_sample):
    with pytest.raises(DataError, match="'s0001' is used twice"), ShardWriter(tmp_path, "x", samples_per_shard=1) as writer:
        for _ in range(2):
            writer.write(make_sample(1))
    with pytest.raises(DataError, match="used twice"):
        write_shard(tmp_path / "x.tar", [make_sample(1), make_sample(1)])
    with pytest.raises(SensorError, match="sentinel-9"):
        write_shard(tmp_path / "x.tar", [make_sample(1, sensor="sentinel-9")])
    with pytest.raises(SensorError, match="B99"):
        write_shard(tmp_path / "x.tar", [make_sample(1, bands=("B02", "B03", "B04", "B99"))])
    with pytest.raises(DataError, match=r"prefix '\.\./x'"), ShardWriter(tmp_path) as writer:
        writer.write(make_sample(1), "../x")
    with pytest.raises(DataError, match="at least 1"):
        ShardWriter(tmp_path, samples_per_shard=0)
    with pytest.raises(DataError, match="at least one sample"), ShardWriter(tmp_path):
        pass
    assert _names(tmp_path) == []


def test_other_spellings_of_bands_are_refused_with_the_record_names(tmp_path, make_sample):
    sample = make_sample(1, bands=("b02",), image=np.ones((1, 4, 4), np.uint16))
    with pytest.raises(DataError, match=r"\['B02'\], not \['b02'\]"):
        write_shard(tmp_path / "x.tar", [sample])
