"""Adapters on tiny random weights: what they pick, what they refuse, what they say."""

from functools import partial

import pytest
import torch
from safetensors.torch import save_file

from geolangbind.crashtest import peers
from geolangbind.crashtest.peers import open_embedder
from geolangbind.crashtest.planet import planet_stacks
from geolangbind.errors import CheckpointError, GeoLangBindError, SensorError, SettingsError, UnitError
from geolangbind.views import rgb_view


@pytest.fixture(scope="module")
def views():
    return planet_stacks(2).views


@pytest.fixture
def tiny_dofa(monkeypatch):
    import torchgeo.models

    tiny = partial(torchgeo.models.DOFA, embed_dim=16, depth=1, num_heads=2)
    monkeypatch.setattr(torchgeo.models, "dofa_base_patch16_224", tiny)
    return tiny


@pytest.fixture
def tiny_clip(monkeypatch):
    import open_clip

    vision = {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16}
    text = {"context_length": 8, "vocab_size": 99, "width": 64, "heads": 1, "layers": 1}

    def create(name, pretrained):
        if pretrained:
            raise RuntimeError("no such weights")
        model = open_clip.CLIP(embed_dim=8, vision_cfg=vision, text_cfg=text)
        open_clip.model.set_model_preprocess_cfg(model, {"size": 32, "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.4)})
        return model

    monkeypatch.setattr(open_clip, "create_model", create)


def test_dofa_sees_by_wavelength_and_refuses_what_it_has_no_scale_for(tiny_dofa, views):
    model = open_embedder("torchgeo:dofa_base")
    assert model.name == "torchgeo:dofa_base (random weights)" and "not published" in model.assumed
    for name in ("Sentinel-2 L2A", "Sentinel-1", "Sentinel-2 picture", "WorldView-3"):
        vectors = model.images(views[name])
        assert vectors.shape == (2, 16)
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(2))
    with pytest.raises(SensorError, match="cannot see copernicus-dem: it knows channels by wavelength, and elevation has none"):
        model.images(views["Copernicus DEM"])
    with pytest.raises(UnitError, match="brightness_temperature"):
        model.images(views["Landsat thermal"])


def test_random_weights_are_the_same_each_time_and_leave_the_generator_alone(tiny_dofa, views):
    state = torch.random.get_rng_state()
    first, second = (open_embedder("torchgeo:dofa_base") for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert first.sha256 == second.sha256 != open_embedder("torchgeo:resnet18_s2").sha256
    assert torch.equal(first.images(views["Sentinel-1"]), second.images(views["Sentinel-1"]))


def test_a_weights_file_is_read_checked_and_hashed(tiny_dofa, tmp_path, views):
    from geolangbind.checkpoint import file_sha256

    weights = tiny_dofa(img_size=224, num_classes=3).state_dict()  # with a classifier, which is left out
    save_file(weights, tmp_path / "dofa.safetensors")
    model = open_embedder(f"torchgeo:dofa_base:{tmp_path / 'dofa.safetensors'}")
    assert model.sha256 == file_sha256(tmp_path / "dofa.safetensors") and "random" not in model.name
    assert model.images(views["Sentinel-1"]).shape == (2, 16)
    del weights["fc_norm.weight"]
    save_file(weights, tmp_path / "part.safetensors")
    with pytest.raises(CheckpointError, match="does not fit"):
        open_embedder(f"torchgeo:dofa_base:{tmp_path / 'part.safetensors'}")
    with pytest.raises(CheckpointError, match="no weights file 'nowhere'"):
        open_embedder("torchgeo:dofa_base:nowhere")


def test_the_baseline_takes_its_thirteen_bands_in_any_order_and_no_others(views):
    model = open_embedder("torchgeo:resnet18_s2")
    batch = views["Sentinel-2 L1C"]
    torch.testing.assert_close(model.images(batch.with_bands(range(13)[::-1])), model.images(batch))
    with pytest.raises(SensorError, match="cannot see sentinel-2-l2a: it wants the 13 bands of Sentinel-2 L1C, and B10 lack"):
        model.images(views["Sentinel-2 L2A"])


def test_open_clip_sees_red_green_and_blue_light_only(tiny_clip, views):
    import open_clip
    from open_clip.transform import PreprocessCfg, image_transform_v2

    model = open_embedder("open_clip:RN50")
    assert model.name == "open_clip:RN50 (random weights)"
    seen = {name for name, batch in views.items() if _sees(model, batch)}
    assert seen == {name for name, batch in views.items() if batch.modality in ("rgb", "msi", "hsi")}
    # the same as the library's own preprocessing of the picture, up to its rounding to 8 bits
    batch = views["Sentinel-2 picture"]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        own = open_clip.create_model("RN50", None).eval()
    transform = image_transform_v2(PreprocessCfg(**open_clip.get_model_preprocess_cfg(own)), is_train=False)
    from torchvision.transforms.functional import to_pil_image

    pictures = torch.stack([transform(to_pil_image(view)) for view in rgb_view(batch.image, batch.channels)])
    with torch.no_grad():
        expected = torch.nn.functional.normalize(own.encode_image(pictures), dim=1)
    assert float((model.images(batch) * expected).sum(1).min()) > 0.999


def _sees(model, batch):
    try:
        return model.images(batch).shape == (2, 8)
    except SensorError as error:
        assert "red, green and blue light" in str(error)
        return False


def test_mistakes_name_the_way_out(tiny_clip):
    with pytest.raises(SettingsError, match=r"torchgeo:dofa has no adapter; there are dofa_small, dofa_base"):
        open_embedder("torchgeo:dofa")
    with pytest.raises(SettingsError, match="open_clip has no model 'nothing'"):
        open_embedder("open_clip:nothing")
    with pytest.raises(CheckpointError, match="weights 'laion' cannot be loaded"):
        open_embedder("open_clip:RN50:laion")
    with pytest.raises(GeoLangBindError):
        open_embedder("no/such/model")


def test_peers_read_no_text_and_give_no_patches(views):
    peer = peers.Peer("x", "1", lambda batch: batch.image.flatten(1), "")
    with pytest.raises(SettingsError, match="image tower only; 2 sentences"):
        peer.texts(["a", "b"])
    with pytest.raises(SettingsError, match="gets no patches"):
        peer.patches(views["Sentinel-1"])


def test_ours_refuses_bare_digital_numbers(views):
    from dataclasses import replace

    from geolangbind.sensors import Unit

    model = open_embedder("planet-tiny")
    with pytest.raises(UnitError, match="sentinel-1-grd: digital numbers have no physical meaning"):
        model.images(replace(views["Sentinel-1"], unit=Unit.DN))
