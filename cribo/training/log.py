"""What a person sees of a training run, and metrics.jsonl, which survives it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path


def say(message: str) -> None:
    """One line for the person who watches."""
    print(message, file=sys.stderr, flush=True)


class Journal:
    """One record every few steps: a line on stderr, and the same in `metrics.jsonl` of the run directory.

    Records of steps that a restart does over are dropped first, so that the file reads as one undisturbed run.
    """

    def __init__(self, path: Path, done: int, steps: int, images_per_step: int, write: bool):
        self.path, self.steps, self.images_per_step, self.write = path, steps, images_per_step, write
        self.started, self.first, self.waited = time.perf_counter(), done, 0.0
        if write:
            kept = [line for line in self._lines() if json.loads(line)["step"] <= done]
            path.write_text("".join(f"{line}\n" for line in kept))

    def _lines(self) -> list[str]:
        # A line without its end was cut off by the death of the run before.
        text = self.path.read_text() if self.path.exists() else ""
        return text[: text.rfind("\n") + 1].splitlines()

    def record(self, step: int, epoch: int, values: dict[str, float]) -> None:
        """Note the values after `step` steps."""
        if not self.write:
            return
        elapsed = time.perf_counter() - self.started
        done = step - self.first
        speed = done * self.images_per_step / elapsed
        left = (self.steps - step) * elapsed / done
        entry = {"step": step, "epoch": epoch, **values}
        with open(self.path, "a") as file:
            file.write(json.dumps(entry) + "\n")
        shown = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        pace = f"{speed:.0f} img/s  data {self.waited / elapsed:.0%}  ETA {_clock(left)}"
        say(f"step {step}/{self.steps}  epoch {epoch}  {shown}  {pace}")

    def entries(self) -> list[dict]:
        """All records so far."""
        return [json.loads(line) for line in self._lines()]


def timed(batches: Iterable, journal: Journal):
    """The batches, while the journal's clock counts the time spent waiting for them."""
    iterator = iter(batches)
    while True:
        start = time.perf_counter()
        batch = next(iterator, None)
        journal.waited += time.perf_counter() - start
        if batch is None:
            return
        yield batch


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
