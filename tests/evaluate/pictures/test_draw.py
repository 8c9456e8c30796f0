"""All pictures of a model in one call."""

from geolangbind.evaluate.embedder import Ours
from geolangbind.evaluate.encoded import encode_streams
from geolangbind.evaluate.pictures.album import read_pictures
from geolangbind.evaluate.pictures.draw import _find, draw_pictures


def test_a_model_is_drawn_beside_what_it_was_before(model, streams, tmp_path):
    made = draw_pictures(tmp_path, Ours("after", "1", model), streams, ["forest"], before=Ours("before", "0", model), chosen="3")
    assert [path.name for path in made] == ["alignment.png", "heatmaps.png"]
    alignment, heatmaps = read_pictures(tmp_path)
    assert alignment.title == "Vectors by modality: before, after"
    third = next(meta for own in streams["rgb"] for i in range(len(own)) if (meta := own.read(i).meta).labels["scene_index"] == 3)
    assert heatmaps.title == f"Patches of after: {third.labels['scene_class'].replace('_', ' ')}"


def test_one_place_is_found_in_every_modality(model, streams):
    encoded = {modality: encode_streams(Ours("m", "", model), own) for modality, own in streams.items()}
    for chosen, place in (("7", 7), (None, 0)):
        for own in streams.values():
            assert _find(own, encoded, "scene_index", chosen).labels["scene_index"] == (place,)
    assert _find(streams["rgb"], encoded, "no such label", None).keys == (streams["rgb"][0].read(0).key,)
