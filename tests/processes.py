"""Processes in the time of a fork, for tests that would otherwise wait for imports.

A fresh interpreter takes seconds to import torch, a fork of this one milliseconds. What tests need of other processes (their
death, their collectives, their exit code and what they say) they get from forks, therefore. That a command line or torchrun
starts them is tested with the real ones, once for each.
"""

from __future__ import annotations

import atexit
import importlib
import multiprocessing
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import wait
from pathlib import Path

import torch

from cribo.data.workers import _end_workers

FORK = multiprocessing.get_context("fork")


class Forks:
    """`work()` in `size` forks of this process at once, which find each other as torchrun's do; handled like a Popen."""

    def __init__(self, work: Callable[[], None], size: int = 1, cwd: Path | str = ".", **env: str):
        self.streams = [tempfile.TemporaryFile("a+") for _ in "12"]  # noqa: SIM115
        if size > 1:
            env |= {"WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
        ranks = [{"RANK": str(i), "LOCAL_RANK": str(i)} if size > 1 else {} for i in range(size)]
        self.processes = [FORK.Process(target=self._child, args=(work, cwd, env | rank)) for rank in ranks]
        for process in self.processes:
            process.start()

    def _child(self, work: Callable[[], None], cwd: Path | str, env: dict[str, str]) -> None:
        """What a fresh process has and a fork of pytest has not; then the work; then an end as the interpreter's."""
        for number, stream in enumerate(self.streams, 1):
            os.dup2(stream.fileno(), number)
        sys.stdout, sys.stderr = (os.fdopen(number, "w", 1, closefd=False) for number in (1, 2))
        sys.unraisablehook, threading.excepthook = sys.__unraisablehook__, threading.__excepthook__
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        torch.set_num_threads(1)  # others would be missing: threads do not survive a fork
        torch.cuda.is_available = lambda: False  # nor does CUDA
        os.environ.update(env)
        os.chdir(cwd)
        atexit._clear()
        atexit.register(_end_workers)
        try:
            work()
        finally:
            atexit._run_exitfuncs()

    def poll(self) -> int | None:
        """The exit code of the first to fail, 0 when all have ended well, None before."""
        codes = [process.exitcode for process in self.processes]
        return next((code for code in codes if code), None if None in codes else 0)

    @property
    def returncode(self) -> int | None:
        return self.poll()

    def send_signal(self, number: int) -> None:
        """To all, as torchrun hands it on."""
        for process in self.processes:
            if process.is_alive():
                os.kill(process.pid, number)

    def communicate(self, timeout: float = 600) -> tuple[str, str]:
        """Wait for the end; returns stdout and stderr. A minute after one has failed all are ended, as torchrun would."""
        end = time.monotonic() + timeout
        while alive := [process.sentinel for process in self.processes if process.exitcode is None]:
            if self.poll():
                end = min(end, time.monotonic() + 60)
            if not wait(alive, end - time.monotonic()):
                break
        late = [process.kill() for process in self.processes if process.exitcode is None]
        for process in self.processes:
            process.join()
        for stream in self.streams:
            stream.seek(0)
        out, err = (stream.read() for stream in self.streams)
        assert not late, f"not ended after {timeout} s: {err}"
        return out, err


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def python_m(module: str, *arguments: str, size: int = 1, cwd: Path | str = ".", **env: str) -> Forks:
    """`python -m module arguments` in a fork, or the same in `size` of them."""
    importlib.import_module(module)  # and all that it imports, here, so that no fork has to
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
