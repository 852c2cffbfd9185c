"""How a long run stops and goes on: on SIGTERM or Ctrl-C it saves its state; after SIGTERM the scheduler requeues it."""

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
    """The run was asked to stop. Its state is saved, and the same command goes on from it."""


class Terminated(BaseException):
    """SIGTERM came outside the loop, where processes do not stop together; only the last saved state remains.

    It is no Exception, so that no code handles it as an error: code reading a state would take the file for damaged.
    """


GOES_ON = "the same command goes on from the last saved state, if there is one"
ANEW = "nothing of it is kept: the same command starts from scratch"  # for a command that saves no state
ASKS = (signal.SIGTERM, signal.SIGINT)
PATIENCE = 2  # number of Ctrl-C that a loop tolerates; one more ends it in the middle of a step
_HEARD: list[int] = []  # every such signal received since the command began


@contextmanager
def stop_flag() -> Iterator[list[int]]:
    """A list that fills on SIGTERM or Ctrl-C. The signal itself does nothing more; the loop acts at the end of a step.

    A process that was asked to stop ignores further such signals and ends in order. torchrun and Slurm send several, and
    one that came after the state was saved would end the process before it can ask for another turn. A third Ctrl-C comes
    from a person who will not wait, and ends the loop at once.
    """
    flag: list[int] = []

    def note(number: int, _frame: object) -> None:
        flag.append(number)
        _HEARD.append(number)
        if flag.count(signal.SIGINT) > PATIENCE:
            raise KeyboardInterrupt

    heeded = [number for number in ASKS if signal.getsignal(number) != signal.SIG_IGN]  # as in a shell's background jobs
    before = {number: signal.signal(number, note) for number in heeded}
    try:
        yield flag
    finally:
        if not flag:
            for number, handler in before.items():
                signal.signal(number, handler)


def asked_by(flag: list[int]) -> str:
    """Name of the signal that asked. If only another process was asked, it was SIGTERM, since Ctrl-C reaches them all."""
    return "Ctrl-C" if signal.SIGINT in flag else "SIGTERM"


@contextmanager
def resumable_command(follows: str = GOES_ON) -> Iterator[None]:
    """Context for a stage's command: end it with one sentence if the run was stopped or another process holds it.

    Where no loop acts on SIGTERM or Ctrl-C (before the first step, or while a trained model is evaluated), they end the
    command at once. The sentence then includes `follows`, which says what the same command does next time.
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
    """Ignore SIGTERM and Ctrl-C from here on: the result is written, and the rest takes only a moment.

    Each process calls this before the last barrier. A process that ended earlier is then missing at the barrier, so the run
    directory stays.
    """
    for number in ASKS:
        signal.signal(number, _ignore)


def finish(folder: Path | None) -> None:
    """Remove the run directory once all processes have left the group, so that a forced rerun starts from scratch. `folder`
    is None if another process removes it, or if there is none.

    The directory stays if torchrun was asked to stop, because torchrun then fails even though its processes end well. The
    next turn then writes the result again without training.
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
    """Have the scheduler's wrapper requeue the job if the command fails; after Ctrl-C, do not."""
    if (marker := os.environ.get("CRIBO_REQUEUE")) and signal.SIGINT not in _HEARD:
        Path(marker).touch()


def _terminate(number: int, _frame: object) -> None:
    signal.signal(number, _ignore)
    raise Terminated


def _ignore(number: int, _frame: object) -> None:
    """Ignore the signal. Unlike SIG_IGN, this handler is not inherited by commands that the process starts."""
    _HEARD.append(number)
