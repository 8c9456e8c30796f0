"""Open-vocabulary masks: each patch takes the class whose sentences its joint vector is most like; nothing is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from geolangbind.data.shards import ShardSet, Stream
from geolangbind.errors import DataError
from geolangbind.evaluate.embedder import Embedder, Patches
from geolangbind.evaluate.heads import to_pixels
from geolangbind.evaluate.measure import Measure
from geolangbind.evaluate.overlap import Overlap
from geolangbind.evaluate.prompts import prompts, prompts_hash
from geolangbind.evaluate.segmentation import labelled, told_of

PLANET_COVER: dict[str, tuple[str, ...]] = {
    "water": ("open water", "water"),
    "trees": ("trees", "woodland", "dense forest"),
    "grass": ("green meadows", "natural grassland"),
    "crops": ("crop fields", "arable land"),
    "bare ground": ("bare rock", "sand"),
    "buildings": ("buildings", "houses"),
    "pavement": ("streets", "a road"),
    "snow": ("snow", "snow and ice"),
    "marsh": ("marsh", "reeds"),
    "solar panels": ("solar panels", "photovoltaic panels"),
}
"""Phrases for the planet's land cover in words that its captions use; a model trained on them knows no grass, ground and pavement."""


def mask_phrases(shards: ShardSet) -> Mapping[str, Sequence[str]]:
    """What to call the classes of masks: the words of the card that the shards were built from, or the planet's."""
    if "planet_version" in shards.index.provenance:
        return PLANET_COVER
    listed = shards.index.provenance.get("classes", {}).values()
    return {str(name): tuple(words) for classes in listed for name, words in classes.items()}


def words_of(classes: Mapping[int, str], phrases: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
    """Phrases of each class of the masks; a class without any goes by its name."""
    return {name: phrases.get(name) or (name.replace("_", " "),) for name in classes.values()}


@torch.no_grad()
def open_vocabulary(
    embedder: Embedder,
    streams: Sequence[Stream],
    classes: Mapping[int, str],
    *,
    phrases: Mapping[str, Sequence[str]] | None = None,
    batch_size: int = 32,
) -> list[Measure]:
    """Score masks drawn from words.

    Args:
        embedder: with joint patch vectors.
        streams: of one modality, with masks.
        classes: name by mask value, see `segmentation.mask_classes`; pixels of any other value, or without data, count nowhere.
        phrases: by class name, see `words_of`.
        batch_size: images at a time; changes nothing but speed and memory.

    Returns:
        `miou` (with the IoU of each class in the details), `miou_all_classes` and `accuracy`.

    Raises:
        DataError: no masks, no labelled pixel, several modalities, or the model's patches are not in the space of its texts.
    """
    if len({stream.modality for stream in streams}) != 1:
        raise DataError(f"masks are drawn for one modality at a time, got {[stream.modality for stream in streams]}")
    words = words_of(classes, phrases or {})
    vectors = torch.stack([embedder.texts(prompts(words[name], streams[0].modality)).mean(0) for name in classes.values()])
    parts = []
    for batch, truth in labelled(streams, classes, batch_size):
        scores = similarity(embedder.patches(batch), F.normalize(vectors, dim=-1), truth.shape[1:])
        parts.append(Overlap.best(scores, truth))
    common = {**told_of(streams), "prompts": prompts_hash(words, streams[0].modality)}
    return Overlap.join(parts).measures("open_vocabulary", "", classes.values(), common, {})


def similarity(patches: Patches, texts: Tensor, shape: Sequence[int]) -> Tensor:
    """Cosine of every pixel's patch with sentences, between patches bilinear.

    Args:
        patches: with joint vectors.
        texts: (K, E) unit vectors.
        shape: height and width of the image in pixels.

    Returns:
        (B, K, H, W).

    Raises:
        DataError: the patches have no joint vectors.
    """
    if patches.joint is None:
        raise DataError("the model's patches have no vectors in the space of its texts; open-vocabulary masks need them")
    scores = (patches.joint @ texts.T).mT.reshape(len(patches.joint), len(texts), *patches.grid)
    return to_pixels(scores, patches.grid, patches.stride, (shape[0], shape[1]))
