"""The log lines and progress bar of a training run, and metrics.jsonl, which outlives the run."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch.utils.data import DataLoader

from cribo.training.engine.distributed import World

PACE = "pace"  # the one entry of a record that depends on the machine


def say(message: str) -> None:
    """Print one line for the person watching."""
    print(message, file=sys.stderr, flush=True)


class Journal:
    """One record every few steps: a line on stderr, and the same in `metrics.jsonl` of the run directory.

    Records of steps that a restart repeats are dropped first, so that the file reads as one uninterrupted run. On a
    terminal, a bar below the lines moves with every step. A line starts with the run's name (its directory's without the
    fingerprint), because several trainings may share a terminal. Only the main process of `world` writes. `flops` is the
    FLOPs of one image, `peak` the FLOP/s of all devices.
    """

    def __init__(
        self,
        path: Path,
        done: int,
        steps: int,
        images_per_step: int,
        world: World,
        flops: float = 0.0,
        peak: float = 0.0,
    ):
        self.path, self.steps, self.images_per_step, self.world = path, steps, images_per_step, world
        self.write = world.main
        self.run = path.parent.name.rpartition("-")[0]
        self.flops, self.peak = flops, peak
        self.waited = 0.0  # seconds that the loop has waited for data since the last record
        self.marked, self.first = (time.perf_counter(), done), (time.perf_counter(), done)
        self.bar = None
        if self.write:
            kept = [line for line in _lines(path) if json.loads(line)["step"] <= done]
            beside = path.with_suffix(".partial")
            with _room(path):
                beside.write_text("".join(f"{line}\n" for line in kept))
                beside.replace(path)

    def __enter__(self) -> Journal:
        if self.write and sys.stderr.isatty():
            columns = TextColumn("steps"), BarColumn(bar_width=None), MofNCompleteColumn(), TimeRemainingColumn()
            self.bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self.bar.start()
            self.task = self.bar.add_task("steps", total=self.steps, completed=self.first[1])
        return self

    def __exit__(self, *_exception: object) -> None:
        if self.bar:
            self.bar.stop()
            self.bar = None

    def tick(self, step: int) -> None:
        """Move the bar, if there is one."""
        if self.bar:
            self.bar.update(self.task, completed=step)

    def record(self, step: int, epoch: int, values: dict[str, float]) -> None:
        """Record the values after `step` steps. Raises OSError, one sentence, if the disk does not take them."""
        if not self.write:
            return
        pace = self._pace(step)
        with _room(self.path), open(self.path, "a") as file:
            file.write(json.dumps({"step": step, "epoch": epoch, **values, PACE: pace}) + "\n")
        shown = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        used = f"  MFU {pace['mfu']:.1%}" if "mfu" in pace else ""
        speed = f"{pace['images_per_second']:.4g} img/s  data {pace['data_wait']:.0%}{used}  {pace['memory_gb']:.1f} GB"
        started, first = self.first
        left = (self.steps - step) * (time.perf_counter() - started) / (step - first)
        say(f"{self.run}: step {step}/{self.steps}  epoch {epoch}  {shown}  {speed}  ETA {clock(left)}")

    def _pace(self, step: int) -> dict[str, float]:
        """Speed since the last record, and peak memory so far: of the GPU, or of this process if it uses none."""
        now, (before, last) = time.perf_counter(), self.marked
        speed = (step - last) * self.images_per_step / (now - before)
        pace = {"images_per_second": round(speed, 2), "data_wait": round(self.waited / (now - before), 4)}
        if self.peak:
            pace["mfu"] = round(speed * self.flops / self.peak, 4)
        pace["memory_gb"] = round(peak_memory(self.world.device) / 1e9, 3)
        self.marked, self.waited = (now, step), 0.0
        return pace


@contextmanager
def _room(path: Path) -> Iterator[None]:
    """Turn a disk error into one that names the file and says how to go on."""
    try:
        yield
    except OSError as error:
        raise OSError(
            f"{path} could not be written ({error.strerror}): make room or see to the disk, and give the same command "
            "again; it resumes from the last saved state"
        ) from error


def _lines(path: Path) -> list[str]:
    """Complete lines of a journal, if there is one yet. A last line without an end was cut off when an earlier run died."""
    text = path.read_text() if path.exists() else ""
    return text[: text.rfind("\n") + 1].splitlines()


def read_records(path: Path) -> list[dict]:
    """All records of a journal, without the values that depend on the machine."""
    return [{key: value for key, value in json.loads(line).items() if key != PACE} for line in _lines(path)]


def read_cost(path: Path, images_per_step: int) -> dict[str, float]:
    """What a training cost according to its journal: seconds between records over all turns, and peak memory in MiB."""
    before, seconds, memory = 0, 0.0, 0.0
    for record in map(json.loads, _lines(path)):
        seconds += (record["step"] - before) * images_per_step / record[PACE]["images_per_second"]
        before, memory = record["step"], max(memory, record[PACE]["memory_gb"])
    return {"seconds": round(seconds, 1), "peak_memory_mib": round(memory * 1e9 / 2**20)}


def timed(batches: Iterable, journal: Journal) -> Iterator:
    """Yield the batches, adding the time spent waiting for them to the journal."""
    iterator = iter(batches)
    while True:
        start = time.perf_counter()
        try:
            batch = next(iterator, None)
        except (ConnectionError, EOFError) as error:
            # Either a loading process died while sending a batch, which torch would report a moment later as below, or it
            # passes on an error of its own.
            if not isinstance(batches, DataLoader) or str(error).startswith("Caught "):
                raise
            raise RuntimeError("DataLoader worker (pid unknown) exited unexpectedly") from error
        journal.waited += time.perf_counter() - start
        if batch is None:
            return
        yield batch


def peak_memory(device: torch.device) -> int:
    """Peak memory in bytes: allocated on the GPU that computes, or used by this process if there is none."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def clock(seconds: float) -> str:
    """Seconds as text: `1:02:03`, `2:03`."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
