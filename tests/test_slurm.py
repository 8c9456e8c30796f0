"""The shipped SLURM launcher: what it asks of the cluster follows the run's own settings."""

import pytest

from geolangbind.errors import SettingsError
from geolangbind.hydra_entry import compose
from geolangbind.paths import conf_dir
from geolangbind.train.settings import from_config

OVERRIDES = ["hydra/launcher=slurm", "machine.devices=4", "machine.num_nodes=2", "sensor_group=rgb", "hydra.launcher.partition=gpu"]


def launcher(overrides):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="needs geolangbind[slurm]")
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.utils import instantiate

    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = hydra_compose("train", overrides=overrides, return_hydra_config=True)
        config.hydra.job.num = 0
        return instantiate(config.hydra.launcher)


def test_it_asks_for_what_the_run_uses():
    made = launcher(OVERRIDES)
    assert type(made).__name__ == "SlurmLauncher"
    asked = {name: made.params[name] for name in ("nodes", "tasks_per_node", "gpus_per_node", "partition", "timeout_min")}
    assert asked == {"nodes": 2, "tasks_per_node": 4, "gpus_per_node": 4, "partition": "gpu", "timeout_min": 1440}
    settings = from_config(compose("train", [*OVERRIDES, "run_dir=runs/rgb"]))
    assert (settings.machine.devices, settings.machine.num_nodes, settings.resume) == (4, 2, "auto")


def test_the_batch_script_asks_for_gpus_time_and_requeueing():
    """As submitit writes it: one task per GPU under srun, told before the limit, put back in the queue."""
    params = dict(launcher(OVERRIDES).params)
    from submitit.slurm.slurm import _make_sbatch_string

    names = ("nodes", "gpus_per_node", "cpus_per_task", "partition", "signal_delay_s", "additional_parameters")
    script = _make_sbatch_string(
        "train", "jobs", time=params["timeout_min"], ntasks_per_node=params["tasks_per_node"], **{name: params[name] for name in names}
    )
    wanted = (
        "nodes=2",
        "gpus-per-node=4",
        "ntasks-per-node=4",
        "time=1440",
        "requeue",
        "partition=gpu",
        "signal=USR2@120",
        "cpus-per-task=8",
    )
    lines = {line.removeprefix("#SBATCH --") for line in script.splitlines()}
    assert set(wanted) <= lines and params["max_num_timeout"] > 0 and "srun" in script


def test_without_the_plugin_the_way_out_is_told(monkeypatch):
    from hydra import errors

    def absent(*_, **__):
        raise errors.MissingConfigException("In 'hydra/launcher/slurm': Could not load 'hydra/launcher/submitit_slurm'.", "x")

    monkeypatch.setattr("hydra.compose", absent)
    with pytest.raises(SettingsError, match=r"hydra/launcher=slurm needs .*pip install 'geolangbind\[slurm\]'"):
        compose("train", ["hydra/launcher=slurm"])
