"""Where in an image of any sensor a model finds what a text says, and what its patch features tell apart."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from torch import Tensor
from torch.nn import functional as F

from geolangbind.data.batch import Batch
from geolangbind.errors import DataError
from geolangbind.evaluate.embedder import Embedder, Patches
from geolangbind.evaluate.pictures.album import keep, plain
from geolangbind.views import rgb_view

_SHADE = 0.35
_WRAP = 18  # letters that fit above a column
_TAILS = (2, 98)  # percentiles at which scales end: single patches would otherwise take all the contrast


def readable_view(batch: Batch) -> NDArray[np.float32]:
    """Images of any sensor as people read them, (B, H, W, 3) in [0, 1]: `views.rgb_view`, but of elevation the hillshade alone."""
    view = rgb_view(batch.image, batch.channels, batch.valid).permute(0, 2, 3, 1)
    if batch.modality == "dem":
        view = view[..., 2:].expand(-1, -1, -1, 3)
    return np.asarray(view.numpy())


def similarity_maps(patches: Patches, texts: Tensor, size: tuple[int, int]) -> Tensor:
    """Cosine of every patch with every text, brought to the image's size.

    Args:
        patches: of B images.
        texts: (T, E) unit vectors.
        size: height and width of the images.

    Returns:
        (B, T, H, W) float32.

    Raises:
        DataError: the model's patches are not in the space of the texts.
    """
    if patches.joint is None:
        raise DataError("this model's patches are not in the space of its texts (Patches.joint is None); draw their features alone")
    flat = (patches.joint @ texts.T).mT.reshape(len(patches.joint), len(texts), *patches.grid)
    return F.interpolate(flat, size, mode="bilinear", align_corners=False)


def principal_colours(features: Sequence[Tensor]) -> list[NDArray[np.float64]]:
    """The first three principal components of patch features as red, green and blue, the same over all images.

    Args:
        features: (N, D) of each image; N may differ.

    Returns:
        (N, 3) in [0, 1] of each image.
    """
    stacked = torch.cat(list(features)).double().numpy()
    found = PCA(3, svd_solver="full").fit_transform(stacked)
    low, high = np.percentile(found, _TAILS, axis=0)
    colours = np.clip((found - low) / np.maximum(high - low, 1e-12), 0, 1)
    return list(np.split(colours, np.cumsum([len(each) for each in features])[:-1]))


def draw_heatmaps(out: Path, embedder: Embedder, batches: Mapping[str, Batch], words: Sequence[str], place: str = "") -> Path:
    """Draw one image of each modality: as it is, its patches against words, and the colours of its patch features.

    Args:
        out: results folder.
        embedder: with patches; where it has none in the space of the texts, the columns of words are left out.
        batches: by modality; the first image of each is drawn.
        words: sentences, a column each.
        place: what is seen in all images, for the title.
    """
    rows = {modality: embedder.patches(batch) for modality, batch in batches.items()}
    texts = embedder.texts(words) if words and all(patches.joint is not None for patches in rows.values()) else None
    headings = ["image", *(words if texts is not None else ()), "features (PCA)"]
    colours = principal_colours([patches.features[0] for patches in rows.values()])
    figure: Any = Figure(figsize=(1.85 * len(headings) + 0.9, 1.75 * len(rows) + 0.4), layout="constrained")
    panels = figure.subplots(len(rows), len(headings), squeeze=False)
    for line, (modality, batch), patches, colour in zip(panels, batches.items(), rows.values(), colours, strict=True):
        view = readable_view(batch)[0]
        size = (view.shape[0], view.shape[1])
        line[0].imshow(view)
        line[0].set_ylabel(modality.upper(), fontsize=13)
        if texts is not None:
            _draw_maps(figure, line[1:-1], view, similarity_maps(patches, texts, size)[0])
        _lay_over(line[-1], view, _enlarge(colour, patches.grid, size))
    for axes, heading in zip(panels[0], headings, strict=True):
        axes.set_title(textwrap.fill(plain(heading), _WRAP), fontsize=12)
    for axes in panels.flat:
        axes.set_xticks([])
        axes.set_yticks([])
    caption = (
        "Every row is one image. Yellow is where the patches are closest to the words above the column, violet where they are farthest; "
        "the numbers are cosines, one scale per row. Right: the first three principal components of the patch features as red, green "
        "and blue, found over all images together: patches of like colour are alike to the model, whatever the sensor. "
        "All maps are interpolated from patches and darkened where the image is dark."
    )
    return keep(out, "heatmaps", figure, "heatmaps", f"Patches of {embedder.name}{place and f': {place}'}", caption)


def _draw_maps(figure: Any, panels: Sequence[Any], view: NDArray[np.float32], maps: Tensor) -> None:  # noqa: ANN401 - matplotlib is untyped
    scale = ScalarMappable(Normalize(*np.percentile(maps.numpy(), _TAILS)), "viridis")
    for axes, found in zip(panels, maps.numpy(), strict=True):
        _lay_over(axes, view, scale.to_rgba(found)[..., :3])
    figure.colorbar(scale, ax=list(panels), shrink=0.9, pad=0.01, aspect=12, extend="both")


def _enlarge(colours: NDArray[np.float64], grid: tuple[int, int], size: tuple[int, int]) -> NDArray[np.float64]:
    planes = torch.from_numpy(colours.T.reshape(1, 3, *grid))
    return np.asarray(F.interpolate(planes, size, mode="bilinear", align_corners=False)[0].permute(1, 2, 0).numpy())


def _lay_over(axes: Any, view: NDArray[np.float32], colours: NDArray[np.floating]) -> None:  # noqa: ANN401
    """Colours (H, W, 3), darkened a little by the image, so that its edges show and the hues stay."""
    grey = view.mean(axis=2, keepdims=True)
    low, high = np.percentile(grey, _TAILS)
    axes.imshow(colours * (1 - _SHADE * (1 - np.clip((grey - low) / max(float(high - low), 1e-6), 0, 1))))
