"""The resumable states of a training run: the newest are kept, and only intact ones count.

They live in a separate run directory, named by everything that decides the result (settings, photos, sources), and never in
an output of the stage: DVC clears outputs before a run, and would hand a state to a run with other parameters.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import torch

from cribo.training.engine import state_file
from cribo.training.engine.log import say
from cribo.training.engine.state_file import PARTIAL, Damaged

RUNS = Path(".resume")  # the run directories of all trainings; often a link to scratch
DAMAGED = ".damaged"  # suffix of a state found damaged and set aside; it no longer counts as a state


class RunInUse(RuntimeError):
    """Another process is training in this run directory."""


@contextmanager
def sole_owner(folder: Path) -> Iterator[None]:
    """Lock the run directory. Raises RunInUse at once if another process holds it, ValueError if it cannot be a folder.

    The lock ends with its process. The loading processes forked from it, which may live some seconds longer, release the
    lock as they start.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        there = folder if folder.exists() else folder.parent
        what = f"a link to {there.readlink()}, where no folder is" if there.is_symlink() else "no folder"
        raise ValueError(f"{there} is {what}, and states of unfinished runs go there: make one, or remove it") from None
    with open(folder / "lock", "a+") as lock:
        os.register_at_fork(after_in_child=lock.close)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise RunInUse(f"{folder} is in use by process {lock.read().strip() or '?'}: wait for it or stop it") from None
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
                raise
            say(f"{folder} is on a disk without file locks: see to it that no other process runs the same")
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def save(folder: Path, step: int, state: dict, keep: int = 2) -> Path:
    """Write the state after `step` steps. Once verified, delete damaged states and all but `keep` − 1 older ones.

    Raises OSError, one sentence, if the disk does not take the state or gives back something else; older states then stay.
    """
    path = state_path(folder, step)
    try:
        state_file.write(path, state)
        state_file.check(path)
    except OSError as error:
        raise OSError(_unsaved(folder, step, error)) from error
    except Damaged as fault:
        _clear_damaged(folder)
        aside = _set_aside(path)
        raise OSError(f"{path} reads back damaged ({fault}) and is set aside as {aside.name}: check the disk") from None
    _clear_damaged(folder)
    older = [other for other in _states(folder) if other < path]
    for old in older[::-1][keep - 1 :]:
        old.unlink()
    return path


class Saver:
    """Saves states while training goes on: training waits for the copy to the host's memory, but not for the disk."""

    def __init__(self, folder: Path, keep: int, background: bool):
        self.folder, self.keep, self.background = folder, keep, background
        self.pool, self.last = ThreadPoolExecutor(1), None

    def save(self, step: int, state: dict) -> None:
        """Wait for the previous save, then start this one. Raises OSError if that one failed or, in the foreground, this."""
        self.wait()
        if not self.background:
            save(self.folder, step, state, self.keep)
            return
        self.last = self.pool.submit(save, self.folder, step, _copied(state), self.keep)

    def wait(self) -> None:
        """Return once everything is on the disk and verified. Raises OSError if that failed."""
        last, self.last = self.last, None
        if last:
            last.result()

    def close(self) -> None:
        """Let a save in progress finish."""
        self.pool.shutdown()


def _copied(tree):
    """A copy of the state on the host; training changes the original tensors in place."""
    if isinstance(tree, dict):
        return {key: _copied(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(_copied(value) for value in tree)
    return tree.detach().to("cpu", copy=True) if isinstance(tree, torch.Tensor) else tree


def load_newest(folder: Path, warn: Callable[[str], None]) -> dict | None:
    """The newest intact state, or None before the first save.

    Also tidies up, so only one process may call it: interrupted writes are removed and damaged states set aside, each with a
    message to `warn`. Raises OSError, one sentence, if there are states but none is intact, or if one cannot be read now.
    """
    for path in sorted(folder.glob(f"state-*{PARTIAL}")):
        warn(f"{path.name} was cut off while it was written: it is removed, and the last whole state counts")
        path.unlink()
    for path in reversed(_states(folder)):
        try:
            return state_file.read(path)
        except Damaged as fault:
            aside = _set_aside(path)
            warn(f"{path} is damaged ({fault}): it is set aside as {aside.name}, and the state before it counts")
        except OSError as error:
            raise OSError(f"{path} cannot be read ({error.strerror}): give the same command again once it can") from error
    if damaged := sorted(folder.glob(f"state-*{DAMAGED}")):
        raise OSError(
            f"no state in {folder} is intact ({', '.join(path.name for path in damaged)}): put a copy of one back there as "
            f"{damaged[-1].stem}.pt, or remove the folder to start from scratch"
        )
    return None


def state_path(folder: Path, step: int) -> Path:
    """Path of the state after `step` steps."""
    return folder / f"state-{step:08d}.pt"


def newest(folder: Path) -> Path | None:
    """The newest state; None if there is none."""
    return next(reversed(_states(folder)), None)


def _states(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("state-*.pt") if re.fullmatch(r"state-\d{8}\.pt", p.name))


def _set_aside(path: Path) -> Path:
    """Rename a damaged state so that it no longer counts; it stays for inspection until the next state is saved."""
    return path.rename(path.with_suffix(DAMAGED))


def _clear_damaged(folder: Path) -> None:
    """Delete the damaged states set aside, which take as much room as other states."""
    for path in folder.glob(f"state-*{DAMAGED}"):
        path.unlink()


def _unsaved(folder: Path, step: int, error: OSError) -> str:
    """Message that says what to do when the disk does not take a state."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    free = f", {shutil.disk_usage(folder).free / 2**20:,.0f} MiB free" if full else ""
    kept = newest(folder)
    return (
        f"the state after step {step} could not be saved in {folder} ({error.strerror}{free}): "
        f"{'make room there' if full else 'see to the disk'} and give the same command again; "
        f"it goes on from {kept.name if kept else 'the first step'}"
    )
