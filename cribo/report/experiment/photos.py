"""How many photos a model that was trained here saw, which no name of a data set says: `coco` may be a part of COCO."""

from __future__ import annotations

import json
from pathlib import Path

from cribo.report.experiment.results import read_as

PUBLISHED = {"COCO": 118_287, "IN1K": 1_281_167}  # training images of the paper's models


def with_photos(plan: dict, trained: dict[str, dict], folder: Path) -> dict:
    """The plan, and in the row of each trained model `photos`, those of an epoch, where metrics.json tells.

    `folder` is results/pretrain.

    Raises ReportError for a metrics.json that is none of a training.
    """
    rows = dict(plan["models"])
    for name, settings in trained.items():
        if (path := folder / name / "metrics.json").exists():
            rows[name] = rows[name] | {"photos": _an_epoch(path, settings["optimisation"])}
    return plan | {"models": rows}


def are_the_papers(printed: str | None, photos: int, batch_size: int) -> bool:
    """Whether `photos` an epoch, in whole batches, are all of the paper's set; true of a set that it has not."""
    published = PUBLISHED.get(printed or "")
    return published is None or photos == published // batch_size * batch_size


def _an_epoch(path: Path, optimisation: dict) -> int:
    with read_as("result of pretrain", path):
        steps = json.loads(path.read_text(encoding="utf-8"))["step"]
        return steps // optimisation["epochs"] * optimisation["batch_size"]
