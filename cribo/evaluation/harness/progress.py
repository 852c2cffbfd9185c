"""Progress of an evaluation: a line on stderr every few seconds, with an estimate of the time left."""

from __future__ import annotations

import sys
import time


class Progress:
    """Counts work in any unit; prints a line at most every `every` seconds, and one at the end."""

    def __init__(self, what: str, total: float, every: float = 2.0):
        self.what, self.total, self.every = what, total, every
        self.done = 0.0
        self.start = self.printed = time.monotonic()

    def add(self, amount: float, note: str = "") -> None:
        """Count `amount` more as done; `note` says what was done."""
        self.done += amount
        now = time.monotonic()
        finished = self.done >= self.total
        if now - self.printed < self.every and not finished:
            return
        self.printed = now
        spent = now - self.start
        left = "done" if finished else f"ETA {spent * (self.total - self.done) / self.done:.0f} s"
        parts = [f"{self.what}: {100 * self.done / self.total:3.0f} %", *([note] if note else []), f"{spent:.1f} s", left]
        print(", ".join(parts), file=sys.stderr, flush=True)
