import pytest
import torch

from geolangbind.crashtest.planet import VIEWS, planet_stacks
from geolangbind.errors import SettingsError
from geolangbind.planet.products import PRODUCTS
from geolangbind.planet.scene import draw_scene
from geolangbind.planet.write import sample_of


@pytest.fixture(scope="module")
def stacks():
    return planet_stacks(3)


def test_every_view_shows_640_m_in_units_models_are_taught(stacks):
    assert stacks.synthetic and list(stacks.views) == list(VIEWS)
    for name, batch in stacks.views.items():
        assert batch.gsd_m[0] * batch.image.shape[-1] == 640, name
        assert len(batch.bands) == batch.image.shape[1] and batch.valid is None
    assert float(stacks.views["Sentinel-2 picture"].image.max()) <= 1
    assert stacks.views["Landsat thermal"].modality == "ir"


def test_a_view_is_what_the_planets_shards_hold(stacks):
    """Scene 1 of the test split as its product stores it, up to the product's rounding."""
    product = next(product for product in PRODUCTS["msi"] if product.name == "msi-l2a")
    stored = sample_of(draw_scene(2, 1), product)
    torch.testing.assert_close(
        stacks.views["Sentinel-2 L2A"].image[1], torch.from_numpy(stored.image.astype("float32")) * 1e-4, atol=6e-5, rtol=0
    )


def test_the_same_numbers_give_the_same_stacks_and_more_places_begin_alike(stacks):
    more = planet_stacks(4)
    for name in VIEWS:
        assert torch.equal(more.views[name].image[:3], stacks.views[name].image), name
    assert not torch.equal(planet_stacks(3, seed=1).views["Sentinel-1"].image, stacks.views["Sentinel-1"].image)


def test_another_date_is_another_light_on_the_same_ground(stacks):
    assert set(stacks.again) == {name for name, view in VIEWS.items() if not view.against}
    optical, dem = "Sentinel-2 L2A", "Copernicus DEM"
    assert not torch.allclose(stacks.again[optical].image, stacks.views[optical].image, atol=1e-3)
    # greenness lifts a canopy by centimetres; the ground is the same
    assert float((stacks.again[dem].image - stacks.views[dem].image).abs().mean()) < 0.2


def test_ticks_and_limits():
    ticks = []
    planet_stacks(2, tick=lambda: ticks.append(1))
    assert len(ticks) == 2
    with pytest.raises(SettingsError, match="places must be >= 2"):
        planet_stacks(1)
