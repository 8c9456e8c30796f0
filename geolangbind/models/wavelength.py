"""Channel codes to patch kernels: the patch embedding whose convolution weights are generated from band wavelengths.

Mathematics of DOFA (arXiv 2403.15356) as used in GeoLangBind / DOFA-CLIP (arXiv 2503.06312), so that released weights give the same
vectors; parameter names are those of the published checkpoints. Two things are added for models trained here: a learned vector of
the physical kind of each channel (so that VV, VH and elevation are told apart), and kernels scaled by 3 / C (so that a sum over 202
bands has the size of a sum over three).

Shapes: B batch, C channels, H W pixels, k patch size, D width, N tokens, n code size (128).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geolangbind.sensors.channels import KINDS, OPTICAL_KINDS, ChannelSet

CODE_DIM = 128
_NANOMETRES_PER_UM = 1000.0
_CODED_UM = (0.3, 20.0)
KERNEL_SCALE = 0.01  # the published constant on generated weights and bias
_CACHED_CHANNEL_SETS = 16
_CHANNELS_AT_ONCE = 8


def sincos_code(positions: Tensor, dim: int = CODE_DIM) -> Tensor:
    """Sine-cosine code of scalar positions, all sines first.

    Args:
        positions: (C,) float32.
        dim: even code size n.

    Returns:
        (C, n) float32: sin(p w_i) then cos(p w_i) with w_i = 10000^(-2i/n).
    """
    omega = torch.arange(dim // 2, dtype=torch.float32, device=positions.device) / (dim / 2.0)
    phase = torch.outer(positions.float(), 1.0 / 10000**omega)
    return torch.cat([phase.sin(), phase.cos()], dim=1)


def wavelength_code(wavelengths_um: Tensor) -> Tensor:
    """Code of centre wavelengths as the published encoder sees them, in nanometre-like numbers.

    Args:
        wavelengths_um: (C,) float32 in µm. Outside 0.3-20 µm (0 for channels without a wavelength, 55 500 for radar) the code is
            zero: the fp32 phase of such numbers would be noise.

    Returns:
        (C, 128) float32.
    """
    code = sincos_code(_NANOMETRES_PER_UM * wavelengths_um)
    return code * ((wavelengths_um >= _CODED_UM[0]) & (wavelengths_um <= _CODED_UM[1])).unsqueeze(1)


class ResidualMLP(nn.Module):
    """x + ReLU(W2 ReLU(W1 x + b1) + b2), both (n, n)."""

    def __init__(self, dim: int = CODE_DIM) -> None:
        super().__init__()
        self.w1 = nn.Linear(dim, dim)
        self.w2 = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map (C, n) codes to (C, n)."""
        return x + F.relu(self.w2(F.relu(self.w1(x))))


class KernelGenerator(nn.Module):
    """A one-layer transformer that turns channel codes into one patch kernel per channel and a shared bias."""

    def __init__(self, width: int, patch_size: int, hidden: int = 2048, dim: int = CODE_DIM) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(dim, nhead=4, dim_feedforward=hidden, dropout=0.0, activation="gelu")
        self.transformer_encoder = nn.TransformerEncoder(layer, num_layers=1, enable_nested_tensor=False)
        self.weight_tokens = nn.Parameter(torch.empty(dim, dim))
        self.bias_token = nn.Parameter(torch.empty(1, dim))
        self.fc_weight = nn.Linear(dim, patch_size * patch_size * width)
        self.fc_bias = nn.Linear(dim, width)

    def mix(self, code: Tensor) -> tuple[Tensor, Tensor]:
        """Let the channels see each other.

        Args:
            code: (C, n) channel codes after the residual MLP.

        Returns:
            (C, n), from which `fc_weight` makes kernels, and (n,), from which `fc_bias` makes the bias.
        """
        tokens = self.weight_tokens.shape[0]
        mixed = self.transformer_encoder(torch.cat([self.weight_tokens, code, self.bias_token]))
        return mixed[tokens:-1] + code, mixed[-1]

    def forward(self, code: Tensor, scale: float = 1.0) -> tuple[Tensor, Tensor]:
        """Generate the convolution of a channel set.

        Args:
            code: (C, n) channel codes after the residual MLP.
            scale: multiplies the kernels, not the bias.

        Returns:
            Flat kernels (C, k*k*D), pixel-major, and the bias (D,).
        """
        mixed, last = self.mix(code)
        # scaled before the large product: its result, 160 MB for 202 bands, is then written once
        scale = KERNEL_SCALE * scale
        # rows are filled up to fours: the product of three rows takes twice as long as that of four (docs/benchmarks.md)
        rows = F.pad(mixed * scale, (0, 0, 0, -len(mixed) % 4))
        weight = F.linear(rows, self.fc_weight.weight, self.fc_weight.bias * scale)[: len(mixed)]
        return weight, self.fc_bias(last) * KERNEL_SCALE


class WavelengthPatchEmbed(nn.Module):
    """Patch embedding for any channel set.

    Args:
        width: output channels D.
        patch_size: kernel and stride k in pixels.
        hidden: feed-forward size inside the generator.
        kinds: learn a vector per physical kind and, for radar, a linear map of log10 of the frequency (off for imported weights).
        mean_over_channels: multiply kernels by 3 / C (off for imported weights).
    """

    def __init__(self, width: int, patch_size: int, *, hidden: int = 2048, kinds: bool = True, mean_over_channels: bool = True) -> None:
        super().__init__()
        self.width, self.patch_size, self.mean_over_channels = width, patch_size, mean_over_channels
        self.fclayer = ResidualMLP()
        self.weight_generator = KernelGenerator(width, patch_size, hidden)
        self.kind_code = nn.Parameter(torch.empty(len(KINDS), CODE_DIM)) if kinds else None
        self.frequency_code = nn.Parameter(torch.empty(CODE_DIM)) if kinds else None
        self._kernels: dict[tuple[ChannelSet, torch.device], tuple[tuple[int, ...], Tensor, Tensor]] = {}
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.constant_(module.bias, 0.01)
        nn.init.normal_(self.weight_generator.weight_tokens, std=0.02)
        nn.init.normal_(self.weight_generator.bias_token, std=0.02)
        if self.kind_code is not None and self.frequency_code is not None:
            # Optical channels are told apart by wavelength: their kinds start close together, so that what is learnt of one
            # unit serves the others. Radar and elevation have nothing but their kind: theirs start as far apart as codes are.
            nn.init.normal_(self.kind_code, std=0.5)
            optical = [KINDS.index(kind) for kind in OPTICAL_KINDS]
            with torch.no_grad():
                self.kind_code[optical] *= 0.04
            nn.init.normal_(self.frequency_code, std=0.02)

    def channel_code(self, channels: ChannelSet) -> Tensor:
        """Code of each channel before the residual MLP, (C, n): wavelength code plus, if learnt, kind and radar frequency."""
        device = self.weight_generator.weight_tokens.device
        code = wavelength_code(torch.tensor(channels.wavelengths_um, dtype=torch.float32, device=device))
        if self.kind_code is None or self.frequency_code is None or channels.kinds is None:
            return code
        code = code + self.kind_code[[KINDS.index(kind) for kind in channels.kinds]]
        frequency_ghz = torch.tensor(channels.frequencies_ghz or (0.0,) * len(channels), device=device)
        log_frequency = torch.where(frequency_ghz > 0, frequency_ghz.clamp_min(1e-3).log10(), 0.0)
        return code + torch.outer(log_frequency, self.frequency_code)

    def kernels(self, channels: ChannelSet) -> tuple[Tensor, Tensor]:
        """Convolution weights of a channel set; cached in eval mode until a parameter changes.

        Returns:
            Weights (D, C*k*k), channel-major then row then column (a transposed view), and bias (D,), both float32.
        """
        if self.training or torch.is_grad_enabled():
            return self._generate(channels)
        key = (channels, self.weight_generator.bias_token.device)
        stamp = tuple(x for p in self.parameters() for x in (p.data_ptr(), 0 if p.is_inference() else p._version))
        cached = self._kernels.get(key)
        if cached is None or cached[0] != stamp:
            if len(self._kernels) >= _CACHED_CHANNEL_SETS:
                self._kernels.pop(next(iter(self._kernels)))
            cached = (stamp, *self._generate(channels))
            self._kernels[key] = cached
        return cached[1], cached[2]

    def forget_kernels(self) -> None:
        """Empty the cache, to free memory or to time generation."""
        self._kernels.clear()

    def _generate(self, channels: ChannelSet) -> tuple[Tensor, Tensor]:
        # Codes are phases of up to 20 000 rad: half precision would scramble them, so autocast stays out.
        with torch.autocast(self.weight_generator.bias_token.device.type, enabled=False):
            scale = 3 / len(channels) if self.mean_over_channels else 1.0
            flat, bias = self.weight_generator(self.fclayer(self.channel_code(channels)), scale)
        # a view: matrix products take either order, and a transposed copy would cost as much as generating
        return flat.view(-1, self.width).T, bias

    def forward(self, image: Tensor, channels: ChannelSet) -> Tensor:
        """Embed non-overlapping patches; rows and columns beyond the last whole patch are not seen.

        Args:
            image: (B, C, H, W) float, normalised.
            channels: C channels in the image's order.

        Returns:
            (B, H // k, W // k, D).
        """
        k = self.patch_size
        batch, count, height, width = image.shape
        rows, columns = height // k, width // k
        if torch.is_autocast_enabled(image.device.type):
            # gathering patches is bound by memory: half the bytes, half the time; the product below would cast anyway
            image = image.to(torch.get_autocast_dtype(image.device.type))
        cells = image[:, :, : rows * k, : columns * k].reshape(batch, count, rows, k, columns, k).permute(0, 2, 4, 1, 3, 5)
        weight, bias = self.kernels(channels)
        if torch.is_grad_enabled() or image.device.type != "cpu" or count <= _CHANNELS_AT_ONCE:
            return F.linear(cells.reshape(batch, rows, columns, count * k * k), weight, bias)
        # a few channels at a time stay in the processor's cache between gathering and product: 12 % faster at 202 (docs/benchmarks.md)
        tokens = bias.to(image.dtype).repeat(batch * rows * columns, 1)
        for group, kernel in zip(cells.split(_CHANNELS_AT_ONCE, 3), weight.T.split(_CHANNELS_AT_ONCE * k * k), strict=True):
            tokens.addmm_(group.reshape(len(tokens), -1), kernel.to(image.dtype))
        return tokens.view(batch, rows, columns, self.width)
