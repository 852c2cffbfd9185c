"""Signals that reach the bridge go on to the stage's command, and the bridge sees its stage through."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Relay:
    """Runs commands, each in its own process group, and passes signals on to all of it.

    Before a time limit Slurm sends SIGTERM to every process of a job, one after the other, and again at the limit. The
    command then saves its state; if this process died of a signal, the first or a later one, Snakemake would take the job
    for failed while the state is being written, and nobody would ask for another turn.
    """

    def __init__(self) -> None:
        self.received: list[int] = []
        self._group: int | None = None

    def run(self, command: list[str], settings: dict) -> int:
        """The command's exit code, once all of its group has ended by itself."""
        process = subprocess.Popen(command, process_group=0, **settings)
        self._group = process.pid
        if self.received:  # it came before the command was there
            self._send(self.received[-1])
        code = process.wait()
        while (self.received or code < 0) and self._send(0):  # the shell is gone, what it started may still be saving
            time.sleep(0.1)
        self._group = None
        return code

    def forward(self, number: int, _frame: object) -> None:
        self.received.append(number)
        if self._group:
            self._send(number)

    def _send(self, number: int) -> bool:
        """Whether there was anybody left to signal."""
        try:
            os.killpg(self._group, number)
        except ProcessLookupError:
            return False
        return True


@contextmanager
def relaying() -> Iterator[Relay]:
    relay = Relay()
    before = {number: signal.signal(number, relay.forward) for number in SIGNALS}
    try:
        yield relay
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def ask(*command: str) -> subprocess.CompletedProcess[str]:
    """A command of Slurm, which the job's signals do not reach."""

    def deaf() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

    return subprocess.run(command, capture_output=True, text=True, preexec_fn=deaf)
