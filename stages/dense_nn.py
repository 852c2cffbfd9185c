"""python -m stages.dense_nn MODEL DATASET: evaluate results/encoders/MODEL by dense nearest neighbours on data/DATASET.

Settings: results/plan/dense_nn/DATASET.yaml. Writes results/scores/dense_nn/MODEL-DATASET.json. Runs as one process or under
torchrun, whose processes share keys and queries.
"""

from __future__ import annotations

from cribo.command import run
from cribo.evaluation.dense_nn.result import judge
from cribo.evaluation.harness.stage import run_stage


def main(model: str, dataset: str) -> None:
    run_stage("dense_nn", model, dataset, judge)


if __name__ == "__main__":
    run(main, "python -m stages.dense_nn MODEL DATASET", 2)
