"""The dual encoder: what it cuts out, what it reads, and how long it trains."""

import pytest
import torch

import geolangbind
from geolangbind.demo_interleaved.dual import CONTEXT, FORMS, dual_encoder, square
from geolangbind.demo_interleaved.fit import Recipe, fit
from geolangbind.instruct.rows import Row
from geolangbind.interleaved.segments import ImageFacts, PixelBox, Text


@pytest.fixture(scope="module")
def tiny():
    return geolangbind.load("planet-tiny")


def facts(side=64):
    return ImageFacts("s", (), side, side)


@pytest.mark.parametrize(
    ("box", "side", "rows", "columns"),
    [
        ((20, 24, 28, 32), 64, (22, 34), (18, 30)),  # 8 pixels and a quarter of them on each side, around (24, 28)
        ((0, 0, 8, 4), 64, (0, 12), (0, 12)),
        ((60, 62, 64, 64), 64, (58, 64), (58, 64)),
        ((0, 0, 64, 64), 64, (0, 64), (0, 64)),
        ((40, 48, 56, 64), 128, (22, 34), (18, 30)),  # the same square of an image seen at half its size
    ],
)
def test_a_square_with_a_margin_is_cut_and_moved_in(box, side, rows, columns):
    found = square(PixelBox(*box), facts(side), 64, 64)
    assert [(part.start, part.stop) for part in found] == [rows, columns]


def test_a_whole_image_is_seen_as_the_model_saw_it_before(tiny, fake):
    images = fake.images(pixels=torch.randn(2, 3, 64, 64))
    model = dual_encoder(tiny).eval()
    with torch.no_grad():
        found = model([(fake.image(0),), (fake.image(1),)], images)
        torch.testing.assert_close(found, tiny.encode_channels(images.pixels, images.channels))


def test_a_cut_out_is_its_pixels_enlarged(tiny, fake):
    pixels = torch.randn(1, 3, 64, 64)
    pixels[:, :, 22:34, 18:30] = torch.tensor([0.5, -1, 2])[None, :, None, None]
    even = torch.tensor([0.5, -1, 2])[None, :, None, None].expand(1, 3, 64, 64)
    images = fake.images(pixels=pixels)
    model = dual_encoder(tiny).eval()
    with torch.no_grad():
        found = model([(fake.image(0), Text("What is in"), PixelBox(20, 24, 28, 32))], images)
        torch.testing.assert_close(found, tiny.encode_channels(even, images.channels))


def test_signs_points_and_long_texts_are_read(tiny):
    model = dual_encoder(tiny).eval()
    ids = model.words.tokenizer(["latitude -4.5000, longitude 10.0000", "latitude 4.5000, longitude -10.0000", "a " * 30])
    assert ids.shape == (3, CONTEXT)
    assert not torch.equal(ids[0], ids[1])
    assert (ids[2] != model.words.tokenizer.pad_id).sum() == 32  # with start and end
    assert tiny.tokenizer(["a tank"]).shape == (1, 24)  # the model's own is left as it was


def test_both_towers_learn_in_both_forms_and_the_model_stays_as_it_was(tiny, fake):
    images = fake.images(pixels=torch.randn(4, 3, 64, 64))
    rows = [Row(str(n), "", (fake.image(n), Text("What is in"), PixelBox(8, 8, 40, 40)), (Text(f"tank {n}"),)) for n in range(4)]
    model = dual_encoder(tiny)
    own, before = ({name: value.clone() for name, value in part.state_dict().items()} for part in (tiny.towers, model))
    fit(model, images, lambda step: rows, Recipe(2, forms=FORMS), "dual", progress=False)
    changed = {name.split(".")[0] for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"views", "words"}
    assert all(torch.equal(value, own[name]) for name, value in tiny.towers.state_dict().items())
