"""Fingerprints of what a stage read and wrote, cheap enough to be taken at the start and again at the end of a job.

DVC records the inputs as they are when it is told to, which is after the job. If someone edits a parameter while the job
runs, the old result would be recorded under the new value; comparing two fingerprints prevents this.
"""

from __future__ import annotations

import hashlib
import json
import os

from workflow.bridge.stages import Stage

SMALL = 1 << 20  # bytes; larger files are compared by size and time
FEW = 2000  # files in a folder; larger folders are data, compared by number, size and newest time


def inputs(stage: Stage) -> dict[str, str]:
    """Digests of the command, of each parameter file and of each dependency, keyed by how messages name them."""
    taken = {"its command": _digest(stage.commands)}
    taken |= {f"{path} (its parameters)": _digest(values) for path, values in stage.params.items()}
    for path in stage.deps:
        files = _files(stage, path)
        small = len(files) <= FEW
        taken[path] = _digest([[f, _content(f)] for f in files]) if small else _digest(_extent(files))
    return taken


def outputs(stage: Stage) -> dict[str, list[int] | None]:
    """Number of files, total size and newest time of each output; None where it is missing."""
    return {path: _extent(_files(stage, path)) if os.path.lexists(path) else None for path in stage.outs}


def differences(stage: Stage, receipt: dict) -> list[str]:
    """Names of what has changed since the receipt was written; empty if it still holds."""
    now = {"inputs": inputs(stage), "outputs": outputs(stage)}
    return [
        name
        for part, values in now.items()
        for name in sorted(values.keys() | receipt.get(part, {}).keys())
        if values.get(name) != receipt.get(part, {}).get(name)
    ]


def _files(stage: Stage, path: str) -> list[str]:
    """The files of a dependency or output, without those in .dvcignore, as Python's caches appear while a stage runs."""
    if not os.path.isdir(path):
        return [path]
    repo = stage.dvc.repo
    walk = repo.dvcignore.walk(repo.fs, os.path.abspath(path))
    return sorted(os.path.relpath(os.path.join(root, name)) for root, _, names in walk for name in names)


def _content(path: str) -> str | list[int]:
    if not os.path.exists(path):
        return "missing"
    info = os.stat(path)
    if info.st_size > SMALL:
        return [info.st_size, info.st_mtime_ns]
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def _extent(files: list[str]) -> list[int]:
    stats = [os.stat(f) for f in files]
    return [len(stats), sum(s.st_size for s in stats), max((s.st_mtime_ns for s in stats), default=0)]


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]
