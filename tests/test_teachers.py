"""Frozen teachers: sources, refusals, their own size and normalisation."""

import json
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from geolangbind.checkpoint import file_sha256
from geolangbind.errors import CheckpointError, SensorError
from geolangbind.model import GeoLangBind
from geolangbind.models.encoder import VisionConfig
from geolangbind.models.text import TextConfig
from geolangbind.models.two_tower import TwoTower
from geolangbind.sensors.channels import ChannelSet
from geolangbind.statistics import KindStatistics, Statistics
from geolangbind.teachers import Teacher, load_teacher, save_teacher, see_all
from geolangbind.tokenizer import TextTokenizer, clip_tokenizer
from geolangbind.views import rgb_view
from geolangbind.weights.load import load

ARGUMENTS = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 1, "num_heads": 2, "reg_tokens": 3}
RGB = ChannelSet((0.665, 0.56, 0.49), ("display",) * 3, (0.0,) * 3)


def small_vit() -> torch.nn.Module:
    torch.manual_seed(0)
    return timm.create_model("vit_tiny_patch16_224", num_classes=0, **ARGUMENTS).eval()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    config = {"timm": "vit_tiny_patch16_224", "arguments": ARGUMENTS, "size_px": 32, "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.4)}
    save_teacher(tmp_path / "vit", small_vit(), config)
    return tmp_path / "vit"


@pytest.fixture(scope="module")
def tiny_file(tmp_path_factory) -> Path:
    """Random weights of the smallest architecture that timm has under its own name."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("teacher") / "tiny.safetensors"
    save_file(timm.create_model("test_vit2", num_classes=10).state_dict(), path)
    return path


def model_folder(tmp_path: Path, kinds: dict[str, KindStatistics]) -> Path:
    torch.manual_seed(0)
    towers = TwoTower(VisionConfig(32, 8, 32, 1, 2, 64, generator_hidden=32), TextConfig(524, 8, 16, 1, 2, 2.0, 32))
    return GeoLangBind(towers, TextTokenizer("cut", clip_tokenizer(10), 8), Statistics(kinds)).save(tmp_path / "run" / "model")


def linear_teacher(**changes) -> Teacher:
    """Tokens are the normalised pixels themselves."""
    facts = {
        "size_px": 4,
        "mean": (0.5, 0.25, 0.0),
        "std": (0.5, 0.25, 2.0),
        "width": 3,
        "grid": 4,
        "identity": "none",
        "module": torch.nn.Identity(),
    }
    return Teacher("linear", lambda pictures: pictures.flatten(2).transpose(1, 2), **{**facts, **changes})


def test_normalisation_in_closed_form():
    tokens = linear_teacher().features(torch.full((2, 3, 4, 4), 0.5))
    assert tokens.shape == (2, 16, 3)
    assert torch.allclose(tokens, torch.tensor([0.0, 1.0, 0.25]).expand(2, 16, 3))


def test_views_are_resized_to_the_teachers_size():
    teacher = linear_teacher(mean=(0.0,) * 3, std=(1.0,) * 3)
    view = torch.rand(1, 3, 4, 4).repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert teacher.features(view).shape == (1, 16, 3)
    assert teacher.features(view).mean((0, 1)).tolist() == pytest.approx(view.mean((0, 2, 3)).tolist(), abs=0.02)
    assert torch.allclose(teacher.features(torch.full((1, 3, 7, 9), 0.3)), torch.tensor(0.3), atol=1e-6)


def test_see_is_the_features_of_the_rgb_view():
    teacher = linear_teacher()
    radar = ChannelSet((0.0, 0.0), ("sigma0_vv_c", "sigma0_vh_c"), (5.405,) * 2)
    image = -30 * torch.rand(2, 2, 4, 4)
    assert torch.equal(teacher.see(image, radar), teacher.features(rgb_view(image, radar)))
    with pytest.raises(SensorError, match="physical kinds"):
        teacher.see(image, ChannelSet((5.4, 5.4)))


def test_teachers_share_one_view_and_one_resize_per_size(monkeypatch):
    calls = {"view": 0, "resize": 0}

    def counted(name, function):
        return lambda *values, **options: calls.__setitem__(name, calls[name] + 1) or function(*values, **options)

    monkeypatch.setattr("geolangbind.teachers.rgb_view", counted("view", rgb_view))
    monkeypatch.setattr(torch.nn.functional, "interpolate", counted("resize", torch.nn.functional.interpolate))
    teachers = {"a": linear_teacher(), "b": linear_teacher(std=(1.0,) * 3), "c": linear_teacher(size_px=2), "d": linear_teacher(size_px=8)}
    image = torch.rand(2, 3, 8, 8)
    seen = see_all(teachers, image, RGB)
    assert calls == {"view": 1, "resize": 2}  # to 4 and 2 pixels; 8 is the view's own size
    monkeypatch.undo()
    for name, teacher in teachers.items():
        assert torch.equal(seen[name], teacher.see(image, RGB)) and not seen[name].is_inference()


def test_bfloat16_tokens_are_within_a_percent_of_float32(folder):
    """Eight bits of mantissa, one block: relative errors of 2^-8 per product average out over 24 widths."""
    teacher, image = load_teacher("mine", str(folder)), torch.rand(4, 3, 32, 32)
    exact = teacher.see(image, RGB)
    seen = see_all({"mine": teacher}, image, RGB)["mine"]
    assert seen.dtype == torch.float32 and not torch.equal(seen, exact)
    assert float((seen - exact).norm() / exact.norm()) < 0.01


def test_timm_architecture_with_weights_from_a_file(tiny_file):
    teacher = load_teacher("vit", f"timm:test_vit2@{tiny_file}")
    reference = timm.create_model("test_vit2", num_classes=10)
    reference.load_state_dict(load_file(tiny_file))
    reference.eval()
    data = timm.data.resolve_model_data_config(reference)
    assert (teacher.name, teacher.size_px, teacher.mean, teacher.std) == ("vit", data["input_size"][-1], data["mean"], data["std"])
    view = torch.rand(2, 3, teacher.size_px, teacher.size_px)
    mean, std = (torch.tensor(data[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    with torch.inference_mode():
        expected = reference.forward_features((view - mean) / std)[:, reference.num_prefix_tokens :]
    assert reference.num_prefix_tokens > 0
    assert torch.equal(teacher.features(view), expected)
    assert (teacher.grid**2, teacher.width) == expected.shape[1:]
    assert teacher.identity == f"timm:test_vit2 sha256:{file_sha256(tiny_file)}"


def test_another_input_size_resamples_the_position_embeddings(tiny_file):
    own, larger = load_teacher("vit", f"timm:test_vit2@{tiny_file}"), load_teacher("vit", f"timm:test_vit2#240@{tiny_file}")
    patch = own.size_px // own.grid
    assert (larger.size_px, larger.grid, larger.width) == (240, 240 // patch, own.width)
    assert larger.features(torch.zeros(1, 3, 50, 50)).shape == (1, (240 // patch) ** 2, own.width)
    assert larger.identity == f"timm:test_vit2#240 sha256:{file_sha256(tiny_file)}"
    before, after = (dict(teacher.module.state_dict()) for teacher in (own, larger))
    changed = {key for key in before if before[key].shape != after[key].shape or not torch.equal(before[key], after[key])}
    assert changed == {"pos_embed"}
    for side in ("big", "0", "-1"):
        with pytest.raises(CheckpointError, match=f"'{side}' is no side in pixels; write timm:test_vit2#378"):
            load_teacher("vit", f"timm:test_vit2#{side}@{tiny_file}")


def test_timm_names_are_checked():
    with pytest.raises(CheckpointError, match=r"teacher dino: timm has no model 'vit_tinny_patch16_224'; similar: .*vit_tiny_patch16_224"):
        load_teacher("dino", "timm:vit_tinny_patch16_224")
    with pytest.raises(CheckpointError, match="resnet18 is no plain vision transformer"):
        load_teacher("t", "timm:resnet18@nowhere")
    with pytest.raises(CheckpointError, match="teacher t: no weights file 'nowhere'"):
        load_teacher("t", "timm:test_vit2@nowhere")


def test_weights_out_of_reach_name_the_way_out(monkeypatch):
    def offline(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(CheckpointError, match=r"neither cached nor reachable \(no network\); use timm:test_vit2@FILE"):
        load_teacher("t", "timm:test_vit2")


def test_a_wrong_file_is_listed(tiny_file, tmp_path):
    with pytest.raises(CheckpointError, match=rf"{tiny_file} does not fit test_vit3, \d+ differences:\n(  .*\n)*  .* (missing|unexpected)"):
        load_teacher("t", f"timm:test_vit3@{tiny_file}")
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"no weights")
    with pytest.raises(CheckpointError, match=r"broken\.safetensors is no safetensors file"):
        load_teacher("t", f"timm:test_vit2@{broken}")


def test_teacher_folder_round_trip(folder):
    teacher = load_teacher("mine", str(folder))
    view = torch.rand(2, 3, 32, 32)
    normalized = (view - torch.tensor([0.5, 0.4, 0.3]).view(1, 3, 1, 1)) / torch.tensor([0.2, 0.3, 0.4]).view(1, 3, 1, 1)
    with torch.inference_mode():
        expected = small_vit().forward_features(normalized)[:, 1 + 3 :]
    assert torch.equal(teacher.features(view), expected)
    assert (teacher.width, teacher.grid, teacher.size_px) == (24, 4, 32)
    assert teacher.identity == f"sha256:{file_sha256(folder / 'model.safetensors')}"
    assert not teacher.features(view).requires_grad


def test_teacher_features_do_not_depend_on_the_batch(folder):
    teacher, view = load_teacher("mine", str(folder)), torch.rand(3, 3, 32, 32)
    rows = torch.cat([teacher.features(view[i : i + 1]) for i in range(3)])
    assert torch.allclose(teacher.features(view), rows, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"timm": "vit_of_nobody"}, "damaged.*vit_of_nobody"),
        ({"timm": "hf-hub:somebody/model"}, "damaged.*hf-hub"),
        ({"arguments": {"checkpoint_path": "evil.pth"}}, "damaged.*checkpoint_path"),
        ({"mean": None}, "damaged"),
        ({"arguments": {**ARGUMENTS, "embed_dim": 26}}, r"weights of .* do not fit, \d+ differences:\n.*\n  blocks\.0\."),
    ],
)
def test_a_damaged_teacher_folder_is_refused(folder, changes, message):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))
    with pytest.raises(CheckpointError, match=rf"teacher mine: .*{message}"):
        load_teacher("mine", str(folder))


def test_a_missing_folder_or_broken_config_is_refused(folder, tmp_path):
    with pytest.raises(CheckpointError, match=r"teacher t: no such folder '.*nowhere'\. Give timm:NAME, timm:NAME@FILE, a teacher folder"):
        load_teacher("t", str(tmp_path / "nowhere"))
    (folder / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"teacher t: cannot read .*config\.json"):
        load_teacher("t", str(folder))


@pytest.mark.parametrize("run", [True, False])
def test_a_model_folder_is_a_teacher(tmp_path, run):
    display = KindStatistics("identity", (0.49, 0.56, 0.665), (0.1, 0.2, 0.3), (0.25,) * 3)
    model = model_folder(tmp_path, {"display": display})
    teacher = load_teacher("base", str(model.parent if run else model))
    assert teacher.mean == (0.3, 0.2, 0.1) and teacher.std == (0.25,) * 3
    assert (teacher.size_px, teacher.width, teacher.grid) == (32, 32, 4)
    assert teacher.identity == f"sha256:{file_sha256(model / 'model.safetensors')}"
    view = torch.rand(2, 3, 32, 32)
    normalized = (view - torch.tensor([0.3, 0.2, 0.1]).view(1, 3, 1, 1)) / 0.25
    with torch.inference_mode():
        expected = load(model).vision(normalized, channels=RGB).features
    assert torch.allclose(teacher.features(view), expected, atol=1e-6)


def test_a_model_that_never_saw_pictures_is_no_teacher(tmp_path):
    model = model_folder(tmp_path, {"elevation": KindStatistics("relief", (0.0,), (0.0,), (1.0,))})
    with pytest.raises(CheckpointError, match=r"teacher base: the model at .* was never taught display images"):
        load_teacher("base", str(model))
