"""Several processes as one: how many there are, what they must agree on, and values they share."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any
from zlib import crc32

import torch
from torch import Tensor, distributed

from geolangbind.errors import SettingsError
from geolangbind.train.run_settings import Machine
from geolangbind.train.sharding import shard

if TYPE_CHECKING:
    from lightning.fabric.strategies import Strategy
    from torch.distributed import ProcessGroup


def processes() -> ProcessGroup | None:
    """The group of all processes, or None where there is only this one."""
    if not (distributed.is_available() and distributed.is_initialized()) or distributed.get_world_size() == 1:
        return None
    group: ProcessGroup | None = distributed.group.WORLD
    return group


def launched(machine: Machine) -> tuple[int, int]:
    """Processes per node and nodes: those that torchrun or SLURM's srun started, else those of the settings.

    Raises:
        SettingsError: the settings ask for something else than was started, or the nodes differ in their number of processes.
    """
    asked, environment = (machine.devices, machine.num_nodes), os.environ
    # the order in which Fabric looks: torchrun may itself run under SLURM; a shell that SLURM lent ("bash", "interactive") starts nothing
    if distributed.is_available() and distributed.is_torchelastic_launched():
        starter, total = "torchrun", int(environment["WORLD_SIZE"])
        started = (int(environment["LOCAL_WORLD_SIZE"]), int(environment["GROUP_WORLD_SIZE"]))
    elif "SLURM_NTASKS" in environment and environment.get("SLURM_JOB_NAME") not in ("bash", "interactive"):
        starter, total, nodes = "SLURM", int(environment["SLURM_NTASKS"]), int(environment.get("SLURM_NNODES", "1"))
        started = (int(environment.get("SLURM_NTASKS_PER_NODE", total // nodes)), nodes)
        if total > 1 and "SLURM_NTASKS_PER_NODE" not in environment:
            raise SettingsError(f"SLURM started {total} tasks; ask for them with --ntasks-per-node={started[0]}, not with --ntasks")
    else:
        return asked
    if started[0] * started[1] != total:
        raise SettingsError(f"{starter} started {total} processes on {started[1]} nodes; start the same number on every node")
    if asked not in ((1, 1), started):
        raise SettingsError(
            f"machine.devices={asked[0]} machine.num_nodes={asked[1]}, but {starter} started {started[0]} processes on each of "
            f"{started[1]} nodes; leave both settings out under {starter}"
        )
    return started


def strategy(devices: int, num_nodes: int, chosen: str = "auto") -> Strategy | str:
    """How Fabric keeps the processes together: nothing for one process, else averaged gradients (DDP) or split weights (FSDP2).

    A step trains the parameters of its sensor only (radar codes rest while an RGB batch is looked at), so DDP has to look for those that
    got no gradient; it leaves them without one on all processes, and the optimiser passes over them, as in a single process.
    """
    if devices * num_nodes == 1:
        return "auto"
    from lightning.fabric.strategies import DDPStrategy, ModelParallelStrategy

    if chosen == "fsdp":
        return ModelParallelStrategy(shard, data_parallel_size=devices * num_nodes, tensor_parallel_size=1)
    return DDPStrategy(find_unused_parameters=True)


def agree(facts: Mapping[str, Any], device: torch.device, group: ProcessGroup | None) -> None:
    """Check that a fact is the same on all processes: nodes that see different files would train together and mean different things.

    Args:
        facts: JSON values by name.
        device: where collectives take place.
        group: the processes; None does nothing.

    Raises:
        SettingsError: on every process, naming what differs.
    """
    if group is None:
        return
    own = torch.tensor([crc32(json.dumps(value, sort_keys=True).encode()) for value in facts.values()], dtype=torch.int64, device=device)
    found = [torch.empty_like(own) for _ in range(group.size())]
    distributed.all_gather(found, own, group=group)
    different = [name for number, name in enumerate(facts) if len({int(row[number]) for row in found}) > 1]
    if different:
        raise SettingsError(
            f"the processes of this run differ in {', '.join(different)} (here: {', '.join(str(facts[name]) for name in different)}); "
            "data and run_dir must be the same shared folders on every node, and the command the same"
        )


def averaged(values: Mapping[str, Tensor], group: ProcessGroup) -> dict[str, Tensor]:
    """Replace scalars by their mean over the processes, keeping this process's gradients.

    What is logged is then that of the whole batch, and a value that is not finite is so on all processes: all stop, none waits.
    """
    mean = torch.stack([value.detach().float() for value in values.values()])
    distributed.all_reduce(mean, group=group)
    mean /= group.size()
    return {name: value + (whole - value.detach()) for (name, value), whole in zip(values.items(), mean, strict=True)}


def united(words: Iterable[str], device: torch.device, group: ProcessGroup) -> set[str]:
    """The union of a set of strings over the processes."""
    text = torch.frombuffer(bytearray(json.dumps(sorted(words)).encode()), dtype=torch.uint8).to(device)
    lengths = torch.zeros(group.size(), dtype=torch.int64, device=device)
    lengths[group.rank()] = len(text)
    distributed.all_reduce(lengths, group=group)
    longest = int(lengths.max())
    rows = [torch.empty(longest, dtype=torch.uint8, device=device) for _ in range(group.size())]
    distributed.all_gather(rows, torch.nn.functional.pad(text, (0, longest - len(text))), group=group)
    told = [json.loads(bytes(row[: int(length)].tolist())) for row, length in zip(rows, lengths, strict=True)]
    return {str(word) for part in told for word in part}
