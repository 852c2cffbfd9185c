"""`python -m workflow.bridge run STAGE` and `... record STAGE`: the commands that the rules of the Snakefile call."""

from __future__ import annotations

import sys

from workflow.bridge.cutoff import pass_over
from workflow.bridge.errors import BridgeError, say


def main(action: str, stage: str) -> int:
    """Return the exit code; an error that the user can fix is printed as one line without a traceback."""
    if pass_over(stage, {"run": "done", "record": "rec"}[action]):
        return 0
    from workflow.bridge.record import record  # DVC takes half a second to import
    from workflow.bridge.run import run

    try:
        return {"run": run, "record": record}[action](stage) or 0
    except BridgeError as err:
        say(str(err))
        return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
