"""Read curves.csv, where the training of each model logged its values every few steps."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from cribo.report.experiment.results import read_as

BOOTSTRAPPING = ("bootstrapping_1", "bootstrapping_2")  # logged once the cross-image loss is on
Curve = dict[str, list[float | None]]  # values by column, None where nothing was logged; `at`: epochs since the start
Curves = dict[str, Curve]  # by model


def read_curves(models: Sequence[str], folder: Path) -> Curves:
    """Read the curves of those `models` that have been trained, in the given order; `folder` is results/pretrain."""
    paths = {name: folder / name / "curves.csv" for name in models}
    there = {name: path for name, path in paths.items() if path.exists()}
    return {name: read_curve(path.read_text(encoding="utf-8").splitlines(), path) for name, path in there.items()}


def read_curve(lines: Iterable[str], name: object) -> Curve:
    """Parse the lines of a curves.csv; `name` is for messages. Raises ReportError when they are malformed."""
    with read_as("file of curves", name):
        rows = list(csv.DictReader(lines))
        curve: Curve = {key: [float(row[key]) if row[key] else None for row in rows] for key in rows[0]}
        if lost := sorted(key for key, values in curve.items() if not all(v is None or math.isfinite(v) for v in values)):
            raise ValueError(f"{lost[0]} holds what is not a number")
        epochs = (curve["epoch"][-1] + 1) / curve["step"][-1]
        return curve | {"at": [step * epochs for step in curve["step"]]}


def points(curve: Curve, columns: Sequence[str], along: str = "at") -> tuple[list[float], list[float]]:
    """Return x and y: epochs (or the column `along`), and the mean of those `columns` that exist, where all have a value."""
    values = [curve[name] for name in columns if name in curve]
    kept = [(at, sum(row) / len(row)) for at, *row in zip(curve[along], *values, strict=True) if row and None not in row]
    return [at for at, _ in kept], [value for _, value in kept]


def bootstrapping(curves: Curves) -> list[tuple[int, str, float]]:
    """List (step, model, bootstrapping ratio), mean of both directions, for the models that look for neighbours."""
    return [
        (int(step), model, value)
        for model, curve in curves.items()
        for step, value in zip(*points(curve, BOOTSTRAPPING, "step"), strict=True)
    ]
