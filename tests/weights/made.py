"""Checkpoints of the layouts that people bring, small and random. The SigLIP ones are made by open_clip and timm themselves."""

import json

import timm
import torch
from open_clip.model import CustomTextCLIP
from safetensors.torch import save_file
from timm.models import build_model_with_cfg
from timm.models.vision_transformer import VisionTransformer

from geolangbind.models.encoder import VisionConfig, VisionEncoder
from geolangbind.models.maka import Projector
from geolangbind.models.text import TextConfig, build_text_tower
from geolangbind.tokenizer import clip_tokenizer

NAME = "vit_tiny_patch8_siglip_32"
WIDTH, DEPTH, HEADS, PATCH, SIDE, HIDDEN = 64, 2, 4, 8, 32, 256
TEXT = {
    "context_length": 16, "vocab_size": 600, "width": 64, "heads": 4, "layers": 2, "no_causal_mask": True, "proj_bias": True,
    "pool_type": "last", "norm_kwargs": {"eps": 1e-6}, "hf_tokenizer_name": "nobody/absent", "tokenizer_kwargs": {"clean": "canonicalize"},
}  # fmt: skip


@timm.models.register_model
def vit_tiny_patch8_siglip_32(pretrained=False, **changes):
    shape = {"img_size": SIDE, "patch_size": PATCH, "embed_dim": WIDTH, "depth": DEPTH, "num_heads": HEADS}
    return build_model_with_cfg(VisionTransformer, NAME, pretrained, **{**shape, "class_token": False, "global_pool": "map", **changes})


def open_clip_config(name=NAME, **text):
    vision_cfg = {"image_size": SIDE, "timm_model_name": name, "timm_model_pretrained": False, "timm_pool": "map", "timm_proj": "none"}
    text_cfg = {**TEXT, **text}
    return {"model_cfg": {"embed_dim": WIDTH, "init_logit_bias": -10, "custom_text": True, "vision_cfg": vision_cfg, "text_cfg": text_cfg}}


def siglip(seed=0, **text):
    """A random SigLIP of open_clip's own making, with weights large enough that a mistake shows."""
    torch.manual_seed(seed)
    told = open_clip_config(**text)["model_cfg"]
    text_cfg = {key: value for key, value in told["text_cfg"].items() if key not in ("hf_tokenizer_name", "tokenizer_kwargs")}
    model = CustomTextCLIP(WIDTH, told["vision_cfg"], text_cfg, init_logit_bias=-10)
    return shake(model).eval()


def shake(module):
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim:
                parameter += 0.05 * torch.randn_like(parameter)
    return module


def official_state(seed=0, teachers=("dinov2_vitl14_reg",), dtype=torch.float32):
    """The tensors of a random released checkpoint, under the published names."""
    torch.manual_seed(seed)
    vision = shake(VisionEncoder(VisionConfig(SIDE, PATCH, WIDTH, DEPTH, HEADS, HIDDEN, generator_hidden=96, kinds=False)))
    text = shake(build_text_tower(TextConfig(600, 16, WIDTH, 2, 4, 4.0, WIDTH)))
    state = {f"visual.trunk.{key}": value for key, value in vision.state_dict().items()}
    state |= {f"text.{key}": value for key, value in text.state_dict().items()}
    for name in teachers:
        state |= {f"translators.{name}.{key}": value for key, value in Projector(WIDTH, 48, 4, kinds=False).state_dict().items()}
    state |= {"logit_scale": torch.tensor(4.6), "logit_bias": torch.tensor(-12.5)}
    return {key: value.to(dtype) for key, value in state.items()}


def write_folder(folder, state, config, *, tokenizer=True):
    folder.mkdir(parents=True)
    save_file({key: value.contiguous() for key, value in state.items()}, folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    if tokenizer:
        (folder / "tokenizer.json").write_text(clip_tokenizer(80).to_str())
        (folder / "tokenizer_config.json").write_text(json.dumps({"pad_token": "<end_of_text>"}))
    return folder
