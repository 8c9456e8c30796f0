"""Changes: one thing differs, the sentence says which and where, the ground stays."""

import re

import numpy as np

from geolangbind.planet.changes import change_sentences, draw_change, draw_later
from geolangbind.planet.products import PRODUCTS
from geolangbind.planet.regions import look
from geolangbind.planet.staged import draw_staged
from geolangbind.planet.terrain import bare_ground
from geolangbind.planet.write import sample_of


def test_one_thing_differs_and_the_sentence_says_so() -> None:
    every = {kind: change_sentences(kind) for kind in ("built", "removed", "swapped")}
    # twelve looks: five kinds of one colour, warehouses in four, tanks in three
    assert [len(set(sentences)) for sentences in every.values()] == [12 * 9, 12 * 9, 12 * 11 * 9]
    kinds = set()
    for index in range(60):
        change = draw_change(9, index)
        assert change == draw_change(9, index) and change.before == draw_staged(9, index) and change.after == draw_later(9, index)
        gone = [thing for thing in change.before.objects if thing not in change.after.objects]
        new = [thing for thing in change.after.objects if thing not in change.before.objects]
        assert (len(gone), len(new)) == {"built": (0, 1), "removed": (1, 0), "swapped": (1, 1)}[change.kind]
        assert change.sentence in every[change.kind] and change.sentence not in change.others
        for thing in (*gone, *new):
            assert f"a {look(thing)}" in change.sentence
        x, y = (new or gone)[0].center_m
        row, column = ("north", "", "south")[int(y // 213.4)], ("west", "", "east")[int(x // 213.4)]
        assert re.search(r"in the (.+)", change.sentence)[1] == "-".join(filter(None, (row, column))) or "middle"
        if change.kind == "swapped":
            assert len(change.others) >= 2 and all(any(other in every[kind] for kind in every) for other in change.others)
        kinds.add(change.kind)
    assert kinds == set(every)


def test_a_second_visit_has_its_own_date_and_noise_on_the_same_ground() -> None:
    change = draw_change(9, 4)
    assert 1 <= round((change.after.date - change.before.date).days / 365) <= 3
    np.testing.assert_array_equal(bare_ground(change.after), bare_ground(change.before))
    before, after = (sample_of(scene, PRODUCTS["rgb"][0]) for scene in (change.before, change.after))
    assert before.key == after.key and before.meta.datetime != after.meta.datetime
    assert np.mean(before.image != after.image) > 0.5
    assert np.corrcoef(before.image.ravel(), after.image.ravel())[0, 1] > 0.7
    assert change.after.rng("layout").random() == change.before.rng("layout").random()
