"""What an evaluation leaves behind: one small JSON file, which DVC compares between branches.

Everything in it is a function of inputs and settings, except `cost`.
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

DIGITS = 4  # decimals of a percentage: below what devices and thread counts may change it by, diffs would be noise


def result(
    protocol_id: str, model: str, dataset: str, digest: str, value: float, scores: dict, card: dict, cost: dict
) -> dict:
    """The JSON tree that every protocol writes: `value` is its one number in percent, `scores` the protocol's own fields.

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
    """A share in percent, rounded to what is worth comparing."""
    return round(100 * share, DIGITS)


def known_percent(share: float) -> float | None:
    """`percent`, or null for NaN, where there is no such score: of a class, say, that the ground truth lacks."""
    return None if math.isnan(share) else percent(share)


class Meter:
    """Seconds and peak memory of this process since the meter was made; where and how precisely it computed."""

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
    """Write `tree` so that `path` always holds a whole file, the old one or the new one."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(tree, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp's files are for their owner alone
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
