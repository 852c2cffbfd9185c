"""python -m stages.yolos MODEL DATASET: finetune results/encoders/MODEL as YOLOS on data/DATASET and score its boxes.

Settings: results/plan/yolos/DATASET.yaml. Writes results/scores/yolos/MODEL-DATASET.json. Runs as one process or under
torchrun; a stopped run resumes from its last saved step.
"""

from __future__ import annotations

from pathlib import Path

from cribo.command import run
from cribo.evaluation.detection.run import judge, run_directory
from cribo.evaluation.harness.stage import run_stage
from cribo.training.engine.interruption import finish, ignore_signals, resumable_command


def kept(*judged) -> Path:
    """Return the run directory and ignore signals from now on: the result has been written."""
    ignore_signals()
    return run_directory(*judged)


def main(model: str, dataset: str) -> None:
    with resumable_command():
        finish(run_stage("yolos", model, dataset, judge, kept))


if __name__ == "__main__":
    run(main, "python -m stages.yolos MODEL DATASET", 2)
