"""How a command of ours ends when the user, the data or the machine is at fault: one sentence, exit status 1."""

from __future__ import annotations

import sys
from collections.abc import Callable

# Mistakes that a sentence explains. Anything else is a defect of ours and keeps its traceback.
EXPLAINED = (ValueError, OSError, FloatingPointError)


def run(main: Callable[..., None], usage: str, arguments: int) -> None:
    """Call `main` with the command line's arguments and turn explained mistakes into a sentence on stderr."""
    if len(sys.argv) - 1 != arguments:
        sys.exit(f"usage: {usage}")
    try:
        main(*sys.argv[1:])
    except EXPLAINED as error:
        sys.exit(sentence(error))


def sentence(error: Exception) -> str:
    """What an explained mistake says; of one in a loader's process without the traceback that torch makes its message."""
    said = str(error)
    if said.startswith("Caught ") and "DataLoader worker process" in said.splitlines()[0]:
        return said.strip().splitlines()[-1].partition(": ")[2]
    return said
