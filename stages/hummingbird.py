"""python -m stages.hummingbird MODEL DATASET: evaluate results/encoders/MODEL by the open-hummingbird protocol.

Settings: results/plan/hummingbird/DATASET.yaml. Writes results/scores/hummingbird/MODEL-DATASET.json. Runs as one process or
under torchrun, whose processes share keys and queries.
"""

from __future__ import annotations

from cribo.command import run
from cribo.evaluation.harness.stage import run_stage
from cribo.evaluation.hummingbird.run import judge


def main(model: str, dataset: str) -> None:
    run_stage("hummingbird", model, dataset, judge)


if __name__ == "__main__":
    run(main, "python -m stages.hummingbird MODEL DATASET", 2)
