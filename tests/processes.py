"""Processes in the time of a fork, for tests that would otherwise wait for imports.

A fresh interpreter takes seconds to import torch, a fork of a warm one milliseconds. What tests need of other processes
(their death, their collectives, exit codes, what they say) they get from forks of multiprocessing's fork server. It has
imported and done nothing else; pytest's own process may have threads of autograd, which no fork survives. That a command
line or torchrun starts them is tested with the real ones, once for each.
"""

from __future__ import annotations

import atexit
import faulthandler
import multiprocessing
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from multiprocessing.connection import wait
from pathlib import Path

import torch

from cribo.data.batches.workers import _end_workers

HANGS = 200  # seconds after which a fork says where it stands
SERVER = multiprocessing.get_context("forkserver")
WARM = [
    "stages.pretrain",
    "stages.segmenter",
    "stages.dense_nn",
    "stages.report",
    "stages.prepare",
    "cribo.replay",
    "cribo.evaluate",
]
SERVER.set_forkserver_preload([*WARM, "tests.training.runs", "tests.evaluation.two_processes"])


class Forks:
    """`work()` in `size` processes at once, which find each other as torchrun's do; handled like a Popen."""

    def __init__(self, work: Callable[[], None], size: int = 1, cwd: Path | str = ".", **env: str):
        self.streams = [tempfile.NamedTemporaryFile("r") for _ in "12"]  # noqa: SIM115
        paths, env = [stream.name for stream in self.streams], os.environ | env
        if size > 1:
            env |= {"WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
        ranks = [{"RANK": str(i), "LOCAL_RANK": str(i)} if size > 1 else {} for i in range(size)]
        place = str(Path(cwd).absolute())
        self.processes = [SERVER.Process(target=_child, args=(work, place, env | rank, paths)) for rank in ranks]
        for process in self.processes:
            process.start()

    def poll(self) -> int | None:
        """The exit code of the first to fail, 0 when all have ended well, None before."""
        codes = [process.exitcode for process in self.processes]
        return next((code for code in codes if code), None if None in codes else 0)

    @property
    def returncode(self) -> int | None:
        return self.poll()

    def send_signal(self, number: int) -> None:
        """To all that live, as torchrun hands it on."""
        for process in filter(SERVER.Process.is_alive, self.processes):
            with suppress(ProcessLookupError):
                os.kill(process.pid, number)

    def communicate(self, timeout: float = HANGS + 40) -> tuple[str, str]:
        """Wait for the end; returns stdout and stderr. A minute after one has failed all are ended, as torchrun would."""
        end = time.monotonic() + timeout
        while alive := [process.sentinel for process in self.processes if process.exitcode is None]:
            if self.poll():
                end = min(end, time.monotonic() + 60)
            if not wait(alive, end - time.monotonic()):
                break
        late = [process for process in self.processes if process.exitcode is None]
        for process in late:  # it says where it stands, then it is ended
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGUSR1)
            process.join(2)
            process.kill()
        for process in self.processes:
            process.join()
        for stream in self.streams:
            stream.seek(0)
        out, err = (stream.read() for stream in self.streams)
        assert not late, f"not ended after {timeout} s: {err}"
        return out, err


def _child(work: Callable[[], None], cwd: str, env: dict[str, str], paths: list[str]) -> None:
    """What a fresh process has and a fork has not; then the work; then an end as the interpreter's."""
    for number, path in enumerate(paths, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND), number)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", 1, closefd=False) for number in (1, 2))
    faulthandler.dump_traceback_later(HANGS, file=sys.stderr)
    faulthandler.register(signal.SIGUSR1, file=sys.stderr)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    torch.set_num_threads(1)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    multiprocessing.set_start_method(None, force=True)  # a loader's processes start as those of a command do
    atexit._clear()
    atexit.register(_end_workers)
    try:
        work()
    finally:
        atexit._run_exitfuncs()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def python_m(module: str, *arguments: str, size: int = 1, cwd: Path | str = ".", **env: str) -> Forks:
    """`python -m module arguments` in a fork, or the same in `size` of them."""
    return Forks(partial(_as_main, module, arguments), size, cwd, **env)


def _as_main(module: str, arguments: tuple[str, ...]) -> None:
    sys.modules.pop(module, None)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def run_m(module: str, *arguments: str, **where) -> subprocess.CompletedProcess:
    """The same to its end."""
    process = python_m(module, *arguments, **where)
    out, err = process.communicate()
    return subprocess.CompletedProcess([module, *arguments], process.returncode, out, err)
