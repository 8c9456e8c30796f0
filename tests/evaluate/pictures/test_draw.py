"""All pictures of a model in one call."""

from geolangbind.evaluate.embedder import Ours
from geolangbind.evaluate.encoded import encode_streams
from geolangbind.evaluate.pictures.album import read_pictures
from geolangbind.evaluate.pictures.draw import _find, draw_pictures


def classes_of(streams):
    metas = (own.read(i).meta.labels for own in streams["rgb"] for i in range(len(own)))
    return {labels["scene_index"]: labels["scene_class"] for labels in metas}


def test_a_model_is_drawn_beside_what_it_was_before(model, streams, tmp_path):
    third = classes_of(streams)[3]
    made = draw_pictures(tmp_path, Ours("after", "1", model), streams, ["forest"], before=Ours("before", "0", model), about=third)
    assert [path.name for path in made] == ["alignment.png", "heatmaps.png"]
    alignment, heatmaps = read_pictures(tmp_path)
    assert alignment.title == "Vectors by modality: before, after"
    assert heatmaps.title == f"Patches of after: {third.replace('_', ' ')}"


def test_one_place_is_found_in_every_modality(model, streams):
    encoded = {modality: encode_streams(Ours("m", "", model), own) for modality, own in streams.items()}
    classes = classes_of(streams)
    first = {name: min(place for place, own in classes.items() if own == name) for name in classes.values()}
    for about, place in (*first.items(), ("no such class", 0), (None, 0)):
        for own in streams.values():
            assert _find(own, encoded, "scene_index", "scene_class", about).labels["scene_index"] == (place,)
    assert _find(streams["rgb"], encoded, "no such label", "scene_class", None).keys == (streams["rgb"][0].read(0).key,)
