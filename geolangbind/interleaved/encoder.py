"""The interleaved encoder as users hold it: sequences of images, words, boxes, places and dates in, unit vectors out."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import torch
from torch import Tensor

from geolangbind.errors import CheckpointError, DataError, GeoLangBindError, SettingsError
from geolangbind.interleaved.backbone import LanguageBackbone
from geolangbind.interleaved.collate import ImageRef, collate
from geolangbind.interleaved.images import OpenImage, fitted_size, image_key, open_image
from geolangbind.interleaved.prompts import Prompt
from geolangbind.interleaved.render import Rendering, render
from geolangbind.interleaved.segments import Image, ImageFacts, Segment, as_segments
from geolangbind.interleaved.vocabulary import Vocabulary
from geolangbind.model import GeoLangBind
from geolangbind.models.eye import QwenTower
from geolangbind.models.interleaved import InterleavedConfig, InterleavedModel, matryoshka


@dataclass
class InterleavedEncoder:
    """One model for every mix of inputs. Made by `InterleavedEncoder.create` or `load_interleaved`.

    Attributes:
        model: tower, projector, tokens and backbone (a torch module).
        tower: the model that the vision tower comes from, whose statistics normalise images; or Qwen2-VL's own tower.
        vocabulary: of the backbone.
        rendering: how sequences are written.
        provenance: how it was made.
    """

    model: InterleavedModel
    tower: GeoLangBind | QwenTower
    vocabulary: Vocabulary
    rendering: Rendering
    provenance: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def create(
        cls,
        tower: GeoLangBind | QwenTower,
        backbone: LanguageBackbone,
        vocabulary: Vocabulary,
        rendering: Rendering | None = None,
        config: InterleavedConfig | None = None,
    ) -> Self:
        """Join the parts; what lies between them is drawn at random, to be trained.

        Qwen2-VL's own tower (`backbone.take_vision()`) brings its own tokens: with it, by default nothing lies between,
        and boxes and places are words.

        Raises:
            CheckpointError: the vocabulary has more entries than the backbone.
            SettingsError: tower and projector do not fit, see `InterleavedModel`.
        """
        if vocabulary.size > backbone.spec.vocab_size:
            raise CheckpointError(
                f"the vocabulary '{vocabulary.name}' has {vocabulary.size} entries, the backbone {backbone.spec.vocab_size}: not its own"
            )
        stock = isinstance(tower, QwenTower)
        config = config or InterleavedConfig(projector="none" if stock else "shuffle")
        rendering = rendering or (Rendering(box="text", place="text") if stock else Rendering())
        model = InterleavedModel(tower if isinstance(tower, QwenTower) else tower.vision, backbone, backbone.spec.hidden, config)
        return cls(model.eval(), tower, vocabulary, rendering)

    @property
    def backbone(self) -> LanguageBackbone:
        """The language backbone; it knows its origin and its adapters."""
        return self.model.backbone

    @torch.no_grad()
    def embed(
        self,
        sequences: Iterable[Sequence[Segment | str]],
        instruction: str = "",
        *,
        dim: int | None = None,
        batch_size: int = 32,
        progress: Callable[[int, int], None] | None = None,
    ) -> Tensor:
        """Embed n sequences, each any mix of segments and sensors.

        Args:
            sequences: lists of segments, for example `[[Image("scene.tif"), "What is in", PixelBox(3, 4, 20, 30)]]`.
            instruction: what the vectors are for; stands before each sequence.
            dim: cut the vectors to so many numbers (Matryoshka); all by default.
            batch_size: sequences that are computed together.
            progress: called with the numbers of sequences done and of all, after each batch.

        Returns:
            (n, D) float32 unit vectors on the CPU, in the order given.

        Raises:
            GeoLangBindError: a sequence cannot be read; says which and why.
        """
        if isinstance(sequences, str) or not isinstance(sequences, Iterable) or not isinstance(instruction, str):
            raise DataError("embed takes a list of sequences and one instruction: embed([[Image('scene.tif'), 'a harbour']], 'Find ...')")
        if batch_size < 1:
            raise SettingsError(f"batch_size is {batch_size}; it must be at least 1")
        everything: list[tuple[Segment, ...]] = []
        for number, sequence in enumerate(sequences):
            with _sequence(number):
                everything.append(as_segments(sequence))
        vectors = [torch.zeros(0, self.model.hidden)]
        for start in range(0, len(everything), batch_size):
            batch = everything[start : start + batch_size]
            vectors.append(self._embed_batch(batch, instruction, start))
            if progress is not None:
                progress(start + len(batch), len(everything))
        found = torch.cat(vectors)
        return found if dim is None else matryoshka(found, dim)

    def _embed_batch(self, batch: Sequence[Sequence[Segment]], instruction: str, start: int) -> Tensor:
        opened: dict[Hashable, OpenImage] = {}  # an image that many sequences speak of is read once
        prompts: list[Prompt] = []
        images: list[list[ImageRef]] = []
        for number, segments in enumerate(batch, start):
            with _sequence(number):
                prompt, refs = self._render(segments, instruction, opened)
            prompts.append(prompt)
            images.append(refs)
        device = next(self.model.parameters()).device
        vectors: Tensor = self.model(collate(prompts, images, self.vocabulary.pad).to(device))
        return vectors.cpu()

    def _render(self, segments: Sequence[Segment], instruction: str, opened: dict[Hashable, OpenImage]) -> tuple[Prompt, list[ImageRef]]:
        here: list[OpenImage] = []
        for image in segments:
            if isinstance(image, Image):
                key = image_key(image), image.gsd_m, image.date
                if key not in opened:
                    opened[key] = open_image(image, self.tower, self.model)
                here.append(opened[key])
        facts = [found.facts for found in here]
        prompt = render(segments, facts, self.grid_of, self.vocabulary, self.rendering, instruction)
        return prompt, [found.ref for found in here]

    def grid_of(self, facts: ImageFacts) -> tuple[int, int]:
        """Rows and columns of tokens that an opened image takes in a prompt."""
        return self.model.grid_of(*fitted_size(self.model, facts.height, facts.width))


@contextmanager
def _sequence(number: int) -> Iterator[None]:
    """Say in a failure which sequence it was."""
    try:
        yield
    except GeoLangBindError as error:
        raise type(error)(f"sequence {number}: {error}") from None
