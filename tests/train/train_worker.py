"""One of several processes that train together, one run after the other. Run by test_together.py, here and of the interleaved encoder."""

import json
import os
import sys

import torch
from torch import distributed

from geolangbind.instruct import run as interleaved
from geolangbind.instruct import settings as interleaved_settings
from geolangbind.train.run import train
from geolangbind.train.settings import from_config


def environment(starter, rank, world, port):
    """What torchrun, or srun, tells each process it starts on one node."""
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    if starter == "torchrun":
        ranks = {"RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": 0}
        return {**meeting, **ranks, "TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world, "GROUP_WORLD_SIZE": 1}
    ranks = {"SLURM_PROCID": rank, "SLURM_LOCALID": rank, "SLURM_NODEID": 0}
    return {**meeting, **ranks, "SLURM_JOB_ID": 77, "SLURM_NTASKS": world, "SLURM_NTASKS_PER_NODE": world, "SLURM_NNODES": 1}


def main(jobs, rank, world):
    for starter, port, settings in jobs:
        given = {name: str(value) for name, value in environment(starter, rank, world, port).items()}
        os.environ.update(given)
        if settings["task"] == "interleaved":
            interleaved.train(interleaved_settings.from_config(settings))
        else:
            train(from_config(settings))
        distributed.destroy_process_group()
        for name in given:
            del os.environ[name]


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(json.loads(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
