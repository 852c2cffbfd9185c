"""The training loop, from top to bottom."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from torch.nn.parallel import DistributedDataParallel

from cribo.data.loader import ViewPairs, load_batches, to_device
from cribo.data.positions import patch_positions
from cribo.data.readers import Record
from cribo.method.clustering import ClusteringSettings
from cribo.method.step import StepSettings, centres_step, student_step, teacher_step
from cribo.model.architectures import MEAN, STD
from cribo.model.backbone import patch_size
from cribo.params import Compute
from cribo.training import checkpoint
from cribo.training.distributed import World, world_means
from cribo.training.interruption import Interrupted, sigterm_flag
from cribo.training.log import Journal, say, timed
from cribo.training.optimiser import clip_each, drop_prototype_gradients, follow, set_hyperparameters
from cribo.training.schedules import cosine, learning_rate, peak_learning_rate, teacher_temperature
from cribo.training.state import TrainingState, initial_state


def train(settings: dict, records: list[Record], folder: Path, compute: Compute, world: World) -> TrainingState:
    """Pretrain one model as `results/plan/pretrain/MODEL.yaml` says, going on from the newest state in `folder`.

    Raises:
        Interrupted: stopped by SIGTERM at a step boundary, state saved.
        FloatingPointError: a loss is not finite.
        ValueError: batch, groups, images and processes do not fit together.
    """
    device, optimisation = world.device, settings["optimisation"]
    batch_size, epochs = optimisation["batch_size"], optimisation["epochs"]
    check_shapes(settings, len(records), world.size)
    steps_per_epoch = len(records) // batch_size
    steps, warmup = epochs * steps_per_epoch, optimisation["warmup_epochs"] * steps_per_epoch
    peak = peak_learning_rate(optimisation["base_lr"], batch_size)

    state = initial_state(settings, device, bf16=compute.precision == "bf16")
    if (saved := checkpoint.load_newest(folder, say)) is not None:
        state.restore(saved)
        say(f"going on after step {state.step} of {steps}, state in {folder}")
    student, teacher = state.student, state.teacher
    parallel = DistributedDataParallel(student, broadcast_buffers=False) if world.size > 1 else student

    how = step_settings(settings)
    grid = settings["views"]["size"] // patch_size(student.backbone)
    pairs = ViewPairs(records, settings["views"], 2 * grid**2, how.K, settings["seed"])
    batches = load_batches(pairs, batch_size, state.step, steps, world.rank, world.size, compute.workers)
    journal = Journal(folder / "metrics.jsonl", state.step, steps, batch_size, world.main)
    if world.main and state.step == 0:
        say(f"{epochs} epochs of {steps_per_epoch} steps of {batch_size} images, peak learning rate {peak:g}, on {device}")

    with sigterm_flag() as stop:
        for batch in timed(batches, journal):
            epoch, step = state.step // steps_per_epoch, state.step
            torch.manual_seed(step_seed(settings["seed"], step, world.rank))  # drop path; nothing random is carried over
            set_hyperparameters(
                state.optimiser,
                learning_rate(step, steps, warmup, peak, optimisation["min_lr"]),
                cosine(*optimisation["weight_decay"], step, steps),
            )
            temperature = teacher_temperature(
                epoch, settings["targets"]["warmup_epochs"], *settings["targets"]["teacher_temperature"]
            )
            cross_image = state.bank is not None and epoch >= settings["matching"]["first_epoch"]

            images, boxes, seeds, ids = to_device(batch, device, MEAN, STD)
            positions = patch_positions(boxes, grid)
            teaching = teacher_step(teacher, images, positions, seeds, ids, state.bank, cross_image, how, world)
            losses = student_step(parallel, images, teaching, state.centres, temperature, how, world)
            losses.total.backward()
            centres_step(teaching, state.centres, how, world)

            if optimisation["clip_norm"]:
                clip_each(student.parameters(), optimisation["clip_norm"])
            if epoch < settings["head"]["freeze_epochs"]:
                drop_prototype_gradients(student)
            state.optimiser.step()
            state.optimiser.zero_grad(set_to_none=True)
            follow(teacher, student, cosine(optimisation["ema"], 1.0, step, steps))
            state.step += 1

            last = state.step == steps
            log, keep = last or state.step % compute.log_steps == 0, last or state.step % compute.checkpoint_steps == 0
            if log or keep or (stop and world.size == 1):  # many processes must come here together
                values = world_means({"loss": losses.total.detach(), **losses.terms, **teaching.health}, world)
                if not all(map(math.isfinite, values.values())):
                    raise FloatingPointError(
                        f"the loss is not finite at step {state.step} ({values}): lower "
                        f"optimisation.base_lr; the last good state is in {folder}"
                    )
                if log:
                    journal.record(state.step, epoch, {**values, "lr": state.optimiser.param_groups[0]["lr"]})
                stopping = world.any(bool(stop)) and not last
                if stopping or keep:
                    if world.main:
                        checkpoint.save(folder, state.step, state.to_dict())
                    world.barrier()
                if stopping:
                    raise Interrupted(
                        f"stopped by SIGTERM after step {state.step} of {steps}; the same command goes on from there"
                    )
    return state


def step_seed(seed: int, step: int, rank: int) -> int:
    """Seed of torch's random numbers in one step on one process."""
    return int(np.random.SeedSequence([seed, 2, step, rank]).generate_state(1)[0])


def step_settings(settings: dict) -> StepSettings:
    """The part of a model's settings that a step reads."""
    matching, targets = settings.get("matching", {}), settings["targets"]
    clustering = ClusteringSettings(**settings["clustering"]) if "clustering" in settings else None
    return StepSettings(
        frozenset(settings["losses"]),
        clustering,
        matching.get("criterion", "none"),
        matching.get("pool_images", 1),
        targets["student_temperature"],
        targets["centre_momentum"],
    )


def check_shapes(settings: dict, images: int, processes: int) -> None:
    """Raise ValueError, saying which key to change, if batch, groups, images and processes do not fit together."""
    batch = settings["optimisation"]["batch_size"]
    if images < batch:
        raise ValueError(f"{images} training images do not fill one batch: lower optimisation.batch_size from {batch}")
    if batch % processes:
        raise ValueError(
            f"a batch of {batch} images cannot be split over {processes} processes: change optimisation.batch_size"
        )
    for group, key in (("clustering", "normalise_images"), ("matching", "pool_images")):
        size = settings.get(group, {}).get(key, 1)
        if (batch // processes) % size:
            raise ValueError(
                f"{batch // processes} images a process cannot be split into groups of {size}: change {group}.{key} "
                "or the number of processes"
            )
