"""Read results/benchmarks/step.json, where benchmarks/step.py wrote its timings of training steps, for Tables 9 and 10."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from cribo.report.experiment.results import read_as

MODELS = ("MAE", "DINO", "CrIBo (K 12)", "CrIBo (K 32)")  # of Table 10
PRINTED = "vit_base_16", 224, 128  # of Table 9: backbone, side of a view, images per process


@dataclass(frozen=True)
class Pace:
    """Speed and peak memory of a model's training steps on one device."""

    images_per_second: float
    memory_gb: float


@dataclass(frozen=True)
class StepBenchmark:
    """`about`: what was measured; `profile`: milliseconds by component of Table 9; `paces`: by model, for Table 10.

    `profile` or `paces` is None where that part was not measured. `K`: of the profile. `as_printed`: whether backbone,
    views and images per process are those of Table 9; Table 10 has the same, except for MAE.
    """

    about: str
    profile: dict[str, float] | None
    paces: dict[str, Pace] | None
    K: int | None = None
    as_printed: bool = False


def read_step(path: Path) -> StepBenchmark | None:
    """Read the benchmark's file; None where it has not run. Raises ReportError for a file that it did not write."""
    if not path.exists():
        return None
    with read_as("result of benchmarks/step.py", path, "delete it or run the benchmark again"):
        tree = json.loads(path.read_text(encoding="utf-8"))
        rows = tree["rows"]
        profile, paces = None, None
        if "phases" in rows:
            profile = {name: 1e3 * seconds for name, seconds in rows["phases"]["phases"].items()}
        if "global only" in rows:
            paces = {"L_cv^g alone": _pace(rows["global only"]), f"CrIBo (K {tree['K']})": _pace(rows["baseline"])}
            paces |= {name: _pace(row) for name, row in rows.items() if name in MODELS}
        setting = tree.get("backbone"), tree.get("size"), rows["baseline"]["images"]
        return StepBenchmark(tree["about"], profile, paces, tree["K"], setting == PRINTED)


def _pace(row: dict) -> Pace:
    return Pace(row["images"] / row["seconds"], row["memory"] / 1e9)
