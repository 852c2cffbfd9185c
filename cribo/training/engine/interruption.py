"""How a long run is stopped and goes on: SIGTERM or Ctrl-C asks, and it saves its state; after SIGTERM the scheduler puts it
back into the queue."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cribo.training.engine.checkpoint import RunInUse
from cribo.training.engine.distributed import AllStop
from cribo.training.engine.log import say


class Interrupted(AllStop):
    """Somebody asked; the state is saved and the same command goes on from it."""


class Terminated(BaseException):
    """SIGTERM came outside the loop, where processes do not stop together: the last saved state is what there is.

    No mistake that any code may handle: who reads a state would take the file for damaged.
    """


GOES_ON = "the same command goes on from the last saved state, if there is one"
ANEW = "nothing of it is kept: the same command begins anew"  # of a command that saves no state
ASKS = (signal.SIGTERM, signal.SIGINT)
PATIENCE = 2  # times that somebody may type Ctrl-C before it ends a loop in the middle of a step
_HEARD: list[int] = []  # every such signal since the command began


@contextmanager
def stop_flag() -> Iterator[list[int]]:
    """A list that is no longer empty after SIGTERM or Ctrl-C: the signal itself does nothing, the loop acts at a step's end.

    A process that was asked to stop stays deaf to further signals of the kind, and ends well: torchrun and Slurm send
    several, and one that came after the state was saved would end it before it can ask for another turn. A person who types
    Ctrl-C a third time will not wait.
    """
    flag: list[int] = []

    def note(number: int, _frame: object) -> None:
        flag.append(number)
        _HEARD.append(number)
        if flag.count(signal.SIGINT) > PATIENCE:
            raise KeyboardInterrupt

    heeded = [number for number in ASKS if signal.getsignal(number) != signal.SIG_IGN]  # as in the background of a shell
    before = {number: signal.signal(number, note) for number in heeded}
    try:
        yield flag
    finally:
        if not flag:
            for number, handler in before.items():
                signal.signal(number, handler)


def asked_by(flag: list[int]) -> str:
    """What asked, in words; where another process was asked, SIGTERM: Ctrl-C reaches them all."""
    return "Ctrl-C" if signal.SIGINT in flag else "SIGTERM"


@contextmanager
def resumable_command(follows: str = GOES_ON) -> Iterator[None]:
    """For a stage's command: a stopped run, or one that another process has, ends it with a sentence, `follows` in it.

    Where no loop acts on SIGTERM or Ctrl-C, before the first step or while a trained model is judged, they end the command
    at once.
    """
    _HEARD.clear()
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    except RunInUse as error:
        raise SystemExit(str(error)) from None
    except Interrupted as stop:
        _ask_for_a_turn()
        raise SystemExit(str(stop)) from None
    except Terminated:
        _ask_for_a_turn()
        raise SystemExit(f"stopped by SIGTERM; {follows}") from None
    except KeyboardInterrupt:
        raise SystemExit(f"stopped by Ctrl-C; {follows}") from None
    finally:
        if signal.getsignal(signal.SIGTERM) is _terminate:
            signal.signal(signal.SIGTERM, before)


def ignore_signals() -> None:
    """SIGTERM and Ctrl-C do nothing from here on: the result is written, and what is left takes a moment.

    Each process calls it before all of them wait for each other for the last time: one that was ended earlier is then missed
    there, and the run directory stays.
    """
    for number in ASKS:
        signal.signal(number, _ignore)


def finish(folder: Path | None) -> None:
    """All processes have left each other: the run directory goes, so that a forced rerun starts afresh. None where another
    process removes it, or there is none.

    It stays where torchrun was asked to stop, which then ends in failure though its processes end well: another turn writes
    the result once more and trains nothing.
    """
    ignore_signals()
    if folder and _HEARD and int(os.environ.get("WORLD_SIZE", 1)) > 1:
        _ask_for_a_turn()
        return
    try:
        if folder:
            shutil.rmtree(folder)
    except OSError as error:
        say(f"{folder} is needed no more and could not be removed ({error.strerror}): remove it")


def _ask_for_a_turn() -> None:
    """Have the scheduler's wrapper put the job back into the queue, should the command fail; after Ctrl-C it ends."""
    if (marker := os.environ.get("CRIBO_REQUEUE")) and signal.SIGINT not in _HEARD:
        Path(marker).touch()


def _terminate(number: int, _frame: object) -> None:
    signal.signal(number, _ignore)
    raise Terminated


def _ignore(number: int, _frame: object) -> None:
    """Unlike SIG_IGN it is not handed down to commands that this process starts."""
    _HEARD.append(number)
