"""python -m cribo.doctor: can this machine run what params.yaml asks, and how much time and memory will it take?

Checks the device, its driver, memory, disk and data, predicts the memory of every model from shapes, then runs a few real
steps of each on noise and loads a few real images. `--images N` bounds the images of those steps; the default is a
process's share of the batch. On a CPU the default is what 90 seconds for all models allow, at most 64; steps are never
compiled and have a small memory bank, and their time is scaled to the whole. Exit status 1 if something stands in the way.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch

from cribo import plan
from cribo.command import explained
from cribo.data.preparation.parallel import cores
from cribo.data.preparation.sets import SETS
from cribo.data.prepared.location import starts
from cribo.data.prepared.manifest import MANIFEST, DataError
from cribo.data.prepared.readers import PreparedSet, open_set
from cribo.launch import count
from cribo.model.networks.network import build_network
from cribo.pace import CPU_SECONDS, Pace, cost_key, loading_rate, shares, try_steps, try_steps_on_cpu
from cribo.params import Compute, Params, load
from cribo.params.data import Data
from cribo.training.engine.checkpoint import RUNS
from cribo.training.engine.distributed import World, pick_device
from cribo.training.engine.log import clock, peak_memory
from cribo.training.flops import flops_per_image, peak_flops
from cribo.training.loop import check_shapes
from cribo.training.memory import memory_estimate, size
from cribo.training.schedules import Schedule
from cribo.training.state import initial_state

GB = 1e9


@dataclass
class Findings:
    """The lines of the report, and the obstacles found."""

    lines: list[str] = field(default_factory=list)
    obstacles: list[str] = field(default_factory=list)

    def say(self, what: str, text: str) -> None:
        self.lines.append(f"{what:10} {text}")
        print(self.lines[-1], flush=True)

    def add_obstacle(self, text: str) -> None:
        self.obstacles.append(text)


@dataclass(frozen=True)
class Means:
    """What each training would run on; `room`: bytes of memory that it may use."""

    compute: Compute
    device: torch.device
    processes: int
    room: int

    def shares(self, settings: dict) -> tuple[int, int]:
        """Images per process and step, and how many of them at once."""
        return shares(settings, self.compute, self.processes)


def examine(params: Params, images: int | None) -> Findings:
    """Examine everything and print each line as soon as it is known. Raises ValueError if a requested GPU is missing."""
    found, compute = Findings(), params.compute
    device, own = pick_device(compute.device), peak_memory(torch.device("cpu"))
    processes = count(os.environ, "CRIBO_GPUS", 0) or 1
    if compute.threads:
        torch.set_num_threads(compute.threads)
    means = Means(compute, device, processes, room=_machine(found, device))
    data = {name: _data(found, name, about) for name, about in params.data.items()}
    trained = {model.dataset for model in params.trained.values()}
    photos = {name: len(there.splits["train"]) for name, there in data.items() if there is not None}
    photos |= {name: _assumed(found, name, params.data[name]) for name in data if name in trained and name not in photos}
    groups: dict[str, dict[str, dict]] = {}
    for name, model in params.trained.items():
        settings = plan.pretrain_settings(model)
        try:
            check_shapes(settings, photos[model.dataset] or settings["optimisation"]["batch_size"], processes)
            groups.setdefault(cost_key(settings), {})[name] = settings
        except ValueError as error:
            found.add_obstacle(f"{name}: {error}")
    for group in groups.values():
        _foretell(found, group, means, own)
    until = time.perf_counter() + CPU_SECONDS
    for left, group in zip(range(len(groups), 0, -1), groups.values(), strict=True):
        seconds = (until - time.perf_counter()) / left
        pace = None
        if device.type == "cuda" or images or seconds > 0:
            found.say("trying", f"{_names(group)}: a few steps on noise")
            settings = next(iter(group.values()))
            _, at_once = means.shares(settings)
            if device.type == "cuda":
                pace = try_steps(settings, compute, device, at_once, images)
            else:
                pace = try_steps_on_cpu(settings, compute, at_once, images, seconds)
        for name, settings in group.items():
            dataset = params.trained[name].dataset
            _model(found, name, settings, data[dataset], photos[dataset], means, pace)
    return found


def _machine(found: Findings, device: torch.device) -> int:
    """Report machine, device and disk; return the bytes of memory that a training may use."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    found.say(
        "machine",
        f"{platform.system()}, Python {platform.python_version()}, torch {torch.__version__}, "
        f"{cores()} CPU cores, {memory / GB:.0f} GB of memory",
    )
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        found.say(
            "device",
            f"{torch.cuda.device_count()} × {torch.cuda.get_device_name(device)}, driver {_driver()}, CUDA "
            f"{torch.version.cuda}, {free / GB:.0f} of {total / GB:.0f} GB free",
        )
        memory = free
    else:
        found.say("device", f"cpu, {torch.get_num_threads()} threads")
    here, there = shutil.disk_usage(".").free, _free_for_states()
    found.say("disk", f"{here / GB:.0f} GB free here, where data/ and results/ lie, {there / GB:.0f} GB for {RUNS}/")
    if RUNS.is_symlink() and not RUNS.is_dir():
        found.add_obstacle(
            f"{RUNS} is a link to {RUNS.resolve()}, which is not a folder: make it, or point the link elsewhere"
        )
    return memory


def _free_for_states() -> int:
    """Free bytes on the disk of the saved states, even before their folder exists."""
    target = RUNS.resolve()
    return shutil.disk_usage(next(place for place in (target, *target.parents) if place.is_dir())).free


def _driver() -> str:
    """Version of the GPU's driver, as nvidia-smi reports it."""
    if not shutil.which("nvidia-smi"):
        return "unknown (nvidia-smi is not on PATH)"
    asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    return subprocess.run(asked, capture_output=True, text=True).stdout.partition("\n")[0].strip() or "unknown"


def _data(found: Findings, name: str, about: Data) -> PreparedSet | None:
    try:
        data = open_set(name)
    except (OSError, ValueError) as error:
        found.say("data", f"{name}: not there ({error})")
        if (Path("data") / name / MANIFEST).exists():
            found.add_obstacle(f"data set {name} cannot be opened: {error}")
        elif missing := _unreachable(name, about):
            found.add_obstacle(f"data set {name} cannot be prepared: {missing}")
        return None
    counts = ", ".join(f"{len(records):,} {split}" for split, records in data.splits.items())
    gone = [r.image for r in [*data.splits["train"][:100], *data.splits["train"][-100:]] if not Path(r.image).exists()]
    if gone:
        found.say("data", f"{name}: photos are gone")
        found.add_obstacle(
            f"data set {name} lists {gone[0]}, which is gone: bring it back or run `dvc repro prepare@{name}`"
        )
        return None
    found.say("data", f"{name}: {counts} images")
    return data


def _unreachable(name: str, about: Data) -> str | None:
    """Why `prepare` would not find the photos, or None; archives and downloads are left to `prepare`."""
    if about.kind == "scenes" or getattr(about, "download", False):
        return None
    try:
        folders, _ = starts(name, about.path)
    except DataError as error:
        return str(error)
    if any(folder.is_dir() for folder in folders):
        return None
    return f"{' and '.join(map(str, folders))} is not a folder: correct data.{name}.path or CRIBO_DATA"


def _assumed(found: Findings, name: str, about: Data) -> int:
    """Assumed number of training images of a set that is not prepared, 0 if nothing tells it."""
    if about.kind == "scenes":
        photos, by = about.train, f"as data.{name}.train asks"
    elif SETS[about.kind].PUBLISHED and getattr(about, "train", "train_aug") in ("train_aug", "trainaug"):
        photos, by = SETS[about.kind].PUBLISHED["train"], "as published"
    else:
        found.say("data", f"{name}: how many photos is not known, and so no time: `dvc repro prepare@{name}` counts them")
        return 0
    found.say("data", f"{name}: {photos:,} train images assumed, {by}")
    return photos


def _names(group: dict[str, dict]) -> str:
    """Label of a group of models whose steps cost the same."""
    return next(iter(group)) + (f" and {len(group) - 1} whose steps cost the same" if len(group) > 1 else "")


def _foretell(found: Findings, group: dict[str, dict], means: Means, own: int) -> None:
    """Predict the memory of a training from its shapes; on a CPU, where it is not measured, too much is an obstacle.

    `own`: bytes of this process with only Python and torch loaded.
    """
    settings, compute, processes = next(iter(group.values())), means.compute, means.processes
    world, meta, cpu = World(0, processes, means.device), torch.device("meta"), means.device.type == "cpu"
    try:
        with meta:
            state = initial_state(settings, meta, compute.precision == "bf16", world if compute.shard_bank else None)
    except ValueError as error:  # a bank that cannot be sharded
        found.add_obstacle(f"{_names(group)}: {error}")
        return
    _, at_once = means.shares(settings)
    memory = memory_estimate(settings, state, at_once, means.device.type)
    needed = (memory.total + own) * processes if cpu else memory.total
    told = f"{_names(group)}: predicted, about {memory.told()}"
    told += f"; Python and torch take {size(own)} more" if cpu else ""
    told += "; compute.recompute keeps fewer activations" if compute.recompute else ""
    if needed > means.room:
        told += f". WARNING: {size(needed)} in all are more than the {size(means.room)} that are there"
    found.say("memory", told)
    if cpu and needed - (memory.activations * processes if compute.recompute else 0) > means.room:
        _too_much(found, _names(group), needed, means.room, at_once)


def _too_much(found: Findings, name: str, memory: float, room: int, at_once: int) -> None:
    found.add_obstacle(
        f"{name}: about {memory / GB:.1f} GB are needed and {room / GB:.1f} GB are there: set compute.micro_batch below "
        f"{at_once}, or compute.recompute, or compute.shard_bank with more processes"
    )


def _model(
    found: Findings,
    name: str,
    settings: dict,
    data: PreparedSet | None,
    photos: int,
    means: Means,
    pace: Pace | None,
) -> None:
    """Report one training's time and measured memory; check the disk space for its states. `photos`: 0 if unknown."""
    compute, processes = means.compute, means.processes
    share, at_once = means.shares(settings)
    told = f"{share} images per process, {at_once} at once: "
    steps = Schedule(settings, photos).steps
    if pace is None:
        told += f"not tried, as the models before took {CPU_SECONDS:.0f} s: `--images 1` tries all"
    else:
        rate = processes / pace.each
        told += f"{rate:.4g} img/s" + (f" ({pace.how})" if pace.how else "")
        told += f", {pace.memory / GB:.1f} GB" if pace.memory is not None else ""
        if peak := peak_flops(means.device, compute.precision, compute.tf32):
            told += f", MFU {flops_per_image(settings) / pace.each / peak:.0%}"
        told += _duration(settings, data, steps, compute.workers, processes, rate) if steps else ""
    found.say("model", f"{name}: {told}")
    if pace and pace.memory is not None and pace.memory > means.room:
        _too_much(found, name, pace.memory, means.room, at_once)
    needed = (compute.keep_states + 1) * _state_bytes(settings)
    if (free := _free_for_states()) < needed:
        found.add_obstacle(f"{name}: saved states need {needed / GB:.1f} GB of disk and {free / GB:.1f} GB are free")


def _duration(settings: dict, data: PreparedSet | None, steps: int, workers: int, processes: int, rate: float) -> str:
    """Duration of a training whose networks process `rate` images per second; considers the loader if there are photos."""
    images = steps * settings["optimisation"]["batch_size"]
    if data is None:
        return f"; {steps:,} steps, about {_long(images / rate)} if loading keeps up, which is not known before `prepare`"
    most, loaders = cores(), max(1, workers) * processes
    loading = loading_rate(settings, data) * min(loaders, most)
    told = f"; loader {loading:.4g} img/s; {steps:,} steps, about {_long(images / min(rate, loading))}"
    if loading < rate:
        more = f"raise compute.workers from {workers}" if loaders < most else f"it has all {most} CPU cores"
        told += f" (the loader is the brake: {more})"
    return told


def _long(seconds: float) -> str:
    """A duration as `2:03:20`, from three days on as `11,491 days`."""
    return clock(seconds) if seconds < 3 * 86400 else f"{seconds / 86400:,.0f} days"


def _state_bytes(settings: dict) -> float:
    """Bytes of one saved state: student and teacher, the optimiser's two moments, the bank."""
    with torch.device("meta"):
        network = build_network(settings, 0.0)
    floats = 4 * sum(p.numel() for p in network.parameters())
    if "memory_bank" in settings:
        floats += 2 * settings["memory_bank"]["images"] * settings["clustering"]["K"] * network.backbone.num_features
    return 4.0 * floats


def _positive(text: str) -> int:
    """Parse a number of images from the command line."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number of images: give a whole number from 1")
    return int(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--params", default="params.yaml", help="the file to look at (params.yaml)")
    parser.add_argument("--images", type=_positive, help="images of the steps that are tried")
    given = parser.parse_args()
    with explained():
        found = examine(load(given.params), given.images)
    for obstacle in found.obstacles:
        print(f"obstacle   {obstacle}")
    print("ready" if not found.obstacles else f"{len(found.obstacles)} in the way", flush=True)
    sys.exit(bool(found.obstacles))


if __name__ == "__main__":
    main()
