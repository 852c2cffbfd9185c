"""python -m stages.yolos MODEL DATASET: finetune results/encoders/MODEL as YOLOS on data/DATASET and score its boxes.

Settings: results/plan/yolos/DATASET.yaml. Writes results/scores/yolos/MODEL-DATASET.json. One process or one of torchrun's;
a stopped run goes on from its last saved step.
"""

from __future__ import annotations

from pathlib import Path

from cribo.command import run
from cribo.evaluation.detection.run import judge, run_directory
from cribo.evaluation.harness.stage import run_stage
from cribo.training.engine.interruption import finish, ignore_signals, resumable_command


def kept(*judged) -> Path:
    """The run directory; the result is written by now."""
    ignore_signals()
    return run_directory(*judged)


def main(model: str, dataset: str) -> None:
    with resumable_command():
        finish(run_stage("yolos", model, dataset, judge, kept))


if __name__ == "__main__":
    run(main, "python -m stages.yolos MODEL DATASET", 2)
