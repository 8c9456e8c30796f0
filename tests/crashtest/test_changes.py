import pytest
import torch

from geolangbind.crashtest import changes
from geolangbind.sensors import Unit


@pytest.fixture(scope="module")
def views(stack):
    return stack().views


def test_permuted_bands_keep_their_descriptions(views):
    before, after = changes.permuted(views["optical"])
    assert after.bands == ("B08", "B04", "B03", "B02")
    assert torch.equal(after.image[:, 0], before.image[:, 3])
    assert after.channels.wavelengths_um == before.channels.wavelengths_um[::-1]


def test_renamed_bands_are_the_same_bands_of_the_same_sensor(views):
    from geolangbind.sensors import get_sensor

    for batch in views.values():
        _, after = changes.renamed(batch)
        assert not set(after.bands) & set(batch.bands)
        assert get_sensor(after.sensor).name == batch.sensor
        assert tuple(get_sensor(after.sensor).band(name).name for name in after.bands) == batch.bands
        assert torch.equal(after.image, batch.image)


def test_fewer_bands_are_every_second(views):
    assert changes.fewer_bands(views["optical"])[1].bands == ("B02", "B04")
    assert changes.fewer_bands(views["radar"])[1].bands == ("VV",)
    assert changes.fewer_bands(changes.fewer_bands(views["radar"])[1]) is None


@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize("name", ["optical", "radar", "picture"])
def test_declared_numbers_are_the_same_values(stack, name, holes):
    batch = stack(holes=holes).views[name]
    before, after = changes.stored_declared(batch)
    torch.testing.assert_close(after.image, before.image, atol=1e-6, rtol=0)
    assert (after.unit, after.sensor, after.bands, after.keys) == (batch.unit, batch.sensor, batch.bands, batch.keys)
    step = {"optical": 1e-4, "radar": 0.01, "picture": 1 / 255}[name]
    assert (before.image - batch.image).abs().max() <= step / 2 + 1e-6
    assert (after.valid is None) == (batch.valid is None)
    if holes:
        assert torch.equal(after.valid, batch.valid)


def test_bare_numbers_are_whole_and_say_that_nothing_is_known_of_them(views):
    _, after = changes.stored_bare(views["optical"])
    assert after.unit is Unit.DN
    # the scale of Sentinel-2 products since baseline 04.00: DN = reflectance * 10000 + 1000
    assert torch.equal(after.image, after.image.round())
    torch.testing.assert_close(after.image, views["optical"].image * 10000 + 1000, atol=0.51, rtol=0)


def test_swapped_pixels_keep_their_names_and_swapped_names_follow_their_pixels(views):
    radar = views["radar"]
    _, pixels = changes.swapped_pixels(radar)
    _, both = changes.swapped_with_names(radar)
    assert pixels.bands == ("VV", "VH") and both.bands == ("VH", "VV")
    assert torch.equal(pixels.image, both.image) and not torch.equal(pixels.image, radar.image)
    assert changes.swapped_pixels(views["optical"]) is None and changes.swapped_with_names(views["picture"]) is None


def test_half_the_resolution_averages_reflectance_and_power(views):
    _, optical = changes.coarser(views["optical"])
    torch.testing.assert_close(optical.image[:, :, 0, 0], views["optical"].image[:, :, :2, :2].mean((2, 3)))
    _, radar = changes.coarser(views["radar"])
    power = (10 ** (views["radar"].image[:, :, :2, :2] / 10)).mean((2, 3))
    torch.testing.assert_close(radar.image[:, :, 0, 0], 10 * torch.log10(power))
    assert optical.gsd_m[0] == 20 and optical.image.shape[-1] == 8


def test_double_the_resolution_shows_the_same_mean(views):
    _, after = changes.finer(views["optical"])
    assert after.gsd_m[0] == 5 and after.image.shape[-2:] == (32, 32)
    torch.testing.assert_close(after.image.mean((2, 3)), views["optical"].image.mean((2, 3)), rtol=0.02, atol=0)


def test_holes_are_a_quarter_and_differ_from_place_to_place(views):
    batch = views["optical"]
    _, masked = changes.hole_masked(batch)
    assert (~masked.valid).flatten(1).float().mean(1).tolist() == [0.25] * len(batch)
    assert not bool(masked.image[(~masked.valid)[:, None].expand_as(masked.image)].any())
    assert len({tuple(plane.flatten().tolist()) for plane in masked.valid}) > 1
    _, filled = changes.hole_filled(batch)
    assert filled.valid is None
    hole = ~masked.valid[0]
    torch.testing.assert_close(filled.image[0, :, hole].mean(1), batch.image[0].mean((1, 2)))
    assert torch.equal(filled.image[0, :, ~hole], batch.image[0, :, ~hole])


def test_haze_adds_most_to_blue_and_nothing_to_other_units(views):
    batch = views["optical"]
    added = (changes.hazy(batch)[1].image - batch.image).mean((0, 2, 3))
    wavelengths = torch.tensor(batch.channels.wavelengths_um)
    torch.testing.assert_close(added, 0.05 * (wavelengths / 0.55) ** -1.3, rtol=1e-4, atol=1e-6)
    assert changes.hazy(views["radar"]) is None and changes.hazy(views["picture"]) is None


def test_what_needs_whole_images_is_not_made_of_images_with_holes(stack):
    batch = stack(holes=True).views["optical"]
    assert changes.coarser(batch) is None and changes.finer(batch) is None
    assert not bool(changes.hazy(batch)[1].image[:, :, :2].any())


def test_every_change_has_words_and_leaves_its_input_alone(views):
    kept = {name: batch.image.clone() for name, batch in views.items()}
    for change in changes.CHANGES:
        assert change.title and change.means
        for name, batch in views.items():
            change.make(batch)
            assert torch.equal(batch.image, kept[name]), change.name
