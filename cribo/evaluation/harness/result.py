"""The result of an evaluation: one small JSON file, which DVC compares between branches.

Everything in it except `cost` is a function of inputs and settings.
"""

from __future__ import annotations

import json
import math
import os
import resource
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import torch

DIGITS = 4  # decimals of a percentage; in finer ones, devices and thread counts would show as noise in diffs


def result(
    protocol_id: str, model: str, dataset: str, digest: str, value: float, scores: dict, card: dict, cost: dict
) -> dict:
    """Return the JSON tree that every protocol writes: `value` is its main score in percent, `scores` its own fields.

    `digest` identifies the content of the data set, `card` is the protocol as resolved, `cost` comes from a `Meter`.
    """
    return {
        "value": round(value, DIGITS),
        "protocol_id": protocol_id,
        "model": model,
        "dataset": dataset,
        "dataset_digest": digest,
        **scores,
        "protocol": card,
        "versions": {name: version(name) for name in ("cribo", "timm", "torch")},
        "cost": cost,
    }


def percent(share: float) -> float:
    """Return a share in percent, rounded to the digits worth comparing."""
    return round(100 * share, DIGITS)


def known_percent(share: float) -> float | None:
    """Return `percent`, or None for NaN, which means that there is no such score (a class absent from the ground truth)."""
    return None if math.isnan(share) else percent(share)


class Meter:
    """Measures seconds since it was made and the peak memory of this process; also reports device, precision and threads."""

    def __init__(self, device: torch.device, precision: str):
        self.device, self.precision, self.start = device, precision, time.perf_counter()
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)

    def read(self) -> dict:
        """Memory in MiB; ru_maxrss comes in KiB on Linux and in bytes on macOS."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
        cost = {
            "seconds": round(time.perf_counter() - self.start, 2),
            "peak_memory_mib": round(peak),
            "device": self.device.type,
            "precision": self.precision,
            "threads": torch.get_num_threads(),
        }
        if self.device.type == "cuda":
            cost["peak_gpu_memory_mib"] = round(torch.cuda.max_memory_allocated(self.device) / 2**20)
        return cost


def write_json(path: str | Path, tree: dict) -> None:
    """Write `tree` so that `path` always holds a complete file, either the old or the new one."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(tree, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp's files are readable by their owner alone
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
