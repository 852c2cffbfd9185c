"""GPUs for a stage: those of its Slurm job, or on a workstation GPUs that no other job of this user holds."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from workflow.bridge.alive import own_job
from workflow.bridge.errors import BridgeError, say
from workflow.bridge.relay import Relay
from workflow.bridge.resources import Request

LOCKS = Path("/tmp")  # shared by the whole machine; TMPDIR may differ between shells


@contextmanager
def granted(stage: str, request: Request, relay: Relay) -> Iterator[dict[str, str]]:
    """Yield environment variables with which the stage sees its own GPUs and nobody else's.

    Waits until enough of them are free. Raises BridgeError if a signal comes first.
    """
    if own_job():
        yield request.environment()
        return
    count = min(request.gpus_per_node, len(here()))
    if not count:  # a machine without GPUs: CRIBO_GPUS, if a person set it, is the number of processes
        yield {}
        return
    with ExitStack() as held:
        devices = _wait_for(stage, count, held, relay)
        yield {"CUDA_VISIBLE_DEVICES": ",".join(devices), "CRIBO_GPUS": str(count)}


def here() -> list[str]:
    """The GPUs of this machine, by names that CUDA_VISIBLE_DEVICES takes; if that is set, only the GPUs it selects."""
    if (chosen := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name.strip() for name in chosen.split(",") if name.strip()]
    if not shutil.which("nvidia-smi"):
        return []
    asked = subprocess.run(["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"], capture_output=True, text=True)
    return asked.stdout.split() if asked.returncode == 0 else []


def _wait_for(stage: str, count: int, held: ExitStack, relay: Relay) -> list[str]:
    """Names of `count` GPUs, each locked by a file until `held` is closed or this process ends."""
    told = False
    while not relay.received:
        devices: list[str] = []
        with ExitStack() as taken:
            for name in here():
                if len(devices) < count and _lock(name, taken):
                    devices.append(name)
            if len(devices) == count:
                held.enter_context(taken.pop_all())
                return devices
        if not told:
            say(f"{stage}: waits for {count} free GPU{'s' if count > 1 else ''}")
            told = True
        time.sleep(0.5)
    raise BridgeError(f"{stage}: stopped while it waited for a GPU")


def _lock(name: str, taken: ExitStack) -> bool:
    """Try to lock a GPU. The lock is in the user's own folder, so that two checkouts on one machine do not share a GPU."""
    folder = LOCKS / f"cribo-gpus-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    file = taken.enter_context((folder / name).open("a"))
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
