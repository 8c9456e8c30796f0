"""Which samples show one place, and the second sensor of a step."""

from types import SimpleNamespace

import numpy as np
import pytest

from geolangbind.data.loader import make_loader
from geolangbind.data.order import MixtureOrder
from geolangbind.data.places import Partner, Places, place_of, split
from geolangbind.data.shards import ShardSet
from geolangbind.errors import SettingsError
from geolangbind.planet.write import write_planet


class Keys:
    """A stream that is keys only."""

    def __init__(self, modality, *shards):
        self.modality, self.shards = modality, [SimpleNamespace(keys=keys) for keys in shards]

    def locate(self, indices):
        flat = [(number, place) for number, shard in enumerate(self.shards) for place in range(len(shard.keys))]
        return zip(*(flat[index] for index in indices), strict=True)


RGB = Keys("rgb", ("rgb-a", "rgb-b"), ("rgb-c", "rgb-d"))
SAR = Keys("sar", ("sar-c", "sar-x", "sar-a"))
SAR_OTHER = Keys("sar", ("sar-b",))
DEM = Keys("dem", ("dem-d",))


def places(*streams, may=None, share=1.0):
    return Places(streams, may or (True,) * len(streams), share, seed=3)


def test_a_place_is_the_key_behind_the_first_dash():
    assert [place_of(key) for key in ("rgb-0-0012", "sar-0-0012", "tile", "a-")] == ["0-0012", "0-0012", "tile", "a-"]


def test_rows_and_samples_of_the_partner_by_hand():
    found = places(RGB, SAR).partner(0, 0, [3, 0, 2])
    assert (found.stream, found.rows.tolist(), found.samples.tolist()) == (1, [1, 2], [2, 0])
    assert places(RGB, SAR).partner(0, 1, [1]) is None  # x is seen by radar alone
    assert places(RGB, SAR, may=(True, False)).partner(0, 0, [0]) is None
    assert places(SAR, SAR_OTHER).partner(0, 0, [0, 1, 2]) is None  # one modality


def test_modalities_are_drawn_evenly_and_streams_by_what_they_cover():
    told = places(RGB, SAR, SAR_OTHER, DEM)
    drawn = [told.partner(step, 0, [0, 1, 2, 3]).stream for step in range(3000)]
    shares = np.bincount(drawn, minlength=4) / 3000
    # radar 1/2, of which two of three places lie in the first stream; elevation 1/2. Four deviations of the binomial
    assert np.abs(shares - [0, 1 / 3, 1 / 6, 1 / 2]).max() < 4 * (0.25 / 3000) ** 0.5
    assert drawn == [told.partner(step, 0, [0, 1, 2, 3]).stream for step in range(3000)]


def test_only_a_share_of_steps_sees_a_second_sensor():
    told = places(RGB, SAR, share=0.25)
    seen = sum(told.partner(step, 0, [0]) is not None for step in range(2000))
    assert abs(seen / 2000 - 0.25) < 4 * (0.25 * 0.75 / 2000) ** 0.5


def test_runs_without_any_pair_are_refused():
    places(RGB, SAR).require_pairs(1)
    with pytest.raises(SettingsError, match=r"no place is seen by two modalities.*behind the first '-'"):
        places(RGB, Keys("sar", ("sar-x",))).require_pairs(1)
    with pytest.raises(SettingsError):
        places(SAR, SAR_OTHER).require_pairs(2)


def test_ranks_take_their_own_rows():
    partner = Partner(1, np.array([0, 2, 3, 5]), np.array([7, 8, 9, 10]))
    parts = [split(partner, 6, rank, 3) for rank in range(3)]
    assert [(part.rows.tolist(), part.samples.tolist()) for part in parts] == [([0], [7, 7]), ([0, 1], [8, 9]), ([1], [10, 10])]
    assert split(Partner(1, np.array([0, 1]), np.array([7, 8])), 6, 0, 3) is None


def test_batches_come_with_their_places_in_another_sensor(tmp_path):
    write_planet(tmp_path, 8, seed=2, modalities=("rgb", "sar", "dem"), workers=1, progress=False)
    streams = ShardSet.open(tmp_path).streams
    told = Places(streams, (True,) * len(streams), 1.0, 0)
    order = MixtureOrder([len(stream) for stream in streams], [1.0] * len(streams), 4, 0)
    modalities = set()
    for workers in (0, 2):
        for batch in make_loader(streams, order, start_step=0, stop_step=6, places=told, workers=workers):
            shown = [place_of(batch.keys[row]) for row in batch.partner_rows]
            assert [place_of(key) for key in batch.partner.keys] == shown and batch.partner.modality != batch.modality
            modalities.add(batch.partner.modality)
    assert len(modalities) > 1
