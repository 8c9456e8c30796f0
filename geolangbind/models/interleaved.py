"""The interleaved encoder: vision tower, projector, region and place tokens, language backbone, last-token pooling.

A sequence is embedded token by token; at its slots stand computed vectors instead of vocabulary entries: image tokens out of the projector,
one token per box (features pooled under the box, and where it lies), one per place (a spherical encoding). The backbone reads them all from
left to right; the state of the end-of-sequence token, normalised, is the vector. The direct path of a box to that last token is our own
addition: VLM2GeoVec (arXiv 2512.11490), whose details are not public, is not known to have it.

Shapes: B prompts, L positions, n images, F vision feature width, H hidden size of the backbone, D = H embedding size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geolangbind.errors import DataError, SettingsError
from geolangbind.interleaved.prompts import ImageGroup, Prompts, Slot
from geolangbind.models.boxes import Around, box_code, grid_boxes, mlp, places_in_images, pool_boxes, sphere_code
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
        differences: an image that follows one of the same grid in its sequence also tells, cell by cell, how its features differ from that
            one's, as in Siamese change detection (arXiv 1810.08462); not with projector "none".
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
    differences: bool = True
    readout: bool = True
    dims: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.projector not in PROJECTORS:
            raise SettingsError(f"projector is '{self.projector}'; use one of {', '.join(PROJECTORS)}")
        if min(self.factor, self.queries, self.enlarge, self.waves, self.place_waves) < 1:
            raise SettingsError("projector factor, queries, enlarge, waves and place_waves must be at least 1")
        if self.around < 0:
            raise SettingsError(f"around is {self.around}; it is a number of heads, or 0 for none")
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
        self.difference = None if self.as_is or not config.differences else kinds[config.projector](self.feature_width, hidden, config)
        self.where = nn.Linear(8 * config.waves, hidden)
        self.region = mlp(self.feature_width, hidden)
        self.place = mlp(6 * config.place_waves, hidden)
        self.around = Around(self.feature_width, hidden, config.around, config.waves) if config.around else None
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
            owners = _runs(prompts.slots == Slot.IMAGE).nonzero()[:, 0].tolist()
            tokens, grids = self._image_tokens(features, prompts.images.tolist(), owners)
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

    def _image_tokens(self, features: Sequence[Tensor], uses: Sequence[int], owners: Sequence[int]) -> tuple[Tensor, list[tuple[int, int]]]:
        """Tokens of each use of an image by the prompts `owners`, end to end, and the grid of each."""
        tokens: list[Tensor] = []
        sizes: list[tuple[int, int]] = []
        for group in features:
            grid = self.projector.grid_of(*group.shape[1:3])
            found = self.projector(group)
            if not self.as_is:
                found = found + self.where(box_code(grid_boxes(*grid, group.device), self.config.waves))
            tokens += found.unbind()
            sizes += [grid] * len(group)
        used = [tokens[image] for image in uses]
        if self.difference is not None:
            seen = [one for group in features for one in group.unbind()]
            pairs = [
                place
                for place in range(1, len(uses))
                if owners[place] == owners[place - 1] and seen[uses[place]].shape == seen[uses[place - 1]].shape
            ]
            for shape in {seen[uses[place]].shape for place in pairs}:
                alike = [place for place in pairs if seen[uses[place]].shape == shape]
                changed = torch.stack([seen[uses[place]] - seen[uses[place - 1]] for place in alike])
                for place, more in zip(alike, self.difference(changed), strict=True):
                    used[place] = used[place] + more
        return torch.cat(used), [sizes[image] for image in uses]

    def _region_tokens(self, features: Sequence[Tensor], regions: Tensor) -> Tensor:
        """(R, H): features pooled under each box, where it lies, and what lies around it."""
        tokens, first = regions.new_zeros(len(regions), self.hidden), 0
        for group in features:
            here = ((regions[:, 0] >= first) & (regions[:, 0] < first + len(group))).nonzero()[:, 0]
            images = regions[here, 0].long() - first
            place, most = places_in_images(images, len(group))  # boxes laid out by image: those of one image read its features once
            boxes = regions.new_zeros(len(group), most, 4).index_put((images, place), regions[here, 1:])
            pooled = pool_boxes(group, boxes)
            found = self.region(pooled) + self.where(box_code(boxes.flatten(0, 1), self.config.waves)).unflatten(0, boxes.shape[:2])
            if self.around is not None:
                found = found + self.around(group, boxes, pooled)
            tokens, first = tokens.index_copy(0, here, found[images, place].to(tokens.dtype)), first + len(group)
        return tokens


class Shuffle(nn.Module):
    """`factor` x `factor` neighbouring tokens laid side by side, then an MLP (pixel shuffle)."""

    def __init__(self, width: int, hidden: int, config: InterleavedConfig) -> None:
        super().__init__()
        self.factor = config.factor
        self.mlp = mlp(width * config.factor**2, hidden)

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
        self.mlp = mlp(width, hidden)

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
    begins, ends = _runs(images), ~images & F.pad(images[:, :-1], (1, 0))  # the token after an image's last slot ends it
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


def _runs(at: Tensor) -> Tensor:
    """(B, L) bool: where runs of True begin."""
    return at & ~F.pad(at[:, :-1], (1, 0))


def matryoshka(vectors: Tensor, dim: int) -> Tensor:
    """The first `dim` numbers of vectors (n, D), at unit length again.

    Raises:
        SettingsError: `dim` is not between 1 and D.
    """
    if not 0 < dim <= vectors.shape[1]:
        raise SettingsError(f"dim is {dim}; vectors have {vectors.shape[1]} numbers")
    return F.normalize(vectors[:, :dim], dim=1)
