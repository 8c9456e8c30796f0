"""Maps of patches: values in closed form, colours that agree between images, pictures of every sensor."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from geolangbind.data.loader import iterate_all
from geolangbind.errors import DataError
from geolangbind.evaluate.embedder import Ours, Patches
from geolangbind.evaluate.pictures import heatmap
from geolangbind.evaluate.pictures.heatmap import draw_heatmaps, principal_colours, readable_view, similarity_maps
from geolangbind.views import rgb_view


@pytest.fixture(scope="module")
def batches(streams):
    return {modality: next(iter(iterate_all(own[0], 1))) for modality, own in streams.items()}


class Apart(Ours):
    """A model whose patches do not lie in the space of the texts."""

    def patches(self, batch):
        return replace(super().patches(batch), joint=None)


def test_a_map_holds_the_cosines_where_the_patches_are():
    joint = torch.eye(4)[None]  # four patches, each along an axis of its own
    maps = similarity_maps(Patches(joint, (2, 2), joint), torch.eye(4)[[0, 3]], (6, 6))
    assert maps.shape == (1, 2, 6, 6)
    corners = maps[0, :, ::5, ::5]
    assert torch.equal(corners, torch.tensor([[[1.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 1.0]]]))
    assert maps[0, 0, 1, 1] == 1, "the centre of the first patch"
    assert 0 < maps[0, 0, 2, 2] < 1, "between patches"


def test_patches_without_joint_vectors_are_refused():
    with pytest.raises(DataError, match=r"patches are not in the space of its texts .*draw their features alone"):
        similarity_maps(Patches(torch.zeros(1, 4, 3), (2, 2)), torch.zeros(1, 3), (4, 4))


def test_like_patches_have_like_colours_in_all_images():
    found = torch.randn(20, 8, generator=torch.Generator().manual_seed(0))
    first, second = principal_colours([found, found[5:9]])
    assert (first.shape, second.shape) == ((20, 3), (4, 3))
    assert np.allclose(first[5:9], second)
    assert first.min() >= 0 and first.max() <= 1


def test_the_first_colour_is_the_direction_of_most_variance():
    line = torch.linspace(-1, 1, 11)[:, None] * torch.tensor([3.0, 4.0, 0.0, 0.0]) + 1e-3 * torch.randn(
        11, 4, generator=torch.Generator().manual_seed(0)
    )
    (colours,) = principal_colours([line])
    rank = np.argsort(colours[:, 0])
    assert rank[0] in (0, 10) and abs(np.corrcoef(colours[:, 0], np.arange(11))[0, 1]) > 0.99


def test_views_are_those_of_the_teachers_but_elevation_is_its_hillshade(batches):
    for modality, batch in batches.items():
        view, plain = readable_view(batch), rgb_view(batch.image, batch.channels, batch.valid).permute(0, 2, 3, 1).numpy()
        assert view.shape == plain.shape
        assert np.array_equal(view, plain if modality != "dem" else np.repeat(plain[..., 2:], 3, axis=3))


@pytest.mark.parametrize(("kind", "columns"), [(Ours, 4), (Apart, 2)])
def test_every_sensor_gets_a_row_and_words_a_column_if_the_model_can(model, batches, tmp_path, monkeypatch, kind, columns):
    drawn = []

    def watch(out, name, figure, section, title, caption):
        drawn.append((figure, title))
        return keep(out, name, figure, section, title, caption)

    keep = heatmap.keep
    monkeypatch.setattr(heatmap, "keep", watch)
    path = draw_heatmaps(tmp_path, kind("tiny", "", model), batches, ["forest", "a $ river"], "airport")
    ((figure, title),) = drawn
    assert path.is_file() and title == "Patches of tiny: airport"
    panels = [axes for axes in figure.axes if axes.get_images()]
    assert len(panels) == 3 * columns
    assert [axes.get_ylabel() for axes in panels if axes.get_ylabel()] == ["RGB", "SAR", "DEM"]
