"""python -m stages.pretrain MODEL: photos → results/pretrain/MODEL/. Runs as one process or under torchrun."""

from __future__ import annotations

from pathlib import Path

import torch

from cribo import plan
from cribo.command import run
from cribo.data.prepared.readers import open_set
from cribo.params import load
from cribo.training.engine.checkpoint import RUNS
from cribo.training.engine.distributed import join_world
from cribo.training.engine.interruption import finish, resumable_command
from cribo.training.run import pretrain


def main(name: str) -> None:
    settings, compute = plan.read(f"pretrain/{name}"), load("params.yaml").compute
    if compute.threads:
        torch.set_num_threads(compute.threads)
    data = open_set(settings["dataset"])
    with resumable_command():
        with join_world(compute.device) as world:
            folder = pretrain(name, settings, data, Path("results/pretrain") / name, RUNS, compute, world)
        finish(folder if world.main else None)


if __name__ == "__main__":
    run(main, "python -m stages.pretrain MODEL", 1)
