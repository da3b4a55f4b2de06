"""Trains some steps with every message of a distributed run sent, in a group of one process.

    torchrun --standalone --nproc-per-node 1 -m tests.gpu.group_of_one cuda

Two processes cannot share a GPU under nccl, and a world of one sends nothing: so this process takes itself
for one of two. It works on its half of each batch and sends what it would send; nobody adds anything to it.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Final

import torch
import torch.distributed as dist

from tests.train.idx_files import make_images
from train.config import DEFAULTS
from train.device import choose_device, has_fast_bf16
from train.distributed import World
from train.state import make_state, set_stage
from train.step import DeviceData, train_step

STEPS: Final = 5
IMAGES: Final = 1000
CLASSES: Final = 10


def main(name: str) -> None:
    """Print the backend of the device's messages and the sums of the losses."""
    device = choose_device(name)
    # As in train.distributed.join_world, which joins no group where there is one process.
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    world = World(rank=0, size=2)
    config = replace(DEFAULTS["digits"], bf16=has_fast_bf16(device), device=device.type)
    images = torch.from_numpy(make_images(IMAGES)).unsqueeze(1).to(device)
    data = DeviceData(images, torch.arange(IMAGES, device=device) % CLASSES)
    state = make_state(config, CLASSES, device, world)
    for step in range(STEPS):
        set_stage(state, config, step / STEPS)
        train_step(state, data, config, world)
        world.agree(step / STEPS)
    backends = dict(pair.split(":") for pair in dist.get_backend_config().split(","))
    print(f"{backends[device.type]}: {world.broadcast('heard')}, losses {world.sum_(state.sums).tolist()}")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1])
