"""A training checkpoint: tensors, and one metadata entry that says what was trained."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path

import yaml
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor


def write_checkpoint(path: Path, tensors: dict[str, Tensor], described: dict) -> None:
    """Write a checkpoint as a whole or not at all. Raises OSError if the disk does not take it."""
    # Only one metadata key: safetensors writes several keys in an order that changes from run to run.
    write_tensors(path, tensors, {"cribo": json.dumps(described, sort_keys=True)})


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file under a temporary name, then rename it. save_file would not raise Python's disk errors.

    Raises an OSError that names `path`.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_bytes(save({key: value.detach().cpu().contiguous() for key, value in tensors.items()}, metadata))
        os.replace(partial, path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise OSError(error.errno, error.strerror, str(path)) from error  # a failed write does not name its file


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict]:
    """Tensors of a training checkpoint, and what was trained: settings, data set, digest, steps.

    Raises ValueError if the file is missing, damaged, or not one of our checkpoints.
    """
    try:
        with safe_open(path, "pt") as file:
            described = (file.metadata() or {}).get("cribo")
            if described is None:
                raise ValueError(f"{path} is not a checkpoint of cribo: it lacks the entry that says what was trained")
            return {key: file.get_tensor(key) for key in file.keys()}, _told(path, described)  # noqa: SIM118 (not a mapping)
    except FileNotFoundError:
        raise ValueError(f"{path} is missing: pretrain that model, or correct the path") from None
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged ({error}): delete it and pretrain again") from error


def header(path: Path) -> dict | None:
    """What one of our checkpoints says was trained; None for any other file. Raises ValueError if the entry is damaged."""
    try:
        with safe_open(path, "pt") as file:
            described = (file.metadata() or {}).get("cribo")
    except SafetensorError:
        return None
    return None if described is None else _told(path, described)


def _told(path: Path, described: str) -> dict:
    """Parse the entry that says what was trained. Raises ValueError if no training of this version can have written it."""
    try:
        told = json.loads(described)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged (its entry `cribo` is not JSON: {error}): fetch or pretrain it again") from None
    if not isinstance(told, dict):
        raise ValueError(f"{path} is damaged (its entry `cribo` is not a JSON object): fetch or pretrain it again")
    if isinstance(told.get("settings"), dict) and isinstance(told["settings"].get("backbone"), str):
        raise ValueError(f"{path} is of an earlier version, which named its backbone only: pretrain it again")
    return told


def settings_hash(settings: dict) -> str:
    """Hex digits that identify a model's settings, whatever their order."""
    return hashlib.sha256(yaml.safe_dump(settings, sort_keys=True).encode()).hexdigest()
