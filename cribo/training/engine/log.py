"""What a person sees of a training run, and metrics.jsonl, which survives it."""

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

PACE = "pace"  # the entry of a record that depends on the machine


def say(message: str) -> None:
    """One line for the person who watches."""
    print(message, file=sys.stderr, flush=True)


class Journal:
    """One record every few steps: a line on stderr, and the same in `metrics.jsonl` of the run directory.

    Records of steps that a restart does over are dropped first, so that the file reads as one undisturbed run. On a terminal
    a bar under the lines moves with every step. A line starts with the run's name, that of its directory without the
    fingerprint, because several trainings may share a terminal. The main process of `world` writes. `flops` are those of
    one image, `peak` those of all devices in a second.
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
        self.waited = 0.0  # seconds that the loop stood waiting for data since the last record
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
        """Note the values after `step` steps. Raises OSError, one sentence, when the disk does not take them."""
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
        """Speed since the last record, and the most memory in use so far: of the GPU, or of this process without one."""
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
    """Say of an error of the disk what it stops and how to go on."""
    try:
        yield
    except OSError as error:
        raise OSError(
            f"{path} could not be written ({error.strerror}): make room or see to the disk, and give the same command "
            "again; it goes on from the last saved state"
        ) from error


def _lines(path: Path) -> list[str]:
    """Whole lines of a journal, which may not be there yet. One without an end was cut off when the run before died."""
    text = path.read_text() if path.exists() else ""
    return text[: text.rfind("\n") + 1].splitlines()


def read_records(path: Path) -> list[dict]:
    """All records of a journal, without what depends on the machine."""
    return [{key: value for key, value in json.loads(line).items() if key != PACE} for line in _lines(path)]


def read_cost(path: Path, images_per_step: int) -> dict[str, float]:
    """What a training cost, by its journal: seconds between records, of all turns together, and the most memory in MiB."""
    before, seconds, memory = 0, 0.0, 0.0
    for record in map(json.loads, _lines(path)):
        seconds += (record["step"] - before) * images_per_step / record[PACE]["images_per_second"]
        before, memory = record["step"], max(memory, record[PACE]["memory_gb"])
    return {"seconds": round(seconds, 1), "peak_memory_mib": round(memory * 1e9 / 2**20)}


def timed(batches: Iterable, journal: Journal) -> Iterator:
    """The batches, while the journal's clock counts the time spent waiting for them."""
    iterator = iter(batches)
    while True:
        start = time.perf_counter()
        try:
            batch = next(iterator, None)
        except (ConnectionError, EOFError) as error:
            # A loading process died with a batch on its way, which torch says a moment later; or it hands on what it met.
            if not isinstance(batches, DataLoader) or str(error).startswith("Caught "):
                raise
            raise RuntimeError("DataLoader worker (pid unknown) exited unexpectedly") from error
        journal.waited += time.perf_counter() - start
        if batch is None:
            return
        yield batch


def peak_memory(device: torch.device) -> int:
    """The most bytes ever in use: on the GPU that computes, or without one by this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def clock(seconds: float) -> str:
    """`1:02:03`, `2:03`."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
