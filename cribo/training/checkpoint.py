"""The resumable state of a training run: written whole or not at all, verified, the one before kept.

It lives in a run directory of its own, named by everything that decides the result (settings, photos, sources), and never in
an output of the stage: DVC clears outputs before a run and would hand the state of other parameters to the next.
"""

from __future__ import annotations

import fcntl
import os
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

KEEP = 2  # the newest state and the one before it


class RunInUse(RuntimeError):
    """Another process trains in this run directory."""


@contextmanager
def sole_owner(folder: Path) -> Iterator[None]:
    """Hold the run directory. Raises RunInUse at once if another process does; the lock ends with its process."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise RunInUse(f"{folder} is in use by process {lock.read().strip() or '?'}: wait for it or stop it") from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def save(folder: Path, step: int, state: dict) -> Path:
    """Write the state after `step` steps; older states but the last one are removed once this one is verified."""
    final = folder / f"state-{step:08d}.pt"
    partial = final.with_suffix(".partial")
    with open(partial, "wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, final)
    _sync_folder(folder)
    if (fault := damage(final)) is not None:
        raise OSError(f"{final} was written but reads back damaged ({fault}): check the disk")
    for old in _states(folder)[:-KEEP]:
        old.unlink()
    return final


def load_newest(folder: Path, warn) -> dict | None:
    """The newest state that is whole, or None. Damaged ones are passed over, and `warn` is told of each."""
    for path in reversed(_states(folder)):
        if (fault := damage(path)) is not None:
            warn(f"{path} is damaged ({fault}): going on from the state before it")
            continue
        return torch.load(path, map_location="cpu", weights_only=True)
    return None


def damage(path: Path) -> str | None:
    """What is wrong with a state file, by the checksums that its zip container holds of every tensor; None if nothing."""
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
    except (zipfile.BadZipFile, OSError) as error:
        return str(error)
    return f"record {broken} fails its checksum" if broken else None


def _states(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("state-*.pt") if re.fullmatch(r"state-\d{8}\.pt", p.name))


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
