"""python -m stages.knn MODEL DATASET: evaluate results/encoders/MODEL by k-NN classification of data/DATASET's images.

Settings: results/plan/knn/DATASET.yaml. Writes results/scores/knn/MODEL-DATASET.json. Runs as one process or under torchrun.
"""

from __future__ import annotations

from cribo.command import run
from cribo.evaluation.harness.stage import run_stage
from cribo.evaluation.knn import judge


def main(model: str, dataset: str) -> None:
    run_stage("knn", model, dataset, judge)


if __name__ == "__main__":
    run(main, "python -m stages.knn MODEL DATASET", 2)
