"""One pretraining from settings to files: where its state lives and what it writes."""

from __future__ import annotations

import hashlib
import json
from contextlib import nullcontext
from pathlib import Path

import pandas as pd
import yaml

from cribo.data.prepared.manifest import DataError, listed
from cribo.data.prepared.readers import PreparedSet
from cribo.model.checkpoint_file import write_checkpoint
from cribo.params import Compute
from cribo.training.course import needs_masks
from cribo.training.engine import checkpoint
from cribo.training.engine.distributed import World
from cribo.training.engine.interruption import ignore_signals
from cribo.training.engine.log import read_cost, read_records, say
from cribo.training.engine.sources import digest_of_sources
from cribo.training.loop import train
from cribo.training.state import TrainingState

# The sources whose change would change the weights; dvc.yaml lists the same for the stage `pretrain`.
SOURCES = ("data/batches", "data/prepared", "method", "model/checkpoint_file.py", "model/networks", "training")


def pretrain(name: str, settings: dict, data: PreparedSet, out: Path, runs: Path, compute: Compute, world: World) -> Path:
    """Train `name` and write checkpoint.safetensors, metrics.json, cost.json and curves.csv under `out`.

    Returns the folder under `runs` that holds the resumable state. It may be deleted once the command has succeeded.
    """
    check_masks(settings, data)
    folder = runs / f"{name}-{fingerprint(settings, data.digest)}"
    owner = checkpoint.sole_owner(folder) if world.main else nullcontext()
    with owner:
        world.barrier()
        state = train(settings, data.splits["train"], folder, compute, world)
        if world.main:
            write_results(state, settings, data, folder, out, compute.precision)
    ignore_signals()
    world.barrier()
    return folder


def check_masks(settings: dict, data: PreparedSet) -> None:
    """Raise DataError if an oracle needs masks and the data set lacks them, or has more classes than there are clusters."""
    if not needs_masks(settings):
        return
    if without := [record.id for record in data.splits["train"] if record.mask is None]:
        raise DataError(
            f"{len(without)} of {len(data.splits['train'])} training images of {data.name} have no mask, and "
            "clustering.algorithm or matching.criterion `labels` reads them: choose another value, or a data set with masks "
            f"({listed(without)})"
        )
    clusters, classes = settings["clustering"]["K"], len(data.classes)
    if settings["clustering"]["algorithm"] == "labels" and clusters < classes:
        raise DataError(
            f"{data.name} has {classes} classes and clustering.algorithm `labels` needs a cluster for each: "
            f"raise clustering.K from {clusters} to {classes}"
        )


def fingerprint(settings: dict, digest: str) -> str:
    """Sixteen hex digits that identify everything that decides the weights: settings, photos and our sources."""
    sha = hashlib.sha256(yaml.safe_dump(settings, sort_keys=True).encode() + digest.encode() + digest_of_sources(SOURCES))
    return sha.hexdigest()[:16]


def write_results(state: TrainingState, settings: dict, data: PreparedSet, folder: Path, out: Path, precision: str) -> None:
    """Write the outputs of the stage; `precision` is the one used in its last turn."""
    out.mkdir(parents=True, exist_ok=True)
    tensors = {
        f"{role}.{key}": value
        for role in (("teacher",) if state.teacher is state.student else ("teacher", "student"))
        for key, value in getattr(state, role).state_dict().items()
    }
    described = {"settings": settings, "dataset": data.name, "digest": data.digest, "steps": state.step}
    write_checkpoint(out / "checkpoint.safetensors", tensors, described)

    journal = folder / "metrics.jsonl"
    records, device = read_records(journal), next(state.teacher.parameters()).device.type
    cost = {**read_cost(journal, settings["optimisation"]["batch_size"]), "device": device, "precision": precision}
    (out / "cost.json").write_text(json.dumps(cost, indent=2) + "\n")
    pd.DataFrame(records).to_csv(out / "curves.csv", index=False)
    final = {key: value for key, value in records[-1].items() if key != "lr"}
    (out / "metrics.json").write_text(json.dumps(final, indent=2) + "\n")
    say(f"wrote {out / 'checkpoint.safetensors'}")
