"""python -m stages.linear_segmentation MODEL DATASET LAYERS LR: train a linear decoder on frozen results/encoders/MODEL.

Settings: results/plan/linear_segmentation/DATASET.yaml.
Writes results/scores/linear_segmentation/MODEL-DATASET-lastLAYERS-LR.json.
"""

from __future__ import annotations

from pathlib import Path

from cribo import plan
from cribo.command import run
from cribo.data.prepared.readers import open_set
from cribo.evaluation.harness.compute import join
from cribo.evaluation.segmentation.run import evaluate, learning_rate
from cribo.params import load
from cribo.training.engine.checkpoint import RUNS
from cribo.training.engine.interruption import finish, resumable_command

PROTOCOL = "linear_segmentation"


def main(model: str, dataset: str, layers: str, lr: str) -> None:
    settings, compute = plan.read(f"{PROTOCOL}/{dataset}"), load("params.yaml").compute
    if not layers.isdecimal() or int(layers) < 1:
        raise ValueError(f"{layers} is not a number of blocks: give a whole number from 1")
    rate = learning_rate(lr)
    weights, data = plan.made("encoders", model), open_set(settings["dataset"])
    out = Path("results/scores") / PROTOCOL / f"{model}-{dataset}-last{layers}-{lr}.json"
    with resumable_command():
        with join(compute.device, compute.threads) as world:
            folder = evaluate(PROTOCOL, weights, data, settings, rate, out, RUNS, compute, world, int(layers))
        finish(folder if world.main else None)


if __name__ == "__main__":
    run(main, "python -m stages.linear_segmentation MODEL DATASET LAYERS LR", 4)
