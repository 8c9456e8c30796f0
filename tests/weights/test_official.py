"""Released checkpoints go through unchanged: official -> ours -> official, bit for bit."""

import json
import resource
import sys
from pathlib import Path

import open_clip
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from geolangbind.errors import CheckpointError
from geolangbind.models import zoo
from geolangbind.weights.load import load
from geolangbind.weights.official import export_official

sys.path.insert(0, str(Path(__file__).parent))
import made as make

sys.path.pop(0)

CONFIG = make.open_clip_config(f"dofa_{make.NAME}")
RGB_UM = (0.665, 0.560, 0.490)


def identical(first, second):
    return first.keys() == second.keys() and all(
        first[key].dtype == second[key].dtype and torch.equal(first[key], second[key]) for key in first
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_round_trip_is_bit_identical(tmp_path, dtype):
    state = make.official_state(dtype=dtype, teachers=("dinov2_vitl14_reg", "vit_large_patch16_384"))
    folder = make.write_folder(tmp_path / "in", state, CONFIG)
    ours = load(load(folder).save(tmp_path / "ours"))
    out = export_official(ours, tmp_path / "out")
    assert identical(load_file(out / "open_clip_model.safetensors"), state)
    again = load(out)
    assert again.vision.config == ours.vision.config and again.statistics == ours.statistics
    image = torch.rand(2, 3, 32, 32)
    assert torch.equal(again.encode_image(image, wavelengths_um=RGB_UM), ours.encode_image(image, wavelengths_um=RGB_UM))
    assert torch.equal(again.encode_text(["a pond"]), ours.encode_text(["a pond"]))
    assert not list(tmp_path.glob(".*")), "nothing half-written stays"


def test_the_text_tower_opens_in_open_clip(tmp_path):
    """open_clip builds its text tower from our open_clip_config.json and takes our tensors."""
    out = export_official(load(make.write_folder(tmp_path / "in", make.official_state(), CONFIG)), tmp_path / "out")
    told = json.loads((out / "open_clip_config.json").read_text())["model_cfg"]
    told["text_cfg"] = {key: value for key, value in told["text_cfg"].items() if key not in ("hf_tokenizer_name", "tokenizer_kwargs")}
    tower = open_clip.model._build_text_tower(told["embed_dim"], told["text_cfg"]).eval()
    state = load_file(out / "open_clip_model.safetensors")
    tower.load_state_dict({key.removeprefix("text."): value for key, value in state.items() if key.startswith("text.")})
    ids = torch.randint(0, 590, (3, 16))
    assert torch.equal(torch.nn.functional.normalize(tower(ids), dim=-1), load(out).towers.text_vectors(ids))


def test_dtype_can_be_chosen(tmp_path):
    model = load(make.write_folder(tmp_path / "in", make.official_state(), CONFIG))
    with safe_open(export_official(model, tmp_path / "out", dtype="bfloat16") / "open_clip_model.safetensors", "pt") as file:
        assert {file.get_slice(key).get_dtype() for key in file.keys()} == {"BF16"}  # noqa: SIM118 - not a dictionary
    with pytest.raises(CheckpointError, match="unknown dtype 'int8'; dtypes are float32"):
        export_official(model, tmp_path / "other", dtype="int8")
    assert not (tmp_path / "other").exists()


def test_what_the_layout_cannot_hold_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"codes of physical kinds, kernels averaged over channels, a convolution stem.*onnx"):
        export_official(zoo.build("tiny"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.soak
@pytest.mark.parametrize(("name", "dtype"), [("GeoLB-ViT-B-16-SigLIP", torch.float32), ("GeoLB-ViT-14-so400m-SigLIP-384", torch.float16)])
def test_full_sizes_round_trip(shared, tmp_path, name, dtype):
    """The 907 M-parameter model goes through within 8 GB."""
    shapes = json.loads((shared / "parity" / "official_state_dict_shapes.json").read_text())[name]
    generator = torch.Generator().manual_seed(0)
    state = {key: torch.empty(shape, dtype=dtype).normal_(generator=generator) for key, shape in shapes.items()}
    size = "vit_base_patch16_siglip_224" if "B-16" in name else "vit_so400m_patch14_siglip_384"
    config = open_clip.get_model_config("ViT-B-16-SigLIP" if "B-16" in name else "ViT-SO400M-14-SigLIP-384")
    config["vision_cfg"]["timm_model_name"] = f"dofa_{size}"
    folder = make.write_folder(tmp_path / "in", state, {"model_cfg": config}, tokenizer=False)
    del state
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    program = (
        "import sys; from geolangbind.weights.load import load; from geolangbind.weights.official import export_official\n"
        f"load({str(folder)!r}).save({str(tmp_path / 'ours')!r})\n"
        f"export_official(load({str(tmp_path / 'ours')!r}), {str(tmp_path / 'out')!r})\n"
    )
    import subprocess

    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, env={"HF_HUB_OFFLINE": "1", "PATH": "/usr/bin:/bin"})
    peak_gb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e9
    assert before * 1024 / 1e9 < 8 and peak_gb < 8, f"{peak_gb:.1f} GB"
    with (
        safe_open(folder / "open_clip_model.safetensors", "pt") as first,
        safe_open(tmp_path / "out" / "open_clip_model.safetensors", "pt") as second,
    ):
        assert set(first.keys()) == set(second.keys()) == set(shapes)
        for key in first.keys():  # noqa: SIM118 - not a dictionary
            one, two = first.get_tensor(key), second.get_tensor(key)
            assert one.dtype == two.dtype and torch.equal(one, two), key
