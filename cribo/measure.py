"""Measures how long a step takes and how much memory it needs on this machine, on images of noise or on photos.

`cribo.doctor` uses it to predict a training, benchmarks/step.py to compare. The memory bank is full and the cross-image
loss on, so that a step costs what it costs for most of a training. With noise every entry of the bank is valid, the most
expensive case; with photos only entries whose object both views show are valid.
"""

from __future__ import annotations

import copy
import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import cycle, pairwise
from unittest import mock

import torch

from cribo.data.batches.loader import Batch, load_batches
from cribo.data.prepared.readers import Record
from cribo.method import local_crops, student, teacher
from cribo.model.networks.network import Network
from cribo.params import Compute
from cribo.training import update
from cribo.training.acceleration import accelerate
from cribo.training.course import Course, grid_of, needs_masks, seeds_an_image, view_pairs, views_an_image
from cribo.training.engine.distributed import World
from cribo.training.engine.log import peak_memory
from cribo.training.state import TrainingState, initial_state
from cribo.training.update import advance

# The rows of the paper's Table 9. The rest of a step is `other`.
PHASES = ("forward_pass", "clustering", "nn_retrieval", "object_projections", "weights_update")

KEPT_BATCHES = 24  # batches of photos, loaded before the first step and used in turn


@dataclass(frozen=True)
class Measured:
    """What one step costs, the one with the median time."""

    images: int
    seconds: float
    memory: int  # peak bytes in use: on the GPU or, without one, by this process since it began
    held: int  # peak bytes that torch reserved on the GPU, in use or cached; without one as `memory`
    phases: dict[str, float]  # seconds; empty unless asked for
    valid: float = 0.0  # objects per image that both views show, in the last step; 0 without objects


def shrunk(settings: dict, images: int) -> dict:
    """The settings for a batch of `images`, with groups that divide it and every loss on from the first epoch."""
    settings = copy.deepcopy(settings)
    settings["optimisation"]["batch_size"] = images
    for group, key in (("clustering", "normalise_images"), ("matching", "pool_images"), ("targets", "mean_images")):
        if images % settings.get(group, {}).get(key, 1):
            settings[group][key] = images
    if "matching" in settings:
        settings["matching"]["first_epoch"] = 0
        settings["memory_bank"]["images"] = max(images, settings["memory_bank"]["images"])
    return settings


def noise(settings: dict, images: int) -> Batch:
    """A batch of random views, as the loader would give it."""
    side, generator = settings["views"]["size"], torch.Generator().manual_seed(0)
    tokens = 2 * grid_of(settings) ** 2
    views = torch.randint(0, 256, (images, views_an_image(settings), 3, side, side), dtype=torch.uint8, generator=generator)
    boxes = torch.rand(images, 2, 5, generator=generator) * torch.tensor([50, 50, 200, 200, 1])
    boxes[..., 2:4] += 50
    boxes[..., 4] = boxes[..., 4].round()
    seeds = [torch.randperm(tokens, generator=generator)[: seeds_an_image(settings)] for _ in range(images)]
    classes = torch.randint(0, 2, (images, tokens if needs_masks(settings) else 0), dtype=torch.uint8, generator=generator)
    local = settings["views"].get("local", {"count": 0, "size": 1})
    shape = images, local["count"], 3, local["size"], local["size"]
    crops = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    batch = Batch(views, boxes, torch.stack(seeds), torch.arange(images), classes, crops)
    return Batch(*(x.pin_memory() for x in batch)) if torch.cuda.is_available() else batch


def loaded(settings: dict, records: Sequence[Record], images: int, workers: int) -> list[Batch]:
    """The first batches of a training on these photos: `KEPT_BATCHES`, or all of an epoch that has fewer."""
    count = min(KEPT_BATCHES, len(records) // images)
    return list(load_batches(view_pairs(settings, records), images, 0, count, 0, 1, workers))


def measure(
    settings: dict,
    compute: Compute,
    device: torch.device,
    images: int,
    steps: int = 5,
    phases: bool = False,
    alter: Callable[[TrainingState], None] = lambda state: None,
    records: Sequence[Record] = (),
    settle: float = 0.0,
    ready: Callable[[], None] = lambda: None,
) -> Measured:
    """Measure `steps` steps of `images` images after some warm-up steps; `alter` may change the state before the first.

    With `phases` the networks are not compiled, even if `compute` asks for it. `records` are photos, at least `images` of
    them; warm-up steps on them fill the memory bank. A GPU warms up for another `settle` seconds, as its first steps may be
    faster than those of a long training. `ready` is called after the first two steps, in which networks are compiled.
    """
    if compute.compile:
        torch.compiler.reset()  # torch limits how often a function is compiled, over all models together
    settings, world = shrunk(settings, images), World(0, 1, device)
    state = initial_state(settings, device, compute.precision == "bf16")
    if state.bank is not None and not records:
        state.bank.units.normal_()
        state.bank.units.div_(state.bank.units.norm(dim=-1, keepdim=True))
        state.bank.norms.fill_(20.0)
        state.bank.valid.fill_(True)
        state.bank.pushed = state.bank.images
    # The timers wrap single functions of a network, which no longer exist in its compiled form.
    accelerate(state.student, state.teacher, compute.model_copy(update={"compile": False}) if phases else compute)
    alter(state)
    course = Course.of(settings, 1000 * images, compute)
    batches = loaded(settings, records, images, compute.workers) if records else [noise(settings, images)]
    fill = -(-state.bank.images // images) if records and state.bank is not None else 0
    gc.collect()  # a compiled network refers to itself: one measured earlier would still count
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()

    feed = cycle(batches)
    for _ in range(2):
        advance(state, state.student, next(feed), course, world)
    ready()
    for _ in range(fill):
        advance(state, state.student, next(feed), course, world)
    settled = time.perf_counter() + (settle if device.type == "cuda" else 0)
    while time.perf_counter() < settled:
        advance(state, state.student, next(feed), course, world)
    if state.bank is not None and not records:
        state.bank.valid.fill_(True)  # the warm-up steps have pushed objects that one view does not show

    marks, spent = [_mark(device)], []
    for _ in range(steps):
        with timers(device, state) if phases else nullcontext({}) as clock:
            values = advance(state, state.student, next(feed), course, world)
            marks.append(_mark(device))
        spent.append(clock)
    took = [_between(*pair) for pair in pairwise(marks)]
    middle = sorted(range(steps), key=took.__getitem__)[steps // 2]
    parts = spent[middle]
    if phases:
        parts["other"] = took[middle] - sum(parts.values())
    memory = peak_memory(device)
    held = torch.cuda.max_memory_reserved(device) if device.type == "cuda" else memory
    return Measured(images, took[middle], memory, held, parts, float(values.get("valid_objects", 0)))


def _mark(device: torch.device) -> torch.cuda.Event | float:
    """Mark a moment: on a GPU, when it reaches this point of its work. The host does not wait, as in a training."""
    if device.type == "cuda":
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event
    return time.perf_counter()


def _between(start: torch.cuda.Event | float, end: torch.cuda.Event | float) -> float:
    """Seconds from one mark to another."""
    if isinstance(start, float):
        return end - start
    end.synchronize()
    return start.elapsed_time(end) / 1e3


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


@contextmanager
def timers(device: torch.device, state: TrainingState) -> Iterator[dict[str, float]]:
    """Measure the seconds spent in each phase, by waiting for the device around the functions that make it up."""
    clock = dict.fromkeys(PHASES, 0.0)

    def timed(function: Callable, phase: Callable[..., str] | str) -> Callable:
        def run(*args, **kwargs):
            start = _now(device)
            try:
                return function(*args, **kwargs)
            finally:
                clock[phase if isinstance(phase, str) else phase(*args)] += _now(device) - start

        return run

    def projection(_network: Network, features: torch.Tensor) -> str:
        return "object_projections" if features.ndim == 4 else "forward_pass"

    def loss(*args: object) -> str:
        return "forward_pass" if args[3].centre is state.centres.images else "object_projections"

    places = [
        (Network, "tokens", "forward_pass"),
        (Network, "bottleneck", projection),
        (student, "soft_cross_entropy", loss),
        (local_crops, "soft_cross_entropy", "forward_pass"),
        (teacher, "joint_space_clustering", "clustering"),
        (teacher, "pool_objects", "clustering"),
        (teacher, "_retrieve", "nn_retrieval"),
        (teacher, "accept", "nn_retrieval"),
        (teacher, "push", "nn_retrieval"),
        (torch.Tensor, "backward", "weights_update"),
        (torch.optim.AdamW, "step", "weights_update"),
        (update, "clip_each", "weights_update"),
        (update, "centres_step", "weights_update"),
        (update, "follow", "weights_update"),
    ]
    with ExitStack() as stack:
        for owner, name, phase in places:
            stack.enter_context(mock.patch.object(owner, name, timed(getattr(owner, name), phase)))
        yield clock
