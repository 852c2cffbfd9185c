"""Signals that reach the bridge go on to the stage's command, and the bridge sees its stage through."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
PATIENCE = (1, 2, 4, 8, 15, 30)  # seconds between questions that Slurm does not answer


class Relay:
    """Runs commands, each in its own process group, and passes the first signal of each kind on to all of it.

    Before a time limit Slurm sends SIGTERM to every process of a job, one after the other, and again at the limit. The
    command then saves its state; if this process died of a signal, the first or a later one, Snakemake would take the job
    for failed while the state is being written, and nobody would ask for another turn.
    """

    def __init__(self) -> None:
        self.received: list[int] = []
        self._group: int | None = None

    def run(self, command: list[str], settings: dict) -> int:
        """The command's exit code. Where a signal ended it, what it started has ended too: that may still be saving.

        A shell dies of the signal at once, and torchrun of a second one, while its processes, each in a group of its own,
        are at work. Their parents gone they are children of this process.
        """
        process = subprocess.Popen(command, process_group=0, **settings)
        self._group = process.pid
        if self.received:  # it came before the command was there
            self._send(self.received[-1])
        code = process.wait()
        if self.received or code < 0 or code > 128:
            with suppress(ChildProcessError):
                while True:
                    os.waitpid(-1, 0)
        self._group = None
        return code

    def forward(self, number: int, _frame: object) -> None:
        again = number in self.received
        self.received.append(number)
        if self._group and not again:
            self._send(number)

    def _send(self, number: int) -> None:
        """A terminal that is closed says SIGHUP, of which a stage would die without saving."""
        with suppress(ProcessLookupError):
            os.killpg(self._group, signal.SIGTERM if number == signal.SIGHUP else number)


@contextmanager
def relaying() -> Iterator[Relay]:
    relay = Relay()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    numbers = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # it is under nohup
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, relay.forward) for number in numbers}
    try:
        yield relay
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def ask(*command: str) -> subprocess.CompletedProcess[str]:
    """A command of Slurm, which the job's signals do not reach; again and again for a minute where Slurm is too busy.

    Status 127 without one where there is no such command, as in a container without Slurm's.
    """
    if not shutil.which(command[0]):
        return subprocess.CompletedProcess(command, 127, "", f"{command[0]} is not on PATH")

    def deaf() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

    for pause in (*PATIENCE, 0):
        answer = subprocess.run(command, capture_output=True, text=True, preexec_fn=deaf)
        if answer.returncode == 0:
            break
        time.sleep(pause)
    return answer
