"""python -m stages.segmenter MODEL DATASET LR: finetune results/encoders/MODEL with Segmenter's mask transformer.

Settings: results/plan/segmenter/DATASET.yaml. Writes results/scores/segmenter/MODEL-DATASET-LR.json.
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

PROTOCOL = "segmenter"


def main(model: str, dataset: str, lr: str) -> None:
    settings, compute = plan.read(f"{PROTOCOL}/{dataset}"), load("params.yaml").compute
    rate = learning_rate(lr)
    weights, data = plan.made("encoders", model), open_set(settings["dataset"])
    out = Path("results/scores") / PROTOCOL / f"{model}-{dataset}-{lr}.json"
    with resumable_command():
        with join(compute.device, compute.threads) as world:
            folder = evaluate(PROTOCOL, weights, data, settings, rate, out, RUNS, compute, world)
        finish(folder if world.main else None)


if __name__ == "__main__":
    run(main, "python -m stages.segmenter MODEL DATASET LR", 3)
