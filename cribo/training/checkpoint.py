"""The resumable state of a training run: written whole or not at all, verified, the one before kept.

It lives in a run directory of its own, named by everything that decides the result (settings, photos, sources), and never in
an output of the stage: DVC clears outputs before a run and would hand the state of other parameters to the next.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import torch

PARTIAL = ".partial"  # while it is written


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


def save(folder: Path, step: int, state: dict, keep: int = 2) -> Path:
    """Write the state after `step` steps; all older states but `keep` − 1 are removed once this one is verified.

    Raises OSError, one sentence, when the disk does not take it; the states that were there stay.
    """
    final = folder / f"state-{step:08d}.pt"
    partial = final.with_suffix(PARTIAL)
    try:
        with open(partial, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, final)
        _sync_folder(folder)
    except (OSError, RuntimeError) as error:  # torch's writer reports a full disk as a RuntimeError
        partial.unlink(missing_ok=True)
        older = _states(folder)
        raise OSError(
            f"the state after step {step} could not be saved in {folder} ({_reason(error, folder)}): make room there and "
            f"give the same command again; it goes on from {older[-1].name if older else 'the first step'}"
        ) from error
    if (fault := damage(final)) is not None:
        raise OSError(f"{final} was written but reads back damaged ({fault}): check the disk")
    for old in _states(folder)[:-keep]:
        old.unlink()
    return final


class Saver:
    """Saves states while the training goes on: it waits for the copy to the host's memory, and not for the disk."""

    def __init__(self, folder: Path, keep: int, background: bool):
        self.folder, self.keep, self.background = folder, keep, background
        self.pool, self.last = ThreadPoolExecutor(1), None

    def save(self, step: int, state: dict) -> None:
        """Begin to save, after the save before has ended. Raises OSError if that one failed."""
        self.wait()
        if not self.background:
            save(self.folder, step, state, self.keep)
            return
        self.last = self.pool.submit(save, self.folder, step, _copied(state), self.keep)

    def wait(self) -> None:
        """Come back when all is on the disk and verified. Raises OSError if it could not be."""
        last, self.last = self.last, None
        if last:
            last.result()

    def close(self) -> None:
        """Let a save that is under way end."""
        self.pool.shutdown()


def _copied(tree):
    """The state as it is now, on the host: the training changes its tensors in place."""
    if isinstance(tree, dict):
        return {key: _copied(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(_copied(value) for value in tree)
    return tree.detach().to("cpu", copy=True) if isinstance(tree, torch.Tensor) else tree


def _reason(error: Exception, folder: Path) -> str:
    """The operating system's word for it, which torch's error hides."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__context__
    free = shutil.disk_usage(folder).free / 2**20
    return f"{cause.strerror if cause else str(error).splitlines()[0]}, {free:,.0f} MiB free"


def load_newest(folder: Path, warn) -> dict | None:
    """The newest state that is whole, or None. Damaged ones are passed over, and `warn` is told of each."""
    for path in sorted(folder.glob(f"state-*{PARTIAL}")):
        warn(f"{path.name} was cut off while it was written: it is removed, and the last whole state counts")
        path.unlink()
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


def newest(folder: Path) -> Path | None:
    """The newest state, whole or not; None if there is none."""
    return next(reversed(_states(folder)), None)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
