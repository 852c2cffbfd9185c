"""How many photos a model trained here saw. The data set's name does not tell: `coco` may be a part of COCO."""

from __future__ import annotations

import json
from pathlib import Path

from cribo.report.experiment.results import read_as

PUBLISHED = {"COCO": 118_287, "IN1K": 1_281_167}  # training images of the paper's models


def with_photos(plan: dict, trained: dict[str, dict], folder: Path) -> dict:
    """Return the plan, with `photos` added to the row of each trained model that has a metrics.json.

    `photos` is the number of photos per epoch, in whole batches. `folder` is results/pretrain.

    Raises ReportError for a metrics.json that no training wrote.
    """
    rows = dict(plan["models"])
    for name, settings in trained.items():
        if (path := folder / name / "metrics.json").exists():
            rows[name] = rows[name] | {"photos": _an_epoch(path, settings["optimisation"])}
    return plan | {"models": rows}


def are_the_papers(printed: str | None, photos: int, batch_size: int) -> bool:
    """Whether `photos` per epoch, in whole batches, are all of the paper's set; true for a set that the paper lacks."""
    published = PUBLISHED.get(printed or "")
    return published is None or photos == published // batch_size * batch_size


def _an_epoch(path: Path, optimisation: dict) -> int:
    with read_as("result of pretrain", path):
        steps = json.loads(path.read_text(encoding="utf-8"))["step"]
        return steps // optimisation["epochs"] * optimisation["batch_size"]
