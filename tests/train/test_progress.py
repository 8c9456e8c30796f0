"""What the bar says."""

import pytest

from geolangbind.train.progress import ProgressBar, rates, told


def row(step, samples_per_s, data_wait, loss=1.0):
    return {"step": step, "samples_per_s": samples_per_s, "data_wait": data_wait, "loss": loss}


def test_rates_weigh_steps_by_the_time_they_took():
    """Batches of 60: 1 s without waiting, then 3 s of which 2 s waited: 120 samples in 4 s, half of it waiting."""
    rows = [row(1, 60.0, 0.0), row(2, 20.0, 2 / 3)]
    assert rates(rows) == pytest.approx((30.0, 0.5)) and rates([]) == (0.0, 0.0)


def test_the_end_of_the_bar():
    assert told([row(1, 60.0, 0.0, 2.0), row(2, 20.0, 2 / 3, 1.0)]) == "loss 1.500  30/s  data wait 50%"


def test_the_bar_goes_on_where_the_run_does_and_forgets_old_steps(settings_for):
    settings = settings_for(steps=100, progress=True)
    with ProgressBar(settings, 10, False) as bar:  # not the process that shows it
        for step in range(11, 91):
            bar.update(row(step, 10.0 if step > 40 else 1.0, 0.0))
    (task,) = bar._progress.tasks
    assert (task.completed, task.total, task.fields["told"]) == (90, 100, "loss 1.000  10/s  data wait 0%")
    assert bar._progress.disable and not ProgressBar(settings, 0, True)._progress.disable
    assert ProgressBar(settings_for(), 0, True)._progress.disable
