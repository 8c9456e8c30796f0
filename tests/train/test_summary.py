"""What rows add up to, worked out by hand."""

import math

import numpy as np
import pytest

from geolangbind.train.summary import clipped_share, concerns, curve, gradient_shares, last_losses, loss_columns, median_norms


def row(step=1, modality="rgb", norm=1.0, **more):
    always = {"sensor": f"{modality}-1", "samples_per_s": 10.0, "data_wait": 0.0}
    return {"step": step, "modality": modality, "gradient_norm": norm, **always, **more}


def test_gradient_shares_are_those_of_squared_norms():
    """rgb: 9 + 9 = 18 of 20 from two of four steps; sar: 1 + 1. Clipped at 1 all four count alike."""
    rows = [row(1, "rgb", 3.0), row(2, "sar", 1.0), row(3, "rgb", 3.0), row(4, "sar", 1.0)]
    free = gradient_shares(rows, 0.0)
    assert list(free) == ["rgb", "sar"]
    assert (free["rgb"].steps, free["rgb"].gradient, free["rgb"].ratio) == pytest.approx((0.5, 0.9, 1.8))
    clipped = gradient_shares(rows, 1.0)
    assert clipped["rgb"].gradient == clipped["sar"].gradient == 0.5 and clipped["sar"].ratio == 1.0
    assert gradient_shares(rows, 2.0)["rgb"].gradient == pytest.approx(8 / 10)


def test_steps_that_were_not_applied_do_not_count():
    rows = [row(1, norm=math.inf), row(2, "sar", math.nan), row(3, norm=2.0), {"modality": "dem"}]
    assert {name: (share.steps, share.gradient) for name, share in gradient_shares(rows, 1.0).items()} == {"rgb": (1.0, 1.0)}
    assert gradient_shares([], 1.0) == {} and gradient_shares([row(norm=0.0)], 1.0)["rgb"].ratio == 1.0
    assert median_norms([*rows, row(norm=4.0)]) == {"rgb": 3.0}


def test_clipped_share():
    rows = [row(norm=norm) for norm in (0.5, 1.0, 2.0, 3.0, math.inf)]
    assert clipped_share(rows, 1.0) == 0.5 and clipped_share(rows, 0.0) == clipped_share([], 1.0) == 0.0


def test_curves_are_running_means_over_a_twelfth():
    rows = [row(step, contrastive=float(step)) for step in range(1, 25)]
    steps, values = curve([*rows, row(25), row(26, contrastive=math.nan)], "contrastive")
    np.testing.assert_array_equal(steps, np.arange(2, 25))
    np.testing.assert_allclose(values, np.arange(2, 25) - 0.5)
    steps, values = curve([row(step, contrastive=float(step)) for step in range(1, 37)], "contrastive")
    np.testing.assert_allclose(steps, values)  # three points each, in whose middle the mean stands
    assert [len(part) for part in curve([row()], "contrastive")] == [0, 0]


def test_last_losses_are_of_the_last_tenth_of_each_sensor():
    rows = [row(step, contrastive=float(step), loss=9.0) for step in range(1, 21)] + [row(21, "sar", contrastive=5.0, **{"maka/a": 2.0})]
    assert last_losses(rows) == {("rgb", "rgb-1"): {"contrastive": 19.5}, ("sar", "sar-1"): {"contrastive": 5.0, "maka/a": 2.0}}
    assert loss_columns([{"maka/a": 1, "cross_sensor": 1, "loss": 1}, {"contrastive": 1}]) == ["contrastive", "cross_sensor", "maka/a"]


def test_a_good_run_raises_no_concern():
    assert concerns([row(step, name) for step, name in enumerate(("rgb", "sar") * 5, 1)], 1.0) == []
    assert concerns([row(data_wait=1.0), row()], 0.0) == []  # the first step waits for the readers


def test_concerns_name_what_to_change():
    rows = [row(1, "hsi", 0.9), *(row(step, "rgb", 0.1) for step in range(2, 12))]
    (told,) = concerns(rows, 1.0)
    assert told.startswith("hsi dominates: 89% of the gradient from 9% of the steps.") and "sensor_group.modalities" in told
    slow = [row(data_wait=0.2, norm=5.0) for _ in range(4)]
    wait, clipping = concerns(slow, 1.0)
    assert wait.startswith("20% of the time went into waiting") and "machine.workers" in wait
    assert clipping.startswith("100% of the steps were clipped at 1:")
