"""How a long run is stopped and goes on: SIGTERM asks, it saves its state, the scheduler puts it back into the queue."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cribo.training.checkpoint import RunInUse
from cribo.training.distributed import AllStop


class Interrupted(AllStop):
    """SIGTERM came; the state is saved and the same command goes on from it."""


@contextmanager
def sigterm_flag() -> Iterator[list[int]]:
    """A list that is no longer empty after SIGTERM: the signal itself does nothing, the loop acts at a step's end.

    A process that was asked to stop stays deaf to further signals of the kind, and ends well: torchrun and Slurm send
    several, and one that came after the state was saved would end it before it can ask for another turn.
    """
    flag: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: flag.append(number))
    try:
        yield flag
    finally:
        if not flag:
            signal.signal(signal.SIGTERM, before)


@contextmanager
def resumable_command() -> Iterator[None]:
    """For a stage's command: a stopped run, or one that another process has, ends it with a sentence."""
    try:
        yield
    except RunInUse as error:
        raise SystemExit(str(error)) from None
    except Interrupted as stop:
        if marker := os.environ.get("CRIBO_REQUEUE"):  # the scheduler's wrapper puts the job back into the queue
            Path(marker).touch()
        raise SystemExit(str(stop)) from None
