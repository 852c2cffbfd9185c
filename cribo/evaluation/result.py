"""What an evaluation leaves behind: one small JSON file, which DVC compares between branches.

Everything in it is a function of inputs and settings, except `cost`.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import torch

from cribo.data.readers import PreparedSet
from cribo.evaluation.dense_nn import DenseNN, Run, Settings
from cribo.evaluation.miou import IoU

DIGITS = 4  # decimals of a percentage: below what devices and thread counts may change it by, diffs would be noise


def dense_nn_result(model: str, data: PreparedSet, settings: Settings, patch_size: int, found: DenseNN, cost: dict) -> dict:
    """The JSON tree of one model on one data set; IoUs in percent. docs/protocols.md explains every field."""
    finest = min(found.runs)
    return {
        "value": _spread([run.patch for run in found.runs[finest]])["mean"],
        "protocol_id": "dense_nn",
        "model": model,
        "dataset": data.name,
        "dataset_digest": data.digest,
        "data_warnings": list(data.warnings),
        "patch": {_share(f): _spread([run.patch for run in runs]) for f, runs in found.runs.items()},
        "pixel": {_share(f): _spread([run.pixel for run in runs]) for f, runs in found.runs.items()},
        "per_class": {
            "patch": _per_class([run.patch for run in found.runs[finest]], data.classes),
            "pixel": _per_class([run.pixel for run in found.runs[finest]], data.classes),
        },
        "n": {
            **found.counts,
            "classes_in_patch_mean": found.runs[finest][0].patch.occurring,
            "classes_in_pixel_mean": found.runs[finest][0].pixel.occurring,
        },
        "memory": {_share(f): _memory(runs) for f, runs in found.runs.items()},
        "protocol": protocol(settings, patch_size, data.ignore, found),
        "versions": {name: version(name) for name in ("cribo", "timm", "torch")},
        "cost": cost,
    }


def protocol(settings: Settings, patch_size: int, ignore: int, found: DenseNN) -> dict:
    """The card: every choice as it was resolved, in words and values."""
    fewer = [_share(f) for f, runs in found.runs.items() if any(run.neighbours < settings.k for run in runs)]
    weight = (
        "all votes weigh the same"
        if settings.temperature is None
        else f"a vote weighs exp(cosine / {settings.temperature:g})"
    )
    return {
        "card": "docs/protocols.md, dense nearest neighbours",
        "features": "patch tokens of the last block after the final norm, L2-normalised",
        "resolution": f"each photo's own, scaled down to a multiple of {patch_size} px (bicubic, antialiased)",
        "patch_label": "majority of the patch's labelled pixels, lowest class id among equals; masks scaled by nearest",
        "void": f"pixels of value {ignore} have no vote and no score; wholly void patches are neither keys nor scored",
        "similarity": "cosine, exact search, lowest index among equals",
        "k": settings.k,
        "fewer_than_k_keys": f"all keys vote at {', '.join(fewer)}" if fewer else "nowhere",
        "vote": weight,
        "temperature": settings.temperature,
        "prediction": "class with the largest share of votes, lowest class id among equals",
        "pixels": "shares enlarged bilinearly to the photo's own size, then the largest",
        "metric": "IoU from one confusion matrix over the split, mean over the classes that occur in its ground truth",
        "subsample": list(settings.subsample),
        "draws": "training images, uniformly without replacement, ceil(images / factor); all of them at factor 1",
        "runs": settings.runs,
        "seed": settings.seed,
        "std": "between runs, n - 1 in the denominator; null for a single run",
    }


def _share(factor: int) -> str:
    return f"1/{factor}"


def _percent(share: float) -> float:
    return round(100 * share, DIGITS)


def _spread(scores: Sequence[IoU]) -> dict:
    runs = [100 * score.mean for score in scores]
    std = round(statistics.stdev(runs), DIGITS) if len(runs) > 1 else None
    return {"mean": round(statistics.fmean(runs), DIGITS), "std": std, "runs": [round(run, DIGITS) for run in runs]}


def _per_class(scores: Sequence[IoU], classes: Sequence[str]) -> dict[str, float | None]:
    """Mean over runs by class; null for a class that the ground truth lacks (the same classes in every run)."""
    occurs = [value == value for value in scores[0].per_class]
    return {
        name: _percent(statistics.fmean(float(score.per_class[c]) for score in scores)) if occurs[c] else None
        for c, name in enumerate(classes)
    }


def _memory(runs: Sequence[Run]) -> dict:
    return {"images": runs[0].images, "keys": [run.keys for run in runs], "neighbours": [run.neighbours for run in runs]}


class Meter:
    """Seconds and peak memory of this process since the meter was made."""

    def __init__(self, device: torch.device):
        self.device, self.start = device, time.perf_counter()
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)

    def read(self) -> dict:
        """Memory in MiB; ru_maxrss comes in KiB on Linux and in bytes on macOS."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
        cost = {
            "seconds": round(time.perf_counter() - self.start, 2),
            "peak_memory_mib": round(peak),
            "device": self.device.type,
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
