"""Pass signals that reach the bridge on to the stage's command, and wait until the stage has ended."""

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
PATIENCE = (1, 2, 4, 8, 15, 30)  # seconds to wait before asking Slurm again when it does not answer


class Relay:
    """Run commands, each in its own process group, and pass the first signal of each kind on to the whole group.

    Before a time limit, Slurm sends SIGTERM to every process of a job, one after the other, and again at the limit. The
    command then saves its state. If this process died of the first or a later signal, Snakemake would consider the job
    failed while the state is being written, and nobody would ask for another turn.
    """

    def __init__(self) -> None:
        self.received: list[int] = []
        self._group: int | None = None

    def run(self, command: list[str], settings: dict) -> int:
        """Run a command and return its exit code. If a signal ended it, wait for its processes, which may still be saving.

        A shell dies of the signal at once, and torchrun of a second one, while their processes, each in its own group, are
        still at work. Once their parents are gone, they become children of this process.
        """
        process = subprocess.Popen(command, process_group=0, **settings)
        self._group = process.pid
        if self.received:  # a signal came before the command was started
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
        """Send a signal to the group. SIGHUP, which a closed terminal sends, would kill a stage unsaved: send SIGTERM."""
        with suppress(ProcessLookupError):
            os.killpg(self._group, signal.SIGTERM if number == signal.SIGHUP else number)


@contextmanager
def relaying() -> Iterator[Relay]:
    relay = Relay()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    numbers = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # it is ignored under nohup
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, relay.forward) for number in numbers}
    try:
        yield relay
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def ask(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a Slurm command, shielded from the job's SIGTERM; repeat it for a minute while it fails, as Slurm may be busy.

    Returns status 127 where there is no such command, as in a container without Slurm's.
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
