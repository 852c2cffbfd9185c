"""python -m cribo.doctor: is this machine fit for what params.yaml asks, how long will it take, and in how much memory?

Looks at the device, its driver, memory, disk and data, then does a few real steps of every model on noise, and loads a few
real images. `--images N` bounds the images of those steps; the default is a process's share of the batch, on a CPU at most
8. Exit status 1 when something stands in the way.
"""

from __future__ import annotations

import argparse
import json
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
from cribo.data.location import starts
from cribo.data.preparation.parallel import cores
from cribo.data.prepared.manifest import MANIFEST, DataError
from cribo.data.prepared.readers import PreparedSet, open_set
from cribo.launch import count
from cribo.measure import Measured, measure
from cribo.model.networks.network import build_network
from cribo.params import Params, load
from cribo.params.data import Data
from cribo.training.engine.checkpoint import RUNS
from cribo.training.engine.distributed import pick_device
from cribo.training.engine.log import clock
from cribo.training.flops import flops_per_image, peak_flops
from cribo.training.loop import check_shapes
from cribo.training.schedules import Schedule
from cribo.training.update import view_pairs

GB = 1e9


@dataclass
class Findings:
    """What is reported, line by line, and what stands in the way."""

    lines: list[str] = field(default_factory=list)
    obstacles: list[str] = field(default_factory=list)

    def say(self, what: str, text: str) -> None:
        self.lines.append(f"{what:10} {text}")
        print(self.lines[-1], flush=True)

    def add_obstacle(self, text: str) -> None:
        self.obstacles.append(text)


def examine(params: Params, images: int | None) -> Findings:
    """Look at everything; each line is printed as soon as it is known. Raises ValueError if a wished GPU is not there."""
    found, compute = Findings(), params.compute
    device = pick_device(compute.device)
    if compute.threads:
        torch.set_num_threads(compute.threads)
    room = _machine(found, device)
    data = {name: _data(found, name, about) for name, about in params.data.items()}
    tried: dict[str, tuple[Measured, Measured]] = {}
    for name, model in params.trained.items():
        _model(found, name, plan.pretrain_settings(model), data[model.dataset], params, device, images, room, tried)
    return found


def _machine(found: Findings, device: torch.device) -> int:
    """Machine, device and disk; returns the bytes of memory that a training may use."""
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
        found.add_obstacle(f"{RUNS} is a link to {RUNS.resolve()}, which is no folder: make it, or point the link elsewhere")
    return memory


def _free_for_states() -> int:
    """Bytes that are free where the states go, also before the folder is there."""
    target = RUNS.resolve()
    return shutil.disk_usage(next(place for place in (target, *target.parents) if place.is_dir())).free


def _driver() -> str:
    """Of the GPU, as its own tool says it."""
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
    """Why `prepare` would not find the photos; archives and a download are left to it."""
    if about.kind == "scenes" or getattr(about, "download", False):
        return None
    try:
        folders, _ = starts(name, about.path)
    except DataError as error:
        return str(error)
    if any(folder.is_dir() for folder in folders):
        return None
    return f"{' and '.join(map(str, folders))} is no folder: correct data.{name}.path or CRIBO_DATA"


def _model(
    found: Findings,
    name: str,
    settings: dict,
    data: PreparedSet | None,
    params: Params,
    device: torch.device,
    images: int | None,
    room: int,
    done: dict[str, tuple[Measured, Measured]],
) -> None:
    """Time and memory of one training, from a few steps of it, or of one in `done` whose steps cost the same."""
    compute, batch = params.compute, settings["optimisation"]["batch_size"]
    processes = count(os.environ, "CRIBO_GPUS", 0) or 1
    try:
        check_shapes(settings, batch if data is None else len(data.splits["train"]), processes)
    except ValueError as error:
        found.add_obstacle(f"{name}: {error}")
        return
    share = batch // processes
    at_once = min(share, compute.micro_batch or share)
    tried = min(at_once, images or (at_once if device.type == "cuda" else 8))
    if (key := _cost_key(settings)) not in done:
        done[key] = tuple(measure(settings, compute, device, n, steps=2) for n in (max(1, tried // 2), tried))
    half, full = done[key]
    each = full.seconds / tried
    per_image = max(0, full.held - half.held) / max(1, full.images - half.images)
    memory = full.held + per_image * (at_once - tried)
    rate = processes / each
    told = f"{share} images a process, {at_once} at once: {rate:.4g} img/s, {memory / GB:.1f} GB"
    if peak := peak_flops(device, compute.precision, compute.tf32):
        told += f", MFU {flops_per_image(settings) / each / peak:.0%}"
    if data is not None:
        schedule = Schedule(settings, len(data.splits["train"]))
        most, workers = cores(), max(1, compute.workers) * processes
        loading = _loading(settings, data) * min(workers, most)
        seconds = schedule.steps * batch / min(rate, loading)
        told += f"; loader {loading:.4g} img/s; {schedule.steps:,} steps, about {clock(seconds)}"
        if loading < rate:
            more = f"raise compute.workers from {compute.workers}" if workers < most else f"it has all {most} CPU cores"
            told += f" (the loader is the brake: {more})"
    found.say("model", f"{name}: {told}")
    if memory > room:
        found.add_obstacle(
            f"{name} needs about {memory / GB:.1f} GB and {room / GB:.1f} GB are there: set compute.micro_batch below "
            f"{at_once}, or compute.recompute, or compute.shard_bank with more processes"
        )
    needed = (compute.keep_states + 1) * _state_bytes(settings)
    if (free := _free_for_states()) < needed:
        found.add_obstacle(f"{name}: saved states need {needed / GB:.1f} GB of disk and {free / GB:.1f} GB are free")


def _cost_key(settings: dict) -> str:
    """The same for models whose steps cost the same, whatever their seed, photos, epochs and rates."""
    free = {"clustering": ("lambda_pos", "sharpness"), "matching": ("first_epoch",)}
    read = {key: value for key, value in settings.items() if key not in ("seed", "dataset", "targets", "optimisation")}
    for group, keys in free.items():
        if group in read:
            read[group] = {key: value for key, value in read[group].items() if key not in keys}
    how = settings["optimisation"]
    return json.dumps([read, how["batch_size"], how["clip_norm"] > 0])


def _loading(settings: dict, data: PreparedSet, tries: int = 12) -> float:
    """Images a second that one worker loads and augments."""
    records = data.splits["train"]
    pairs = view_pairs(settings, records)
    places = [i * len(records) // tries for i in range(tries)]
    _ = pairs[0, places[0]]
    start = time.perf_counter()
    for place in places:
        _ = pairs[0, place]
    return tries / (time.perf_counter() - start)


def _state_bytes(settings: dict) -> float:
    """Of one saved state: student and teacher, the optimiser's two moments, the bank."""
    with torch.device("meta"):
        network = build_network(settings, 0.0)
    floats = 4 * sum(p.numel() for p in network.parameters())
    if "memory_bank" in settings:
        floats += 2 * settings["memory_bank"]["images"] * settings["clustering"]["K"] * network.backbone.num_features
    return 4.0 * floats


def _positive(text: str) -> int:
    """A number of images on the command line."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is no number of images: give a whole number from 1")
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
