"""Teacher features computed once into the shards."""

from pathlib import Path

import numpy as np
import pytest
import timm
import torch

from geolangbind.data.loader import iterate_all
from geolangbind.data.sample import Sample, SampleMeta
from geolangbind.data.shards import ShardSet
from geolangbind.data.write import ShardWriter
from geolangbind.errors import CheckpointError
from geolangbind.features import add_features
from geolangbind.sensors.units import Unit
from geolangbind.teachers import load_teacher, save_teacher, see_all

ARGUMENTS = {"img_size": 16, "patch_size": 8, "embed_dim": 12, "depth": 1, "num_heads": 2}


def write_teacher(path: Path, seed: int) -> str:
    torch.manual_seed(seed)
    model = timm.create_model("vit_tiny_patch16_224", num_classes=0, **ARGUMENTS)
    config = {"timm": "vit_tiny_patch16_224", "arguments": ARGUMENTS, "size_px": 16, "mean": (0.5,) * 3, "std": (0.5,) * 3}
    save_teacher(path, model, config)
    return str(path)


@pytest.fixture
def teacher(tmp_path: Path) -> str:
    return write_teacher(tmp_path / "teacher", 0)


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """Three shards: 5 display and 2 radar samples of 16 px."""
    rng = np.random.default_rng(0)
    with ShardWriter(tmp_path / "shards", samples_per_shard=3) as writer:
        for number in range(5):
            meta = SampleMeta("aerial-rgb", ("R", "G", "B"), Unit.DISPLAY_U8, 1.0, ("a field",))
            writer.write(Sample(f"rgb{number}", rng.integers(0, 256, (3, 16, 16)).astype(np.uint8), meta), "rgb")
        for number in range(2):
            meta = SampleMeta("sentinel-1-grd", ("VV", "VH"), Unit.SIGMA0_DB, 10.0, ("a lake",))
            writer.write(Sample(f"sar{number}", rng.uniform(-25, 0, (2, 16, 16)).astype(np.float32), meta), "sar")
    return tmp_path / "shards"


def batches(folder: Path, *teachers: str):
    shards = ShardSet.open(folder)
    for modality in ("rgb", "sar"):
        for stream in shards.select(modalities=[modality]):
            yield from iterate_all(stream, 4, teachers=teachers)


def test_stored_values_are_what_the_teacher_sees(shards, teacher):
    assert add_features(shards, {"vit": teacher}, batch_size=2) == 3
    loaded, count = load_teacher("vit", teacher), 0
    for batch in batches(shards, "vit"):
        stored = batch.features["vit"]
        seen = loaded.see(batch.image, batch.channels)
        assert stored.dtype == torch.float16 and stored.shape == (len(batch), 4, 12)
        # computed under bfloat16 autocast (8 bits of mantissa): 1 % of the tokens' size, of order one after the final norm
        assert (stored.float() - seen).abs().max() < 0.05
        assert torch.nn.functional.cosine_similarity(stored.float(), seen, dim=-1).min() > 0.999
        count += len(batch)
    assert count == 7


def test_live_and_stored_targets_agree_to_fp16_rounding(shards, teacher):
    add_features(shards, {"vit": teacher}, batch_size=4)
    live = {"vit": load_teacher("vit", teacher)}
    for batch in batches(shards, "vit"):  # four at a time too
        seen = see_all(live, batch.image, batch.channels, batch.valid)["vit"]
        # half a unit in the last of 11 bits; subnormals below 2^-14
        assert ((batch.features["vit"].float() - seen).abs() <= seen.abs() * 2**-11 + 2**-25).all()


def test_a_second_call_computes_nothing(shards, teacher):
    add_features(shards, {"vit": teacher})
    before = {path.name: path.read_bytes() for path in shards.iterdir()}
    assert add_features(shards, {"vit": teacher}) == 0
    assert {path.name: path.read_bytes() for path in shards.iterdir()} == before


def test_only_what_is_missing_is_computed(shards, teacher, tmp_path):
    add_features(shards, {"vit": teacher})
    assert add_features(shards, {"vit": teacher, "dino": write_teacher(tmp_path / "other", 1)}) == 3
    first, second = ({record.teacher for record in shard.features.values()} for shard in ShardSet.open(shards).index.shards[:2])
    assert first == second == {"vit", "dino"}


def test_another_teacher_of_the_same_name_recomputes(shards, teacher, tmp_path):
    add_features(shards, {"vit": teacher})
    old = [batch.features["vit"] for batch in batches(shards, "vit")]
    other = write_teacher(tmp_path / "other", 1)
    assert add_features(shards, {"vit": other}) == 3
    new = [batch.features["vit"] for batch in batches(shards, "vit")]
    assert all((a - b).abs().max() > 0.1 for a, b in zip(old, new, strict=True))
    identities = {shard.features["vit"].provenance["teacher"] for shard in ShardSet.open(shards).index.shards}
    assert identities == {load_teacher("vit", other).identity}


def test_an_interrupted_call_continues(shards, teacher):
    def two_then_stop(records):
        yield from records[:2]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        add_features(shards, {"vit": teacher}, progress=two_then_stop)
    assert [bool(shard.features) for shard in ShardSet.open(shards).index.shards] == [True, True, False]
    assert add_features(shards, {"vit": teacher}) == 1


def test_a_bad_teacher_is_refused_before_anything_is_written(shards, teacher):
    before = sorted(path.name for path in shards.iterdir())
    with pytest.raises(CheckpointError, match="teacher other: no such folder"):
        add_features(shards, {"vit": teacher, "other": "nowhere"})
    assert sorted(path.name for path in shards.iterdir()) == before
