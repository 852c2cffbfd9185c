"""The training loop, from top to bottom."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

from cribo.data.batches.loader import Batch, load_batches
from cribo.data.prepared.readers import Record
from cribo.params import Compute
from cribo.training import bundle
from cribo.training.acceleration import accelerate
from cribo.training.course import Course, view_pairs
from cribo.training.engine import checkpoint
from cribo.training.engine.distributed import World, data_parallel
from cribo.training.engine.finite import NonFinite, Watch, finite_weights
from cribo.training.engine.interruption import Interrupted, asked_by, stop_flag
from cribo.training.engine.log import Journal, say, timed
from cribo.training.engine.resume import resume
from cribo.training.flops import flops_per_image, peak_flops
from cribo.training.startup import opening
from cribo.training.state import TrainingState, initial_state
from cribo.training.update import advance


def train(settings: dict, records: Sequence[Record], folder: Path, compute: Compute, world: World) -> TrainingState:
    """Pretrain one model as `results/plan/pretrain/MODEL.yaml` says, going on from the newest state in `folder`.

    Raises:
        Interrupted: stopped by SIGTERM or Ctrl-C at a step boundary; the state is saved.
        FloatingPointError: a loss is not finite; `folder` holds what is needed to repeat the failure.
        CannotResume: there are states, but no intact one that all processes can read.
        ValueError: batch, groups, images and processes do not fit together.
        OSError: the state could not be saved.
    """
    check_shapes(settings, len(records), world.size)
    course = Course.of(settings, len(records), compute)
    schedule, steps = course.schedule, course.schedule.steps
    state = starting_state(settings, len(records), steps, folder, compute, world)
    student = data_parallel(state.student, world)
    accelerate(state.student, state.teacher, compute)

    batches = step_batches(settings, records, state.step, steps, world, compute.workers)
    flops, peak = flops_per_image(settings), world.size * peak_flops(world.device, compute.precision, compute.tf32)
    journal = Journal(folder / "metrics.jsonl", state.step, steps, schedule.batch_size, world, flops, peak)
    watch, saver = Watch(world), checkpoint.Saver(folder, compute.keep_states, compute.save_in_background)
    with stop_flag() as stop, journal, closing(saver), bundle.kept(folder, settings, compute, world, saver):
        for batch in timed(batches, journal):
            now = schedule.at(state.step)
            values = advance(state, student, batch, course, world)
            watch.add(state.step, values, batch, bool(stop))
            journal.tick(state.step)

            last = state.step == steps
            log = last or state.step % compute.log_steps == 0
            keep = last or state.step % compute.checkpoint_steps == 0
            if not (log or keep or watch.stopping):  # the same on all processes
                continue
            means = watch.means()
            if log:
                journal.record(state.step, now.epoch, {**means, "lr": now.learning_rate})
            stopping = watch.stopping and not last
            if stopping or keep:
                if not finite_weights(list(state.student.parameters())):
                    raise NonFinite(state.step, means, batch)
                save(state, saver, world)
            if stopping or last:
                saver.wait()
                world.barrier()
            if stopping:
                raise Interrupted(
                    f"stopped by {asked_by(stop)} after step {state.step} of {steps}; the same command resumes from there"
                )
    return state


def starting_state(settings: dict, images: int, steps: int, folder: Path, compute: Compute, world: World) -> TrainingState:
    """The newest saved state, or the one before the first step; the main process prints where the run stands."""
    shards = world if compute.shard_bank else None
    state = initial_state(settings, world.device, compute.precision == "bf16", shards)
    resumed = resume(folder, world, state.restore)
    if world.main and resumed:
        say(f"resuming after step {state.step} of {steps}, state in {folder}")
    elif world.main:
        for line in opening(settings, images, state, world.size, world.device.type, compute.micro_batch):
            say(line)
    return state


def save(state: TrainingState, saver: checkpoint.Saver, world: World) -> None:
    """Have the main process save the state; the gathered copy is freed when this function returns."""
    saved = state.to_dict()  # a collective when the bank is spread over processes
    if world.main:
        saver.save(state.step, saved)


def step_batches(
    settings: dict, records: Sequence[Record], first: int, end: int, world: World, workers: int
) -> Iterable[Batch]:
    """This process's shares of the batches for steps first … end − 1."""
    batch_size = settings["optimisation"]["batch_size"]
    return load_batches(view_pairs(settings, records), batch_size, first, end, world.rank, world.size, workers)


def check_shapes(settings: dict, images: int, processes: int) -> None:
    """Raise a ValueError that says which key to change if batch, groups, images and processes do not fit together."""
    batch = settings["optimisation"]["batch_size"]
    if images < batch:
        raise ValueError(f"{images} training images do not fill one batch: lower optimisation.batch_size from {batch}")
    if batch % processes:
        raise ValueError(
            f"a batch of {batch} images cannot be split over {processes} processes: change optimisation.batch_size"
        )
    share = batch // processes
    for group, key in (("clustering", "normalise_images"), ("matching", "pool_images"), ("targets", "mean_images")):
        size = settings.get(group, {}).get(key, 1)
        wide = size == batch if group == "targets" else size % share == 0  # held by several processes
        if share % size and not wide:
            raise ValueError(
                f"{share} images per process do not fit groups of {size}: change {group}.{key} or the number of processes"
            )
