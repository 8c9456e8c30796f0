"""The interleaved encoder: vision tower, projector, region and place tokens, language backbone, last-token pooling.

A sequence is embedded token by token; at its slots stand computed vectors instead of vocabulary entries: image tokens out of the projector,
one token per box (features pooled under the box, and where it lies), one per place (a spherical encoding). The backbone reads them all from
left to right; the state of the end-of-sequence token, normalised, is the vector. The direct path of a box to that last token is our own
addition: VLM2GeoVec (arXiv 2512.11490), whose details are not public, is not known to have it.

Shapes: B prompts, L positions, n images, F vision feature width, H hidden size of the backbone, D = H embedding size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geolangbind.errors import DataError, SettingsError
from geolangbind.interleaved.prompts import ImageGroup, Prompts, Slot
from geolangbind.models.encoder import VisionEncoder
from geolangbind.models.eye import Eye, OwnEye, QwenTower
from geolangbind.sensors.channels import ChannelSet

if TYPE_CHECKING:
    from geolangbind.interleaved.backbone import LanguageBackbone

PROJECTORS = ("shuffle", "resampler", "none")


@dataclass(frozen=True)
class InterleavedConfig:
    """What lies between tower and backbone.

    Attributes:
        projector: "shuffle" joins `factor` x `factor` neighbouring tokens into one (3 for 27 x 27 tokens, 2 for 8 x 8); "resampler" asks
            `queries` x `queries` learned questions to all tokens of an image, whatever its grid; "none" hands on what Qwen2-VL's own tower
            sees, whose merger is one already.
        factor: see above.
        queries: see above.
        enlarge: images are enlarged so many times before they enter the tower: small chips have few tokens otherwise.
        waves: octaves of the sin-cos code of boxes and positions, per coordinate.
        place_waves: octaves of the code of places on the sphere.
        around: heads with which a box looks at what lies around it (see `Around`); 0 for none.
        readout: boxes also add their token to the last one, whose state is read.
        dims: sizes to which vectors can be cut (Matryoshka, arXiv 2205.13147), ascending; the whole size is always one.
    """

    projector: str = "shuffle"
    factor: int = 3
    queries: int = 4
    enlarge: int = 1
    waves: int = 6
    place_waves: int = 6
    around: int = 8
    readout: bool = True
    dims: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.projector not in PROJECTORS:
            raise SettingsError(f"projector is '{self.projector}'; use one of {', '.join(PROJECTORS)}")
        if min(self.factor, self.queries, self.enlarge, self.waves, self.place_waves) < 1:
            raise SettingsError("projector factor, queries, enlarge, waves and place_waves must be at least 1")
        if list(self.dims) != sorted(set(self.dims)) or min(self.dims, default=1) < 1:
            raise SettingsError(f"dims are sizes above 0 that ascend, got {list(self.dims)}")


class InterleavedModel(nn.Module):
    """See the module's text.

    Args:
        tower: ours or Qwen2-VL's own; runs without gradients unless its parameters ask for some.
        backbone: the language model.
        hidden: H of the backbone.
        config: see `InterleavedConfig`.

    Raises:
        SettingsError: projector "none" without Qwen2-VL's own tower, or the tower without it; or a tower of another language model.
    """

    def __init__(self, tower: VisionEncoder | QwenTower, backbone: LanguageBackbone, hidden: int, config: InterleavedConfig) -> None:
        super().__init__()
        self.config, self.hidden = config, hidden
        self.tower, self.backbone = tower, backbone
        self.feature_width = self.eye.feature_width
        self.as_is = config.projector == "none"
        if self.as_is != isinstance(tower, QwenTower):
            raise SettingsError(f"projector is '{config.projector}'; 'none' goes with Qwen2-VL's own tower, and only with it")
        if self.as_is and self.feature_width != hidden:
            raise SettingsError(f"the tower's tokens have {self.feature_width} numbers, the language model's {hidden}: not of one model")
        kinds: dict[str, type[Shuffle | Resampler | AsIs]] = {"shuffle": Shuffle, "resampler": Resampler, "none": AsIs}
        self.projector = kinds[config.projector](self.feature_width, hidden, config)
        self.where = nn.Linear(8 * config.waves, hidden)
        self.region = _mlp(self.feature_width, hidden)
        self.place = _mlp(6 * config.place_waves, hidden)
        self.around = Around(self.feature_width, hidden, config) if config.around else None
        self.kinds = nn.Embedding(len(Slot), hidden)
        self.scale = nn.Parameter(torch.ones(len(Slot)))
        self.readout = nn.Linear(hidden, hidden, bias=False)
        nn.init.normal_(self.kinds.weight, std=0.02)

    @property
    def eye(self) -> Eye:
        """How the tower is asked."""
        return self.tower if isinstance(self.tower, QwenTower) else OwnEye(self.tower, self.config.enlarge)

    def grid_of(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of tokens that an image of so many pixels takes in a prompt.

        Raises:
            DataError: the tower's grid cannot be shuffled by the projector's factor.
        """
        return self.projector.grid_of(*self.eye.grid_of(height, width))

    def vision_features(self, pixels: Tensor, channels: ChannelSet, valid: Tensor | None = None) -> Tensor:
        """What the tower sees, see `Eye`: (n, rows, columns, F) float.

        Args:
            pixels: (n, C, height, width) float32, normalised as the tower was trained.
            channels: of the images; required, there is no default sensor.
            valid: (n, height, width) bool, False where there is no data; or None.

        Raises:
            DataError: an image without a single valid pixel, or not finite.
        """
        return self.eye.vision_features(pixels, channels, valid)

    def forward(self, prompts: Prompts) -> Tensor:
        """Unit vectors of a batch of prompts: (B, D) float32.

        Raises:
            DataError: a group of images has neither features nor pixels with channels.
        """
        features = [self._features(group) for group in prompts.groups]
        embeds = self.backbone.embed_tokens(prompts.ids)
        kinds = self.kinds(prompts.slots).to(embeds.dtype)
        embeds = torch.where(prompts.slots[..., None] == Slot.TEXT, embeds, kinds)
        grids: list[tuple[int, int]] = []
        if len(prompts.images):
            tokens, grids = self._image_tokens(features, prompts.images.tolist())
            embeds = self._put(embeds, prompts.slots, Slot.IMAGE, tokens, as_is=self.as_is)
        last = prompts.mask.sum(1) - 1
        if len(prompts.regions):
            tokens = self._region_tokens(features, prompts.regions)
            embeds = self._put(embeds, prompts.slots, Slot.REGION, tokens)
            if self.config.readout:
                owner = (prompts.slots == Slot.REGION).nonzero()[:, 0]
                embeds = embeds.index_put((owner, last[owner]), self.readout(tokens).to(embeds.dtype), accumulate=True)
        if len(prompts.places):
            embeds = self._put(embeds, prompts.slots, Slot.PLACE, self.place(sphere_code(prompts.places, self.config.place_waves)))
        shared = shared_beginnings(prompts) if self.backbone.spec.positions == "1d" else None  # rows and columns depend on all images
        if shared is None:
            states = self.backbone(embeds, prompts.mask, prompts.slots, grids)
        else:
            first = shared.length
            states = self.backbone.branches(embeds[shared.rows, :first], shared.owner, embeds[:, first:], prompts.mask[:, first:])
            last = last - first
        return F.normalize(states[torch.arange(len(last), device=last.device), last].float(), dim=1)

    def _put(self, embeds: Tensor, slots: Tensor, kind: Slot, tokens: Tensor, *, as_is: bool = False) -> Tensor:
        """`embeds` with the tokens of one kind of slot added at its positions, in reading order; or with nothing but them there."""
        at = (slots == kind).nonzero()
        if as_is:
            return embeds.index_put((at[:, 0], at[:, 1]), tokens.to(embeds.dtype))
        return embeds.index_put((at[:, 0], at[:, 1]), (tokens * self.scale[kind]).to(embeds.dtype), accumulate=True)

    def _features(self, group: ImageGroup) -> Tensor:
        """(n, rows, columns, F) of a group."""
        if group.features is not None:
            return group.features.float()
        if group.pixels is None or group.channels is None:
            raise DataError("a group of images needs its features, or its pixels and what their channels are")
        return self.vision_features(group.pixels, group.channels, group.valid)

    def _image_tokens(self, features: Sequence[Tensor], uses: Sequence[int]) -> tuple[Tensor, list[tuple[int, int]]]:
        """Tokens of each use of an image, end to end, and the grid of each."""
        tokens: list[Tensor] = []
        sizes: list[tuple[int, int]] = []
        for group in features:
            grid = self.projector.grid_of(*group.shape[1:3])
            found = self.projector(group)
            if not self.as_is:
                found = found + self.where(box_code(grid_boxes(*grid, group.device), self.config.waves))
            tokens += found.unbind()
            sizes += [grid] * len(group)
        return torch.cat([tokens[image] for image in uses]), [sizes[image] for image in uses]

    def _region_tokens(self, features: Sequence[Tensor], regions: Tensor) -> Tensor:
        """(R, H): features pooled under each box, where it lies, and what lies around it."""
        tokens, first = regions.new_zeros(len(regions), self.hidden), 0
        for group in features:
            here = ((regions[:, 0] >= first) & (regions[:, 0] < first + len(group))).nonzero()[:, 0]
            images = regions[here, 0].long() - first
            place, most = _places_in_images(images, len(group))  # boxes laid out by image: those of one image read its features once
            boxes = regions.new_zeros(len(group), most, 4).index_put((images, place), regions[here, 1:])
            pooled = pool_boxes(group, boxes)
            found = self.region(pooled) + self.where(box_code(boxes.flatten(0, 1), self.config.waves)).unflatten(0, boxes.shape[:2])
            if self.around is not None:
                found = found + self.around(group, boxes, pooled)
            tokens, first = tokens.index_copy(0, here, found[images, place].to(tokens.dtype)), first + len(group)
        return tokens


class Around(nn.Module):
    """What lies around a box: attention from the box to every cell of its image, by what a cell holds and where it lies seen from the box.

    "A tank north of a grove" asks for exactly that. An empty cell of its own lets a head say that nothing fits. Where a cell lies seen from
    the box is a sin-cos code of their distance; as in rotary embeddings (arXiv 2104.09864), it is had by turning the question by the box's
    own angles, so that all boxes of an image share its keys.
    """

    def __init__(self, width: int, hidden: int, config: InterleavedConfig) -> None:
        super().__init__()
        self.heads, self.waves, self.size = config.around, config.waves, 16
        code, inner = 4 * config.waves, self.size * config.around
        self.asked = _mlp(width + 2 * code, inner)
        self.content = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * inner))
        self.offset = nn.Linear(self.size, code, bias=False)
        self.nothing = nn.Parameter(torch.zeros(config.around))
        self.told = _mlp(config.around * (self.size + code), hidden)

    def forward(self, features: Tensor, boxes: Tensor, pooled: Tensor) -> Tensor:
        """(n, rows, columns, F) features, m boxes (n, m, 4) in each of their images and what is under them (n, m, F) to (n, m, H)."""
        cells = _waves(_centres(grid_boxes(*features.shape[1:3], features.device)), self.waves)
        own = _waves(_centres(boxes).flatten(0, 1), self.waves).unflatten(0, boxes.shape[:2])[:, :, None]
        keys, values = (part.unflatten(2, (self.heads, -1)) for part in self.content(features.flatten(1, 2)).chunk(2, dim=2))
        code = box_code(boxes.flatten(0, 1), self.waves).unflatten(0, boxes.shape[:2])
        asked = self.asked(torch.cat([pooled, code], dim=2)).unflatten(2, (self.heads, -1))
        logits = torch.einsum("nmhd,nchd->nhmc", asked, keys)
        logits = logits + torch.einsum("nmhw,cw->nhmc", _turned(self.offset(asked), own), cells)
        nothing = self.nothing[:, None, None].expand(*logits.shape[:3], 1)
        weights = torch.cat([logits / self.size**0.5, nothing], dim=3).softmax(dim=3)[..., :-1]
        held = torch.einsum("nhmc,nchd->nmhd", weights, values)
        lies = _turned(torch.einsum("nhmc,cw->nmhw", weights, cells), own, back=True)
        return cast(Tensor, self.told(torch.cat([held, lies], dim=3).flatten(2)))


class Shuffle(nn.Module):
    """`factor` x `factor` neighbouring tokens laid side by side, then an MLP (pixel shuffle)."""

    def __init__(self, width: int, hidden: int, config: InterleavedConfig) -> None:
        super().__init__()
        self.factor = config.factor
        self.mlp = _mlp(width * config.factor**2, hidden)

    def grid_of(self, rows: int, columns: int) -> tuple[int, int]:
        """See `InterleavedModel.grid_of`; rows and columns are the tower's."""
        if rows % self.factor or columns % self.factor:
            raise DataError(
                f"{rows} x {columns} vision tokens cannot be joined {self.factor} x {self.factor}; use another projector factor, "
                "another image size, or the resampler"
            )
        return rows // self.factor, columns // self.factor

    def forward(self, features: Tensor) -> Tensor:
        """(n, rows, columns, F) to (n, tokens, H)."""
        blocks = features.unflatten(2, (-1, self.factor)).unflatten(1, (-1, self.factor))
        return cast(Tensor, self.mlp(blocks.transpose(2, 3).flatten(3).flatten(1, 2)))


class Resampler(nn.Module):
    """Learned questions to an image's tokens through one cross-attention (Perceiver resampler, arXiv 2204.14198), then an MLP."""

    def __init__(self, width: int, hidden: int, config: InterleavedConfig) -> None:
        super().__init__()
        self.side = config.queries
        self.asked = nn.Parameter(torch.randn(config.queries**2, width) * 0.02)
        self.waves = config.waves
        self.where = nn.Linear(8 * config.waves, width)
        self.attention = nn.MultiheadAttention(width, max(width // 64, 1), batch_first=True)
        self.mlp = _mlp(width, hidden)

    def grid_of(self, rows: int, columns: int) -> tuple[int, int]:
        """See `InterleavedModel.grid_of`: the same for every image."""
        return self.side, self.side

    def forward(self, features: Tensor) -> Tensor:
        """(n, rows, columns, F) to (n, tokens, H)."""
        count, rows, columns, _ = features.shape
        keys = features.flatten(1, 2) + self.where(box_code(grid_boxes(rows, columns, features.device), self.waves))
        asked = self.asked + self.where(box_code(grid_boxes(self.side, self.side, features.device), self.waves))
        found, _ = self.attention(asked.expand(count, -1, -1), keys, keys, need_weights=False)
        return cast(Tensor, self.mlp(found))


class AsIs(nn.Module):
    """Features are tokens already."""

    def __init__(self, width: int, hidden: int, config: InterleavedConfig) -> None:
        super().__init__()

    def grid_of(self, rows: int, columns: int) -> tuple[int, int]:
        """See `InterleavedModel.grid_of`."""
        return rows, columns

    def forward(self, features: Tensor) -> Tensor:
        """(n, rows, columns, H) to (n, tokens, H)."""
        return features.flatten(1, 2)


@dataclass(frozen=True, eq=False)
class Shared:
    """Prompts that begin alike.

    Attributes:
        length: tokens of the beginnings.
        rows: (U,) a prompt that begins with each of them.
        owner: (B,) which of them each prompt begins with.
    """

    length: int
    rows: Tensor
    owner: Tensor


def shared_beginnings(prompts: Prompts) -> Shared | None:
    """What prompts have in common up to the end of their first image, where that saves work: questions about few images, many about each.

    Returns:
        None unless all prompts have their first image at the same positions, nothing else computed before it, and it is shared.
    """
    slots, images = prompts.slots, prompts.slots == Slot.IMAGE
    before = F.pad(images[:, :-1], (1, 0))
    begins, ends = images & ~before, before & ~images  # the token after an image's last slot ends it
    if not begins.any(1).all():
        return None
    first, end = begins.long().argmax(1), ends.long().argmax(1)
    length = int(end[0]) + 1
    alike = bool((first == first[0]).all()) and bool((end == end[0]).all())
    if not alike or bool((slots[:, : int(first[0])] != Slot.TEXT).any()) or bool((prompts.mask.sum(1) <= length).any()):
        return None
    used = begins.sum(1)
    key = torch.cat([prompts.ids[:, :length], prompts.images[used.cumsum(0) - used][:, None]], dim=1)
    _, owner = key.unique(dim=0, return_inverse=True)
    found = int(owner.max()) + 1
    if found > 0.75 * len(owner):
        return None
    rows = torch.empty(found, dtype=torch.int64, device=owner.device).scatter(0, owner, torch.arange(len(owner), device=owner.device))
    return Shared(length, rows, owner)


def grid_boxes(rows: int, columns: int, device: torch.device) -> Tensor:
    """(rows * columns, 4): x0, y0, x1, y1 of each cell of a grid as shares of the image, row by row."""
    y, x = torch.meshgrid(torch.arange(rows, device=device), torch.arange(columns, device=device), indexing="ij")
    return torch.stack([x / columns, y / rows, (x + 1) / columns, (y + 1) / rows], dim=2).flatten(0, 1)


def box_code(boxes: Tensor, waves: int) -> Tensor:
    """Sin-cos code of boxes (R, 4) in shares of the image: centre and size at `waves` octaves, (R, 8 * waves) float32."""
    x0, y0, x1, y1 = boxes.float().unbind(1)
    values = torch.stack([(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0], dim=1)
    return _waves(values, waves)


def sphere_code(places: Tensor, waves: int) -> Tensor:
    """Sin-cos code of places (P, 2), latitude and longitude in degrees: the unit vector at `waves` octaves, (P, 6 * waves) float32.

    Through x, y, z on the sphere, so that neither poles nor the antimeridian tear the code.
    """
    lat, lon = torch.deg2rad(places.float()).unbind(1)
    return _waves(torch.stack([lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin()], dim=1) / 2, waves)


def _centres(boxes: Tensor) -> Tensor:
    return (boxes[..., :2] + boxes[..., 2:]) / 2


def _turned(code: Tensor, by: Tensor, *, back: bool = False) -> Tensor:
    """Turn sin-cos pairs (..., 4 * waves) by the angles of a code: dotted with a place's code it then asks for a distance from `by`.

    Backwards: the code of places becomes that of their distances from `by`.
    """
    (sin, cos), (by_sin, by_cos) = (part.unflatten(-1, (2, 2, -1)).unbind(-2) for part in (code, by))
    by_sin = -by_sin if back else by_sin
    return torch.stack([sin * by_cos + cos * by_sin, cos * by_cos - sin * by_sin], dim=-2).flatten(-3)


def _waves(values: Tensor, waves: int) -> Tensor:
    angles = values[:, :, None] * (math.pi * 2.0 ** torch.arange(waves, device=values.device))
    return torch.cat([angles.sin(), angles.cos()], dim=2).flatten(1)


def pool_boxes(features: Tensor, boxes: Tensor) -> Tensor:
    """Mean of features (n, rows, columns, F) over m boxes (n, m, 4) of each image, each cell by its area under the box: (n, m, F).

    Boxes are shares of the image; an empty one gives zeros.
    """
    x0, y0, x1, y1 = boxes.unbind(2)
    down, across = _covered(y0, y1, features.shape[1]), _covered(x0, x1, features.shape[2])
    return torch.bmm((down[..., :, None] * across[..., None, :]).flatten(2), features.flatten(1, 2))


def _covered(low: Tensor, high: Tensor, cells: int) -> Tensor:
    """(..., cells): how much of [low, high] lies in each of so many equal cells of [0, 1], as shares."""
    edges = torch.arange(cells + 1, device=low.device) / cells
    share = (torch.minimum(edges[1:], high[..., None]) - torch.maximum(edges[:-1], low[..., None])).clamp(min=0)
    return share / share.sum(-1, keepdim=True).clamp(min=1e-12)


def _places_in_images(images: Tensor, count: int) -> tuple[Tensor, int]:
    """The number of each box among those of its image, of `count` images, and how many boxes the fullest image has."""
    order, sizes = images.argsort(stable=True), images.bincount(minlength=count)
    begins = sizes.cumsum(0) - sizes
    numbers = torch.arange(len(images), device=images.device) - begins[images[order]]
    return torch.empty_like(images).scatter(0, order, numbers), int(sizes.max())


def matryoshka(vectors: Tensor, dim: int) -> Tensor:
    """The first `dim` numbers of vectors (n, D), at unit length again.

    Raises:
        SettingsError: `dim` is not between 1 and D.
    """
    if not 0 < dim <= vectors.shape[1]:
        raise SettingsError(f"dim is {dim}; vectors have {vectors.shape[1]} numbers")
    return F.normalize(vectors[:, :dim], dim=1)


def _mlp(width: int, hidden: int) -> nn.Sequential:
    return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, hidden))
