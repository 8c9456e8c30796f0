"""Memory is given out again when nobody holds it, and never before."""

import gc
import pickle

import numpy as np
import pytest
import torch

from geolangbind.data.buffers import Buffers


def _address(array):
    return array.__array_interface__["data"][0]


def test_memory_comes_back_once_it_is_let_go():
    buffers = Buffers()
    first = buffers.take((2, 3), np.float32)
    where = _address(first)
    assert first.shape == (2, 3) and first.dtype == np.float32 and first.flags.writeable
    del first
    assert _address(buffers.take((5,), np.uint8)) == where


@pytest.mark.parametrize(
    "keep",
    [
        lambda array: array,
        lambda array: array[1:, ::-1],
        lambda array: memoryview(array),
        lambda array: np.frombuffer(memoryview(array).cast("B"), np.uint8)[3:],
        torch.from_numpy,
        lambda array: torch.from_numpy(array)[1].view(-1),
        lambda array: torch.from_numpy(array).untyped_storage(),
        lambda array: torch.from_numpy(array).numpy().T,
        lambda array: torch.empty(0).set_(torch.from_numpy(array)),
    ],
    ids=["array", "view", "memoryview", "frombuffer", "tensor", "tensor view", "storage", "array of a tensor", "set_"],
)
def test_whoever_holds_a_part_keeps_it(keep):
    buffers = Buffers(2)
    array = buffers.take((4, 8), np.float32)
    where = _address(array)
    held = keep(array)
    del array
    assert all(_address(buffers.take((4, 8), np.float32)) != where for _ in range(3))
    del held
    assert where in {_address(array) for array in [buffers.take((4, 8), np.float32) for _ in range(2)]}


def test_as_many_pieces_are_kept_as_are_held_at_once_and_the_largest_serve_all():
    buffers = Buffers(3)
    places = set()
    for size in (10, 1000, 10, 500, 1000) * 4:
        array = buffers.take((size,), np.float64)
        places.add(_address(array))
        del array
    assert len(places) <= 2  # 10, then 1000 for all
    held = [buffers.take((1000,), np.float64) for _ in range(5)]  # more than are kept: new memory
    assert len({_address(array) for array in held}) == 5
    del held
    gc.collect()
    again = [buffers.take((1000,), np.float64) for _ in range(3)]
    assert len({_address(array) for array in again}) == 3


def test_a_copy_for_another_process_begins_empty():
    buffers = Buffers(3)
    mine = buffers.take((4,), np.uint8)
    copy = pickle.loads(pickle.dumps(buffers))  # noqa: S301 - our own bytes
    assert _address(copy.take((4,), np.uint8)) != _address(mine)
