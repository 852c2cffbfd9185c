"""Memory of two training steps of a ViT of six blocks, measured and estimated: run as a process of its own."""

import json
import os
from dataclasses import asdict
from pathlib import Path

import torch

from cribo import params, plan
from cribo.method.step import centres_step
from cribo.method.student import student_step
from cribo.method.teacher import teacher_step
from cribo.model.architectures import BACKBONES
from cribo.training.course import step_settings
from cribo.training.engine.distributed import World
from cribo.training.memory import memory_estimate
from cribo.training.optimiser import follow, set_hyperparameters
from cribo.training.state import initial_state

CHANGES = {
    "views": {"size": 128},
    "head": {"hidden": 512, "bottleneck": 128, "prototypes": 16384},
    "clustering": {"K": 16, "normalise_images": 8},
    "matching": {"pool_images": 8},
    "memory_bank": {"images": 2000},
    "optimisation": {"batch_size": 8},
}


def resident(mark):
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith(mark))
    return int(line.split()[1]) * 1024


def main():
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 2)))
    settings = params.merged(plan.pretrain_settings(params.load("recipes/demo.yaml").model("cribo")), CHANGES)
    settings["backbone"] = asdict(BACKBONES["vit_mini_16"])
    how, world, batch = step_settings(settings), World(0, 1, torch.device("cpu")), settings["optimisation"]["batch_size"]
    torch.randn(64, 64) @ torch.randn(64, 64)
    before = resident("VmRSS")
    state = initial_state(settings, world.device)
    for tensor in (state.bank.units, state.bank.norms):
        tensor.fill_(0)  # memory counts once it was written to
    for step in range(2):
        images, positions = torch.randn(2 * batch, 3, 128, 128), torch.rand(batch, 128, 2) * 128
        seeds = torch.stack([torch.randperm(128)[: how.K] for _ in range(batch)])
        ids = torch.arange(batch) + step * batch
        teaching = teacher_step(state.teacher, images, positions, seeds, ids, state.bank, True, how, world)
        student_step(state.student, images, teaching, state.centres, 0.04, how, world).total.backward()
        centres_step(teaching, state.centres, how, world)
        set_hyperparameters(state.optimiser, 1e-4, 0.04)
        state.optimiser.step()
        state.optimiser.zero_grad(set_to_none=True)
        follow(state.teacher, state.student, 0.99)
    measured = resident("VmHWM") - before
    print(json.dumps({"measured": measured, "estimate": memory_estimate(settings, state, batch, "cpu").total}))


if __name__ == "__main__":
    main()
