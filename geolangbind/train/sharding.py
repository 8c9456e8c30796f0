"""Weights split over the processes (FSDP2): which, and how to get whole tensors from the parts and parts from whole tensors.

Each process keeps its rows of every weight, of its gradient and of its optimiser state; a layer is whole only while it is at work.
Checkpoints and models are always written whole, so that they do not depend on how many processes there were.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh

    from geolangbind.train.tasks import AlignmentTask

_Named = TypeVar("_Named", bound=Tensor)


def shard(task: AlignmentTask, mesh: DeviceMesh) -> AlignmentTask:
    """Split a task's weights in place: one group per transformer block, one for all the rest.

    The kernel generators belong to the rest: it is whole throughout a step, and so they may be asked for kernels by any way, not only
    through `forward`. Left whole on every process are

    - scalars (temperature and bias), which have no rows to split; `average_whole` takes care of their gradients,
    - a frozen text tower: it has neither gradients nor optimiser state, and it runs only for captions that are new to a process,
      while a split layer works only if all processes call it together,
    - live teachers, for the same reasons; the task keeps them out of its submodules.

    Args:
        task: on its device.
        mesh: with a dimension `data_parallel` of all processes.

    Returns:
        The task.
    """
    line = mesh["data_parallel"]
    towers = task.towers
    text_trains = any(parameter.requires_grad for parameter in towers.text.parameters())
    whole = {parameter for parameter in task.parameters() if parameter.ndim == 0}
    whole |= set() if text_trains else set(towers.text.parameters())
    text_blocks = towers.text.get_submodule("transformer.resblocks").children() if text_trains else ()
    for block in (*towers.vision.blocks, *text_blocks):
        fully_shard(block, mesh=line)
    fully_shard(task, mesh=line, ignored_params=whole)
    return task


def local(tensor: Tensor) -> Tensor:
    """This process's part, sharing memory with the whole; a tensor that is not split is its own part."""
    part: Tensor = tensor.to_local() if isinstance(tensor, DTensor) else tensor
    return part.detach()


def split(tensors: Iterable[_Named]) -> list[list[_Named]]:
    """Tensors apart by kind, whole ones and parts: torch's joint operations refuse a mixture. Kinds that do not occur are left out."""
    kinds: tuple[list[_Named], list[_Named]] = ([], [])
    for tensor in tensors:
        kinds[isinstance(tensor, DTensor)].append(tensor)
    return [kind for kind in kinds if kind]


def gathered(tensors: Mapping[str, Tensor], keep: bool) -> dict[str, Tensor]:
    """Whole tensors in main memory, put together one after the other. All processes must call this together.

    Args:
        tensors: alike in names and order on all processes.
        keep: this process wants them; the others only give their parts, and get nothing.
    """
    found = {}
    for name, tensor in tensors.items():
        whole: Tensor = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
        if keep:
            found[name] = whole.detach().cpu().contiguous()
    return found


def placed_like(value: Tensor, example: Tensor) -> Tensor:
    """A whole tensor, which every process has, on the device of another and split as that one is."""
    value = value.to(example.device)
    if not isinstance(example, DTensor):
        return value
    # no process sends anything: each cuts out its own part
    parts: Tensor = distribute_tensor(value, example.device_mesh, example.placements, src_data_rank=None)
    return parts


@torch.no_grad()
def average_whole(trained: Iterable[nn.Parameter]) -> None:
    """Average over the processes the gradients of what `shard` left whole, as FSDP2 does for the rest itself.

    Args:
        trained: all parameters that are trained; nothing happens where none is split.
    """
    trained = list(trained)
    if not any(isinstance(parameter, DTensor) for parameter in trained):
        return
    for parameter in trained:
        if not isinstance(parameter, DTensor) and parameter.grad is not None:
            distributed.all_reduce(parameter.grad)
            parameter.grad /= distributed.get_world_size()
