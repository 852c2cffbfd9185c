"""How a training resumes: the main process chooses the state, and either all processes go on from it or none does."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

from cribo.training.engine import checkpoint, state_file
from cribo.training.engine.distributed import AllStop, World
from cribo.training.engine.log import say


class CannotResume(AllStop, OSError):
    """There are states, but not every process can go on from the same one."""


def resume(folder: Path, world: World, restore: Callable[[dict], None]) -> bool:
    """Pass the newest intact state in `folder` to `restore` on all processes; returns False before the first save.

    Only what `restore` takes over stays in memory. Raises CannotResume on all processes together.
    """
    saved = _outcome(checkpoint.load_newest, folder, say) if world.main else None
    chosen = world.gather_objects(_told(saved))[0]
    if isinstance(chosen, Exception):
        raise CannotResume(str(chosen))
    if chosen is None:
        return False
    path = checkpoint.state_path(folder, chosen)
    if not world.main:
        saved = _outcome(state_file.read, path)
    _agree(path, chosen, world.gather_objects((socket.gethostname(), _told(saved))))
    restore(saved)
    return True


def _outcome(read: Callable, *arguments: object) -> dict | Exception | None:
    """What `read` returns or raises: a process that raised alone would leave the others waiting for it."""
    try:
        return read(*arguments)
    except (OSError, ValueError) as error:
        return error


def _told(outcome: dict | Exception | None) -> int | Exception | None:
    """What the other processes need to know of an outcome: the error, or the number of steps done in place of the state."""
    return outcome["step"] if isinstance(outcome, dict) else outcome


def _agree(path: Path, chosen: int, found: list[tuple[str, int | Exception]]) -> None:
    for rank, (host, step) in enumerate(found):
        if step != chosen:
            what = f"cannot read it ({step})" if isinstance(step, Exception) else f"finds step {step} in it"
            raise CannotResume(
                f"process 0 goes on from {path} and process {rank} of {len(found)} on {host} {what}: "
                "the folder must be on a disk that all processes share"
            )
