"""Each score on embedders that are right, blind or wrong in a known way."""

import numpy as np
import pytest
import torch

from geolangbind.crashtest.run import crash_test, steps
from geolangbind.errors import SensorError
from geolangbind.sensors import Unit


def run(embedder, stacks):
    return {measure.metric: measure for measure in crash_test(embedder, stacks).measures if measure.modality == "all"}


def flat(batch):
    """Means of each quadrant of the bands, in the order they come in: sensitive to everything."""
    return torch.nn.functional.adaptive_avg_pool2d(batch.image, 2).flatten(1)


def padded(vectors, width=16):
    return torch.nn.functional.pad(vectors, (0, width - vectors.shape[1]))


def test_an_oracle_reaches_every_ideal(oracle, stack):
    found = run(oracle, stack())
    for name, measure in found.items():
        # a model that does not look at pixels cannot notice that two were swapped
        expected = 0.0 if name == "swap_noticed" else measure.details["ideal"]
        assert measure.value == pytest.approx(expected, abs=1e-6), name
    assert {"same_place_auc", "unseen_auc", "date_auc", "hazy_drift", "hole_masked_drift", "stored_bare_drift"} <= set(found)


def test_a_constant_is_at_chance_everywhere(constant, stack):
    found = run(constant, stack())
    assert {name: measure.value for name, measure in found.items() if name != "coverage"} == pytest.approx(
        {name: measure.chance for name, measure in found.items() if name != "coverage"}, abs=1e-6
    )


def test_every_ordered_pair_is_measured_with_both_sensors(oracle, stack):
    test = crash_test(oracle, stack())
    pairs = {measure.details["pair"]: measure for measure in test.measures if measure.metric == "same_place_auc_pair"}
    assert len(pairs) == 3 * 2 + 1 and "new -> optical" in pairs
    assert (pairs["radar -> optical"].modality, pairs["radar -> optical"].sensors) == ("sar->msi", "sentinel-1-grd sentinel-2-l2a")
    assert (pairs["radar -> optical"].value, pairs["radar -> optical"].n, pairs["radar -> optical"].chance) == (1, 6, 0.5)
    assert np.array_equal(test.auc, np.ones((4, 4))) and np.allclose(test.strip, 1)


def test_an_embedder_that_goes_by_the_order_of_bands_is_caught(toy, stack):
    found = run(toy(lambda batch: padded(flat(batch))), stack())
    assert found["permuted_drift"].value > 0.5 and found["swapped_with_names_drift"].value > 0.5
    assert found["renamed_drift"].value == 0


def test_an_embedder_that_goes_by_names_is_not(toy, stack):
    def by_wavelength(batch):
        keys = [(w, kind) for w, kind in zip(batch.channels.wavelengths_um, batch.channels.kinds, strict=True)]
        return padded(flat(batch.with_bands(sorted(range(len(keys)), key=keys.__getitem__))))

    found = run(toy(by_wavelength), stack())
    assert found["permuted_drift"].value == found["swapped_with_names_drift"].value == 0
    assert found["swap_noticed"].value == 1


def test_an_embedder_that_cannot_tell_vv_from_vh_is_caught(toy, stack):
    """By order: renaming does not move it back. By the sum of both: the swap does not move it at all."""
    assert run(toy(lambda batch: padded(flat(batch))), stack())["swap_noticed"].value == 0
    assert run(toy(lambda batch: flat(batch.with_bands([0])) + flat(batch.with_bands([len(batch.bands) - 1]))), stack())[
        "swap_noticed"
    ].value == pytest.approx(0, abs=1e-6)


def test_an_embedder_that_does_not_look_at_the_unit_is_caught_and_one_that_refuses_is_right(toy, stack):
    blind = run(toy(lambda batch: padded(flat(batch))), stack())
    assert blind["stored_declared_drift"].value == pytest.approx(0, abs=1e-3)
    assert blind["stored_bare_drift"].details["views"]["optical"][0] > 0.01

    def careful(batch):
        if batch.unit is Unit.DN:
            raise SensorError("bare numbers")
        return padded(flat(batch))

    measure = run(toy(careful), stack())["stored_bare_drift"]
    assert measure.value == 0 and set(measure.details["refused"]) == {"optical", "radar", "picture"}


def test_an_embedder_that_ignores_the_mask_moves_under_a_masked_hole(toy, stack):
    def masked_mean(batch):
        seen = torch.ones_like(batch.image[:, :1]) if batch.valid is None else batch.valid[:, None].float()
        return padded((batch.image * seen).sum((2, 3)) / seen.sum((2, 3)))

    blind = toy(lambda batch: padded(batch.image.mean((2, 3)) + 0.3))
    told, ignored = (run(embedder, stack())["hole_masked_drift"].value for embedder in (toy(masked_mean), blind))
    assert told < ignored


def test_what_is_refused_is_named_and_counts_in_nothing_but_coverage(toy, stack):
    def optical_only(batch):
        if batch.modality == "sar":
            raise SensorError("no radar here")
        return torch.eye(64)[[int(key[1:]) for key in batch.keys]]

    test = crash_test(toy(optical_only), stack())
    found = {measure.metric: measure for measure in test.measures if measure.modality == "all"}
    assert test.refused == {"radar": "no radar here"}
    assert found["coverage"].value == 0.75 and found["same_place_auc"].value == 1
    assert "swap_noticed" not in found and set(found["date_auc"].details["views"]) == {"optical"}
    assert np.isnan(test.auc[1]).all() and np.isnan(test.strip[1])


def test_a_model_that_sees_nothing_is_covered_by_nothing(toy, stack):
    def blind(batch):
        raise SensorError("nothing at all")

    test = crash_test(toy(blind), stack())
    assert [measure.metric for measure in test.measures] == ["coverage"]
    assert test.measures[0].value == 0 and len(test.refused) == 4


def test_a_change_that_is_refused_is_told_and_not_counted(toy, stack):
    def whole_only(batch):
        if batch.valid is not None:
            raise SensorError("no holes please")
        return padded(flat(batch))

    assert "hole_masked_drift" not in run(toy(whole_only), stack())


def test_intervals_enclose_values_and_the_seed_decides_them(toy, stack):
    embedder = toy(lambda batch: padded(flat(batch)))
    first, again, other = (crash_test(embedder, stack(), seed=seed).measures for seed in (0, 0, 1))
    assert first == again and first != other
    assert all(measure.low <= measure.value <= measure.high for measure in first if measure.low is not None)


def test_parts_change_nothing_and_ticks_are_counted(toy, stack, monkeypatch):
    ticks = []
    embedder = toy(lambda batch: padded(flat(batch)))
    whole = crash_test(embedder, stack(), tick=lambda: ticks.append(1))
    assert len(ticks) == steps(stack())
    monkeypatch.setattr("geolangbind.crashtest.measures._BATCH", 4)
    parts = crash_test(embedder, stack())
    assert [m.value for m in parts.measures] == pytest.approx([m.value for m in whole.measures], abs=1e-6)


def test_the_adapter_of_the_documentation_runs(monkeypatch):
    """docs/crash-test.md: an object with a name, an identity and one function."""
    import re
    from pathlib import Path

    from geolangbind.crashtest import planet

    monkeypatch.setattr(planet, "VIEWS", {name: planet.VIEWS[name] for name in ("Sentinel-2 L2A", "Sentinel-2 L1C", "EnMAP")})
    text = (Path(__file__).resolve().parents[2] / "docs" / "crash-test.md").read_text(encoding="utf-8")
    names = {}
    exec(re.search(r"```python\n(.*?)```", text, re.DOTALL).group(1).replace("places=16", "places=4"), names)
    assert set(names["test"].refused) == {"EnMAP"} and names["test"].model == "mean colour"
