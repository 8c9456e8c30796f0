"""The vision tower: wavelength-generated patch embedding, a ViT, attention pooling.

Same mathematics and parameter names as the published GeoLangBind / DOFA-CLIP encoder (arXiv 2503.06312) when `stem` is empty, `kinds`
and `mean_over_channels` are off. The small models trained from scratch here put a few strided convolutions (the stem) between the
generated patch embedding and the transformer: at a few minutes of training, plain ViTs on large patches get nowhere. A merged model may
keep several kernel generators, one per sensor group (`routes`); all that follows the patch embedding is shared.

Shapes: B batch, C channels, H W pixels, N tokens, D width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import NamedTuple, cast

import torch
from timm.layers import AttentionPoolLatent, resample_abs_pos_embed
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn import functional as F

from geolangbind.errors import CheckpointError, DataError, SensorError
from geolangbind.models.routes import Routes, check_routes, route_of
from geolangbind.models.wavelength import WavelengthPatchEmbed
from geolangbind.sensors.channels import ChannelSet


@dataclass(frozen=True)
class VisionConfig:
    """Architecture of a vision tower.

    Attributes:
        image_size: side in pixels of the training images; other sizes work, position embeddings are interpolated.
        patch_size: side of the generated kernels in pixels.
        width: token width D, also the size of the embedding.
        depth: transformer blocks.
        num_heads: attention heads.
        mlp_hidden: hidden size of the blocks' MLPs.
        stem: widths before each 3x3 stride-2 convolution; empty for a plain ViT. The last convolution ends at `width`.
        generator_hidden: feed-forward size inside the kernel generator.
        kinds: channels carry a learned code of their physical kind.
        mean_over_channels: kernels are scaled by 3 / C.
        gelu_tanh: blocks and pooling use the tanh approximation of GELU (the larger SigLIP models do).
        patch_padding: zero pixels added on every side first (DOFA's convolution pads by 1; GeoLangBind's does not).
        radar_um: the number that stands for radar channels in a model that knows wavelengths only (5.405, the frequency in GHz, in the
            published ones); 0 for models with kinds.
        routes: (name, physical kinds) pairs. An image whose channels all have kinds of a route is embedded by a kernel generator of
            that route's own (tensors `routes.NAME.*`), every other image by `patch_embed`. Needs `kinds`.
    """

    image_size: int = 224
    patch_size: int = 16
    width: int = 768
    depth: int = 12
    num_heads: int = 12
    mlp_hidden: int = 3072
    stem: tuple[int, ...] = ()
    generator_hidden: int = 2048
    kinds: bool = True
    mean_over_channels: bool = True
    gelu_tanh: bool = False
    patch_padding: int = 0
    radar_um: float = 0.0
    routes: Routes = ()

    def __post_init__(self) -> None:
        check_routes(self.routes, kinds=self.kinds)

    @property
    def stride(self) -> int:
        """Pixels between neighbouring tokens."""
        return int(self.patch_size * 2 ** len(self.stem))

    @property
    def grid(self) -> int:
        """Tokens along one side of an `image_size` image."""
        return self.image_size // self.stride

    def tokens_along(self, pixels: int) -> int:
        """Tokens along a side of so many pixels: whole patches, which each convolution of the stem halves, rounding up."""
        patches = (pixels + 2 * self.patch_padding - self.patch_size) // self.patch_size + 1
        return int(-(-patches // 2 ** len(self.stem)))


class EncoderOutput(NamedTuple):
    """What the vision tower returns, all float.

    Attributes:
        embedding: (B, D), not normalised.
        tokens: (B, N, D) out of the last block, before the final norm.
        patch_tokens: (B, N, D) out of the patch embedding, before position embeddings.
        features: (B, N, D) tokens after the final norm; these feed distillation, masks and heatmaps.
    """

    embedding: Tensor
    tokens: Tensor
    patch_tokens: Tensor
    features: Tensor


class VisionEncoder(nn.Module):
    """One image tower for any sensor. See the module's text."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.config = config
        norm, gelu = partial(nn.LayerNorm, eps=1e-6), partial(nn.GELU, approximate="tanh" if config.gelu_tanh else "none")
        widths = (*config.stem, config.width)
        self.patch_embed = _embed(config)
        self.routes = nn.ModuleDict({name: _embed(config) for name, _ in config.routes})
        self.stem = nn.ModuleList(nn.Sequential(nn.GroupNorm(1, a), nn.GELU(), nn.Conv2d(a, b, 3, 2, 1)) for a, b in pairwise(widths))
        self.pos_embed = nn.Parameter(torch.empty(1, config.grid**2, config.width))
        self.blocks = nn.ModuleList(
            Block(config.width, config.num_heads, config.mlp_hidden / config.width, qkv_bias=True, norm_layer=norm, act_layer=gelu)
            for _ in range(config.depth)
        )
        self.norm = norm(config.width)
        self.attn_pool = AttentionPoolLatent(
            config.width, num_heads=config.num_heads, mlp_ratio=config.mlp_hidden / config.width, norm_layer=norm, act_layer=gelu
        )
        nn.init.trunc_normal_(self.pos_embed, std=0.02)

    @classmethod
    def from_official(cls, state: Mapping[str, Tensor], *, image_size: int, patch_size: int, num_heads: int) -> VisionEncoder:
        """Build the tower of a published checkpoint.

        Args:
            state: tensors named as in the published trunk (`patch_embed.*`, `blocks.*`, ...), without `visual.trunk.`.
            image_size: input side in pixels.
            patch_size: patch side in pixels.
            num_heads: attention heads (not recoverable from shapes).

        Raises:
            CheckpointError: tensors are missing, superfluous or of shapes that do not fit together.
        """
        try:
            width = state["pos_embed"].shape[-1]
            mlp_hidden = state["blocks.0.mlp.fc1.weight"].shape[0]
            hidden = state["patch_embed.weight_generator.transformer_encoder.layers.0.linear1.weight"].shape[0]
        except KeyError as missing:
            raise CheckpointError(
                f"not a published GeoLangBind trunk: tensor {missing} is absent; pass the trunk's tensors, without 'visual.trunk.'"
            ) from None
        if width % num_heads:
            raise CheckpointError(f"num_heads is {num_heads}, which does not divide the trunk's width {width}")
        depth = 1 + max(int(key.split(".")[1]) for key in state if key.startswith("blocks."))
        config = VisionConfig(
            image_size, patch_size, width, depth, num_heads, mlp_hidden, (), hidden, kinds=False, mean_over_channels=False
        )
        encoder = cls(config)
        expected = {key: tuple(value.shape) for key, value in encoder.state_dict().items()}
        given = {key: tuple(value.shape) for key, value in state.items()}
        if wrong := sorted(key for key in expected.keys() | given.keys() if expected.get(key) != given.get(key)):
            lines = "\n".join(f"  {key}: checkpoint {given.get(key, 'absent')}, model {expected.get(key, 'absent')}" for key in wrong)
            raise CheckpointError(f"{len(wrong)} tensors do not fit a trunk of {image_size} px with {patch_size} px patches:\n{lines}")
        encoder.load_state_dict(state)
        return encoder

    def forward(
        self,
        image: Tensor,
        wavelengths_um: Sequence[float] | Tensor | None = None,
        *,
        channels: ChannelSet | None = None,
        valid: Tensor | None = None,
        keep_tokens: float = 1.0,
    ) -> EncoderOutput:
        """Encode images of one channel set.

        Args:
            image: (B, C, H, W) float, normalised as the checkpoint says.
            wavelengths_um: (C,) centre wavelengths in µm, or the checkpoint's own stand-ins for channels without one.
            channels: instead of wavelengths, channels with their physical kinds (natively trained models).
            valid: (B, H, W) bool, False where there is no data; None when all is valid.
            keep_tokens: in training, share of tokens that enter the transformer (random; for speed).

        Returns:
            See `EncoderOutput`; with `keep_tokens` < 1, tokens are the kept ones and `patch_tokens` all.

        Raises:
            SensorError: no wavelengths, or not one per channel.
            DataError: NaN or infinite pixels, an image without valid pixels or smaller than a patch.
        """
        channels = _channels(image, wavelengths_um, channels, self.config)
        valid = _check_pixels(image, valid, self.config.stride)
        if valid is not None:
            image = image * valid.unsqueeze(1)  # zero is the mean of normalised data
        if padding := self.config.patch_padding:
            image = F.pad(image, (padding,) * 4)
            valid = None if valid is None else F.pad(valid, (padding,) * 4)
        return self.encode_patches(self.embed_for(channels)(image, channels), valid, keep_tokens)

    def embed_for(self, channels: ChannelSet) -> WavelengthPatchEmbed:
        """The patch embedding that images of these channels go through: their route's own, or `patch_embed`."""
        name = route_of(channels, self.config.routes)
        # every member is made by _embed; ModuleDict only promises modules
        return self.patch_embed if name is None else cast(WavelengthPatchEmbed, self.routes[name])

    def encode_patches(self, x: Tensor, valid: Tensor | None = None, keep_tokens: float = 1.0) -> EncoderOutput:
        """What follows the patch embedding; no step depends on values, so that this part can be exported and compiled.

        Args:
            x: (B, rows, columns, D0) out of the patch embedding, D0 the first width of the stem or D.
            valid: (B, H, W) bool of the padded image, or None.
            keep_tokens: see `forward`.
        """
        for layer in self.stem:
            x = layer(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        _, rows, columns, _ = x.shape
        patch_tokens = x.flatten(1, 2)
        x = patch_tokens + self._positions(rows, columns)
        mask = None if valid is None else _token_mask(valid, self.config.stride, rows, columns)
        if self.training and keep_tokens < 1:
            count = max(1, round(keep_tokens * x.shape[1]))
            order = torch.rand(x.shape[:2], device=x.device)
            # tokens with data first: attention over masked tokens only says nothing of the image (NaN or 0, by kernel)
            kept = (order if mask is None else order + ~mask).argsort(1)[:, :count]
            x = x.gather(1, kept.unsqueeze(2).expand(-1, -1, x.shape[2]))
            mask = None if mask is None else mask.gather(1, kept)
        # (B, 1, 1, N): every query may look at tokens with data only
        attention_mask = None if mask is None else mask[:, None, None, :]
        for block in self.blocks:
            x = block(x, attn_mask=attention_mask)
        features = self.norm(x)
        return EncoderOutput(self.attn_pool(features, attn_mask=attention_mask), x, patch_tokens, features)

    def _positions(self, rows: int, columns: int) -> Tensor:
        grid = self.config.grid
        if (rows, columns) == (grid, grid):
            return self.pos_embed
        resampled: Tensor = resample_abs_pos_embed(self.pos_embed, [rows, columns], [grid, grid], num_prefix_tokens=0)
        return resampled


def _embed(config: VisionConfig) -> WavelengthPatchEmbed:
    width = config.stem[0] if config.stem else config.width
    return WavelengthPatchEmbed(
        width, config.patch_size, hidden=config.generator_hidden, kinds=config.kinds, mean_over_channels=config.mean_over_channels
    )


def _channels(
    image: Tensor, wavelengths_um: Sequence[float] | Tensor | None, channels: ChannelSet | None, config: VisionConfig
) -> ChannelSet:
    if image.ndim != 4:
        raise DataError(f"images must be (B, C, H, W), got shape {tuple(image.shape)}")
    if channels is None:
        if wavelengths_um is None:
            raise SensorError("the encoder needs wavelengths_um, one centre wavelength in µm per channel, or channels; nothing is assumed")
        channels = ChannelSet(tuple(float(value) for value in wavelengths_um))
    if len(channels) != image.shape[1]:
        raise SensorError(f"image has {image.shape[1]} channels but {len(channels)} wavelengths were given; pass one per channel")
    return known_channels(channels, config)


def known_channels(channels: ChannelSet, config: VisionConfig) -> ChannelSet:
    """Reduce a channel set to what a tower of `config` is told of channels: everything, or one number each."""
    if config.kinds:
        return channels
    radar = channels.frequencies_ghz or (0.0,) * len(channels)
    return ChannelSet(tuple(config.radar_um if ghz > 0 else um for um, ghz in zip(channels.wavelengths_um, radar, strict=True)))


def _check_pixels(image: Tensor, valid: Tensor | None, stride: int) -> Tensor | None:
    if min(image.shape[-2:]) < stride:
        raise DataError(f"images of {tuple(image.shape[-2:])} px are smaller than one token of {stride} px; resize them")
    # one pass over the pixels: a sum is finite only if all its terms are (overflow aside, which is refused too)
    if not torch.isfinite(image.sum(dtype=torch.float32)):
        raise DataError("images hold NaN or infinite values; mark those pixels with `valid` and set them to 0")
    if valid is None or bool(valid.all()):
        return None
    if not bool(valid.flatten(1).any(1).all()):
        raise DataError("an image has no valid pixel at all; leave it out")
    return valid


def _token_mask(valid: Tensor, stride: int, rows: int, columns: int) -> Tensor:
    """(B, N) bool: tokens whose own pixels hold a valid one. If cropping left an image none, all its tokens count."""
    share = F.max_pool2d(valid.float().unsqueeze(1), stride, ceil_mode=True)[:, :, :rows, :columns].flatten(1) > 0
    return share | ~share.any(1, keepdim=True)
