"""What a step computes: a batch in, named scalar losses out. Towers, projectors and frozen teachers meet only here."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from geolangbind.data.batch import Batch
from geolangbind.data.crop import crop_batch
from geolangbind.data.transforms import Augmentation, Share, augment, draw_bands, jitter_wavelengths
from geolangbind.data.virtual import VirtualSensors, through_virtual_sensor
from geolangbind.errors import DataError, SettingsError
from geolangbind.losses import feature_matching, pair_targets, sigmoid_contrastive
from geolangbind.model import GeoLangBind
from geolangbind.models.maka import Projector, pool_tokens, pooled_side
from geolangbind.sensors.channels import ChannelSet
from geolangbind.teachers import Teacher, see_all
from geolangbind.tokenizer import words_of
from geolangbind.train.borders import Task
from geolangbind.train.cross_sensor import CrossSensorTerm
from geolangbind.train.distributed import averaged, processes, united
from geolangbind.train.settings import Teachers, TrainSettings

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

_MAX_LOGIT_SCALE = math.log(100.0)
_MAX_CACHED_CAPTIONS = 200_000


@dataclass(frozen=True)
class _View:
    """Images of one sensor as the encoder takes them: normalised, augmented; `features` are the teachers' targets (B, N, T)."""

    image: Tensor
    valid: Tensor | None
    channels: ChannelSet
    features: Mapping[str, Tensor]


class AlignmentTask(Task):
    """Sigmoid image-text alignment with MaKA and, where asked for, a term between two sensors of one place.

    With `settings.memory_chunk`, images (and texts, where their tower trains) are encoded in chunks whose activations are thrown away and
    computed again, one chunk at a time, in the backward pass; only the vectors of the whole batch stay. That is the gradient cache of
    arXiv 2101.06983 with its second pass left to autograd, so that it holds for MaKA and under data-parallel training alike.

    Args:
        model: trained in place; its text tower is frozen unless `settings.train_text`.
        settings: of the run.
        teachers: live teachers by name; a chosen teacher that is absent here must have its features in the batches.
        feature_shapes: (tokens, width) of every chosen teacher.
    """

    def __init__(
        self,
        model: GeoLangBind,
        settings: TrainSettings,
        teachers: Mapping[str, Teacher],
        feature_shapes: Mapping[str, tuple[int, int]],
    ) -> None:
        super().__init__()
        if model.tokenizer is None:
            raise SettingsError("the model has no tokenizer; start from a folder that holds tokenizer.json")
        self.towers, self.tokenizer, self.statistics = model.towers, model.tokenizer, model.statistics
        self.settings, self.teachers = settings, dict(teachers)
        self.augmentation, self.virtual = Augmentation(**vars(settings.augment)), VirtualSensors(**vars(settings.virtual_sensors))
        self.maka = _projectors(settings.teachers, feature_shapes, self.towers.vision.config.width)
        cross = settings.cross_sensor
        self.cross_sensor = CrossSensorTerm(cross.same_label) if cross.weight else None
        self.towers.text.requires_grad_(settings.train_text)
        self.seen_words: set[str] = set()
        self._shared_words = 0
        self._text_cache: dict[str, Tensor] = {}

    def train(self, mode: bool = True) -> AlignmentTask:
        """Switch modes; a frozen text tower stays in inference mode."""
        super().train(mode)
        self.towers.text.train(mode and self.settings.train_text)
        return self

    def forward(self, fetch: Callable[[], Batch], generator: torch.Generator) -> dict[str, Tensor]:
        """Losses of one batch.

        Args:
            fetch: returns the batch, samples of one sensor. A function, because Fabric would take a dataclass apart to cast its tensors.
            generator: source of caption choice and augmentation, seeded alike on all processes.

        Returns:
            `loss` (what to minimise) and its parts, scalars: means over the processes, with the gradients of this one's samples.
        """
        batch, group = fetch(), processes()
        share = Share.of(len(batch)) if group is None else Share.of(len(batch), group.rank(), group.size())
        view = self._view(batch, generator, share, taught=True)
        captions = _pick(batch.captions, batch.keys, generator, share)
        partner = None
        if batch.partner is not None:
            shown = (*batch.partner_rows, *batch.partner_rows[:1] * (len(batch.partner) - len(batch.partner_rows)))
            seen = Share(tuple(share.rows[row] for row in shown), share.total)
            partner = self._view(batch.partner, generator, seen, taught=False)
        vectors, matching = self._encode(view)
        losses = {"contrastive": self._contrastive(vectors, self._text_vectors(captions), batch), **matching}
        weighted = [self.settings.teachers.choices[name.removeprefix("maka/")].weight * value for name, value in matching.items()]
        losses["loss"] = losses["contrastive"] + self.settings.teachers.weight * sum(weighted, torch.zeros(()))
        if partner is not None and self.cross_sensor is not None:
            labels = _label_ids(batch.labels.get(self.settings.label), len(batch)).to(vectors.device)
            others = self._encode(partner)[0][: len(batch.partner_rows)]
            losses["cross_sensor"] = self.cross_sensor(vectors, others, batch.partner_rows, labels, group)
            losses["loss"] = losses["loss"] + self.settings.cross_sensor.weight * losses["cross_sensor"]
        if group is None:
            return losses
        if self.settings.train_text:
            self._share_words(group)
        return averaged(losses, group)

    def _view(self, batch: Batch, generator: torch.Generator, share: Share, *, taught: bool) -> _View:
        """Everything random about a batch but its captions, and what its teachers see, if it is taught."""
        if taught and self.settings.teachers.choices and batch.image.shape[-1] != batch.image.shape[-2]:
            raise DataError(f"{batch.sensor}: images of {tuple(batch.image.shape[-2:])} px; teachers' token grids need square ones")
        batch = crop_batch(batch, self.augmentation.crop, generator, share)  # before the teachers look
        targets = self._targets(batch) if taught else {}
        batch = through_virtual_sensor(batch, self.virtual, generator)
        if drawn := draw_bands(len(batch.channels), self.augmentation, generator):
            batch = batch.with_bands(drawn)
        image, _ = self.statistics.normalize(batch.image, batch.channels, batch.sensor, batch.bands, batch.valid)
        image, features, valid = augment(image, targets, self.augmentation, generator, batch.valid, share)
        channels = jitter_wavelengths(batch.channels, self.augmentation.wavelength_jitter, generator)
        return _View(image, valid, channels, features)

    def _encode(self, view: _View) -> tuple[Tensor, dict[str, Tensor]]:
        """Unit vectors (B, D) of a view and its matching losses, `memory_chunk` images at a time."""
        count, chunk = len(view.image), self.settings.memory_chunk
        if not 0 < chunk < count:
            return self._encode_part(view)
        parts = []
        for first in range(0, count, chunk):
            rows = slice(first, first + chunk)
            part = _View(
                view.image[rows], None if view.valid is None else view.valid[rows], view.channels,
                {name: tokens[rows] for name, tokens in view.features.items()},
            )  # fmt: skip
            # the images stand beside their view: torch keeps the random numbers of devices on which an argument itself is a tensor
            found = checkpoint(lambda image, part: self._encode_part(part), part.image, part, use_reentrant=False)
            parts.append((len(part.image) / count, *found))
        vectors = torch.cat([vectors for _, vectors, _ in parts])
        names = parts[0][2]
        return vectors, {name: sum((share * losses[name] for share, _, losses in parts), torch.zeros(())) for name in names}

    def _encode_part(self, view: _View) -> tuple[Tensor, dict[str, Tensor]]:
        vectors, output = self.towers.image_vectors(view.image, view.channels, view.valid, self.settings.keep_tokens)
        losses = {}
        for name, target in view.features.items():
            losses[f"maka/{name}"] = self._match(name, output.features, target, view.channels)
        return vectors, losses

    @torch.no_grad()
    def calibrate(self, labels: Sequence[object] | None, count: int) -> None:
        """Start the logit bias of a random model at the log odds of a positive pair.

        SigLIP's -10 is that figure for its batches of 32,768. Left there with hundreds of samples, a short training would spend
        itself on moving one scalar.

        Args:
            labels: of a typical global batch, or None.
            count: samples in it.
        """
        ids = _label_ids(labels, count) if self.settings.same_label == "positive" else None
        targets, _ = pair_targets(ids, slice(0, count), count, self.settings.same_label)
        share = float((targets > 0).float().mean())
        self.towers.logit_bias.fill_(math.log(share / max(1 - share, 1e-6)))

    @torch.no_grad()
    def clamp_temperature(self) -> None:
        """Keep logit scales in [1, 100], as CLIP does."""
        self.towers.logit_scale.clamp_(0, _MAX_LOGIT_SCALE)
        if self.cross_sensor is not None:
            self.cross_sensor.logit_scale.clamp_(0, _MAX_LOGIT_SCALE)

    def notes(self) -> dict[str, Any]:
        """The words seen so far."""
        return {"seen_words": sorted(self.seen_words)}

    def restore_notes(self, notes: Mapping[str, Any]) -> None:
        """Take over the words seen before a checkpoint."""
        self.seen_words.update(notes["seen_words"])

    def _targets(self, batch: Batch) -> dict[str, Tensor]:
        choice = self.settings.teachers
        if absent := choice.choices.keys() - batch.features.keys() - self.teachers.keys():
            raise DataError(
                f"no features of teacher {min(absent)} in the shards and no source to compute them; run `geolangbind shards add-features`"
            )
        live = {name: self.teachers[name] for name in choice.choices if name not in batch.features}
        seen = see_all(live, batch.image, batch.channels, batch.valid) if live else {}
        targets = {name: seen[name] if name in seen else batch.features[name].float() for name in choice.choices}
        return {name: pool_tokens(tokens, choice.pool) for name, tokens in targets.items()}

    def _match(self, name: str, features: Tensor, target: Tensor, channels: ChannelSet) -> Tensor:
        """Matching loss of one teacher: student tokens (B, N, D), its tokens (pooled, augmented)."""
        choice = self.settings.teachers
        tokens = pool_tokens(features, choice.pool)
        tokens = self.maka[name](tokens, channels) if name in self.maka else tokens
        return feature_matching(tokens, target, standardize=choice.standardize, balance=choice.balance)

    def _text_vectors(self, captions: Sequence[str]) -> Tensor:
        if self.settings.train_text:
            self.seen_words.update(word for caption in captions for word in words_of(caption))
            parts = self._ids(captions).split(self.settings.memory_chunk or len(captions))
            if len(parts) == 1:
                return self.towers.text_vectors(parts[0])
            return torch.cat([checkpoint(self.towers.text_vectors, ids, use_reentrant=False) for ids in parts])
        new = sorted(set(captions) - self._text_cache.keys())
        if new:
            if len(self._text_cache) > _MAX_CACHED_CAPTIONS:
                self._text_cache.clear()
                new = sorted(set(captions))
            with torch.no_grad():
                self._text_cache.update(zip(new, self.towers.text_vectors(self._ids(new)).unbind(), strict=True))
        return torch.stack([self._text_cache[caption] for caption in captions])

    def _share_words(self, group: ProcessGroup) -> None:
        """Bring together the words that the processes have seen; they exchange them only in steps that brought some a new one."""
        new = torch.tensor([len(self.seen_words) - self._shared_words], device=self.towers.logit_bias.device)
        torch.distributed.all_reduce(new, group=group)
        if int(new):
            self.seen_words.update(united(self.seen_words, new.device, group))
            self._shared_words = len(self.seen_words)

    def _ids(self, captions: Sequence[str]) -> Tensor:
        return self.tokenizer(captions).to(self.towers.logit_bias.device)

    def _contrastive(self, vectors: Tensor, text: Tensor, batch: Batch) -> Tensor:
        labels = None
        scale, bias = self.towers.logit_scale.exp(), self.towers.logit_bias
        if self.settings.same_label != "negative":
            labels = _label_ids(batch.labels.get(self.settings.label), len(batch)).to(text.device)
        return sigmoid_contrastive(vectors, text, scale, bias, labels, self.settings.same_label, processes())


def _projectors(choice: Teachers, shapes: Mapping[str, tuple[int, int]], width: int) -> nn.ModuleDict:
    wanted = {name: shapes[name] for name, teacher in choice.choices.items() if teacher.projector}
    sides = {name: pooled_side(math.isqrt(tokens), choice.pool) for name, (tokens, _) in wanted.items()}
    return nn.ModuleDict({name: Projector(width, teacher_width, sides[name]) for name, (_, teacher_width) in wanted.items()})


def _pick(captions: Sequence[Sequence[str]], keys: Sequence[str], generator: torch.Generator, share: Share) -> list[str]:
    for key, choices in zip(keys, captions, strict=True):
        if not choices:
            raise DataError(f"sample {key} has no caption; image-text training needs at least one")
    drawn = torch.rand(share.total, generator=generator)[list(share.rows)].tolist()
    return [choices[int(share * len(choices))] for choices, share in zip(captions, drawn, strict=True)]


def _label_ids(labels: Sequence[object] | None, count: int) -> Tensor:
    """Stable int64 group numbers, the same on every rank; -1 where a sample has no label."""
    from zlib import crc32

    if labels is None:
        return torch.full((count,), -1)
    return torch.tensor([-1 if label is None else crc32(str(label).encode()) for label in labels])
