"""python -m stages.pretrain MODEL: photos → results/pretrain/MODEL/, one process or one of torchrun's."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from cribo import plan
from cribo.command import run
from cribo.data.readers import open_set
from cribo.params import load
from cribo.training.checkpoint import RunInUse
from cribo.training.distributed import join_world
from cribo.training.loop import Interrupted
from cribo.training.run import pretrain


def main(name: str) -> None:
    settings, compute = plan.read(f"pretrain/{name}"), load("params.yaml").compute
    if compute.threads:
        torch.set_num_threads(compute.threads)
    data = open_set(settings["dataset"])
    try:
        with join_world(compute.device) as world:
            pretrain(name, settings, data, Path("results/pretrain") / name, Path(".resume"), compute, world)
    except RunInUse as error:
        raise SystemExit(str(error)) from None
    except Interrupted as stop:
        if marker := os.environ.get("CRIBO_REQUEUE"):  # the scheduler's wrapper puts the job back into the queue
            Path(marker).touch()
        raise SystemExit(str(stop)) from None


if __name__ == "__main__":
    run(main, "python -m stages.pretrain MODEL", 1)
