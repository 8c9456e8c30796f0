import numpy as np
import pytest

from geolangbind.data.features import index_features, write_features
from geolangbind.data.index import load_index
from geolangbind.data.shards import ShardSet
from geolangbind.errors import DataError


def _tokens(keys, shape=(4, 3)):
    return ((key, np.full(shape, 1.5)) for key in keys)


def test_features_come_back_with_their_sample(folder):
    (stream,) = ShardSet.open(folder).select(modalities=["msi"])
    assert stream.teachers == ("vit",)
    samples = stream.read_many([22, 0, 11], ["vit"])
    assert [sample.features["vit"].dtype for sample in samples] == [np.float16] * 3
    assert [float(sample.features["vit"][0, 0]) for sample in samples] == [22, 0, 11]
    assert stream.read(0).features == {}


def test_a_second_teacher_is_added_and_shards_are_not_touched(folder):
    before = {path.name: path.read_bytes() for path in folder.glob("msi-00000?.tar")}
    shards = [shard for shard in load_index(folder).shards if shard.layout.modality == "msi"]
    index_features(folder, [write_features(folder, shard, "dino", _tokens(shard.keys, (1, 2))) for shard in shards])
    (stream,) = ShardSet.open(folder).select(modalities=["msi"])
    assert stream.teachers == ("vit", "dino")
    features = stream.read(7, ["dino", "vit"]).features
    assert {teacher: tokens.shape for teacher, tokens in features.items()} == {"dino": (1, 2), "vit": (4, 3)}
    assert {name: (folder / name).read_bytes() for name in before} == before


def test_missing_features_say_how_to_make_them(folder):
    (stream,) = ShardSet.open(folder).select(modalities=["sar"])
    assert stream.teachers == ()
    with pytest.raises(DataError, match=r"no features of vit.*add-features"):
        stream.read(0, ["vit"])


def test_unfit_features_are_refused_and_leave_nothing(folder):
    shard = load_index(folder).shards[0]
    names = sorted(path.name for path in folder.iterdir())
    cases = [
        ("t", _tokens(reversed(shard.keys)), "is due"),
        ("t", _tokens(shard.keys[:-1]), "for 4 of 5 samples"),
        ("t", ((key, np.zeros((n + 1, 2))) for n, key in enumerate(shard.keys)), "is due"),
        ("t", ((key, np.full((2, 2), np.nan)) for key in shard.keys), "finite"),
        ("a.b", _tokens(shard.keys), "teacher name 'a.b'"),
        ("mask", _tokens(shard.keys), "teacher name 'mask'"),
    ]
    for teacher, arrays, words in cases:
        with pytest.raises(DataError, match=words):
            write_features(folder, shard, teacher, arrays)
    assert sorted(path.name for path in folder.iterdir()) == names


def test_features_of_a_foreign_shard_are_refused(folder, tmp_path, make_sample):
    from geolangbind.data.write import ShardWriter

    with ShardWriter(tmp_path / "other", "other") as writer:
        writer.write(make_sample(0))
    shard = load_index(tmp_path / "other").shards[0]
    record = write_features(tmp_path / "other", shard, "vit", _tokens(shard.keys))
    with pytest.raises(DataError, match=r"not in the index: other-000000\.tar"):
        index_features(folder, [record])
