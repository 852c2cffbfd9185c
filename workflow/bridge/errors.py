"""The one error that is meant for the user to read."""

from __future__ import annotations

import sys


class BridgeError(Exception):
    """One sentence: what is wrong, where, and what to do."""


def say(message: str) -> None:
    """A line for the person at the terminal; stdout stays free for `snakemake --dag` and the like."""
    print("dvc:", message, file=sys.stderr, flush=True)
