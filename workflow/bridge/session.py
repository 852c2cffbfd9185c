"""Allow one `snakemake` or one `dvc repro` in a tree at a time.

There are two locks. Both vanish with their process, so that a killed run never blocks the next one. An flock on
.snakemake/dvc/session keeps a second `snakemake` out. Entries in DVC's own lock file make `dvc repro` say which `snakemake`
is busy with an output; they are read entries, so `dvc status` and `dvc exp show` keep working.
"""

from __future__ import annotations

import atexit
import errno
import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import psutil
from dvc.repo import Repo
from dvc.rwlock import _edit_rwlock

from workflow.bridge.errors import BridgeError, say
from workflow.bridge.stages import Stage, one_sentence, open_repo
from workflow.bridge.stamps import STATE

SESSION = STATE / "session"
PATIENCE = 5.0  # seconds; a dry run holds the lock about this long

_held: IO[str] | None = None  # the open file is the lock: it must stay open as long as the process lives


def begin(command: str, dry: bool) -> bool:
    """Lock this tree. Return False for a dry run beside another run: it must not touch the stamps in use."""
    global _held
    SESSION.parent.mkdir(parents=True, exist_ok=True)
    file = open(SESSION, "a+")  # noqa: SIM115 - closed by `end`, or with the process
    deadline = time.monotonic() + (0 if dry else PATIENCE)
    while not _flock(file):
        if time.monotonic() >= deadline:
            who = describe()
            file.close()
            if dry:
                say(f"{who} is at work here: this is what is left of {'the last start' if owner().get('dry') else 'it'}")
                return False
            raise BridgeError(f"{who} is at work in this directory: wait for it or stop it")
        time.sleep(0.2)
    file.truncate(0)
    file.write(json.dumps({"pid": os.getpid(), "host": os.uname().nodename, "cmd": command, "dry": dry}))
    file.flush()
    _held = file
    return True


def end() -> None:
    """Release the lock at once; without this the kernel does so when the process ends."""
    global _held
    if _held:
        _held.close()
        _held = None


def owner() -> dict[str, Any]:
    """Process, host and command line of the `snakemake` that took this tree last."""
    return json.loads(SESSION.read_text() or "{}") if SESSION.exists() else {}


def describe() -> str:
    """The owner in words."""
    who = owner()
    return f"`{who['cmd']}` (process {who['pid']} on {who['host']})" if who else "another snakemake"


def refuse_beside_dvc(repo: Repo) -> None:
    """Raise BridgeError while a `dvc repro` computes here.

    DVC releases its repository lock while a command runs, but leaves an entry with its process in the lock file.
    """
    with one_sentence(), repo.lock, _lock_file(repo) as locks:
        for path, info in locks["write"].items():
            if info["pid"] != os.getpid() and psutil.pid_exists(info["pid"]):
                raise BridgeError(
                    f"`{_short(info['cmd'])}` (process {info['pid']}) is computing "
                    f"{os.path.relpath(path)} in this directory: wait for it or stop it"
                )


def reserve(repo: Repo, stages: list[Stage]) -> None:
    """Enter the outputs that this `snakemake` will compute in DVC's lock file, until recorded or until the process ends."""
    me = _entry(owner())
    with _lock_file(repo) as locks:
        _forget(locks, lambda entry: entry == me or not psutil.pid_exists(entry["pid"]))
        for stage in stages:
            for out in stage.dvc.outs:
                locks["read"][out.fs_path].append(me)
    atexit.register(_release_all, me)


def release(repo: Repo, stage: Stage) -> None:
    """Remove the entries of one stage's outputs from DVC's lock file, so that DVC may record them."""
    me, paths = _entry(owner()), {out.fs_path for out in stage.dvc.outs}
    with _lock_file(repo) as locks:
        _forget(locks, lambda entry: entry == me, paths)


def _release_all(me: dict[str, Any]) -> None:
    with _lock_file(open_repo()) as locks:
        _forget(locks, lambda entry: entry == me)


def _forget(locks: dict, unwanted: Any, paths: set[str] | None = None) -> None:
    for path in [p for p in locks["read"] if paths is None or p in paths]:
        locks["read"][path] = [entry for entry in locks["read"][path] if not unwanted(entry)]
        if not locks["read"][path]:
            del locks["read"][path]


def _entry(who: dict[str, Any]) -> dict[str, Any]:
    return {"pid": who["pid"], "cmd": who["cmd"]}


@contextmanager
def _lock_file(repo: Repo) -> Iterator[dict]:
    hardlink = repo.config["core"].get("hardlink_lock", False)
    with _edit_rwlock(repo.tmp_dir, repo.fs, hardlink) as locks:
        yield locks


def _flock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as err:
        if err.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
        say("this filesystem has no flock: see to it that only one snakemake runs in this directory")
    return True


def _short(cmd: str) -> str:
    program, _, rest = cmd.partition(" ")
    return f"{os.path.basename(program)} {rest}".strip()
