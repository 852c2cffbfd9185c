"""One optimisation step, from a batch to the next state."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from cribo.data.batches.loader import Batch
from cribo.data.batches.positions import patch_positions
from cribo.data.batches.streams import DROP_PATH, LOCAL_DROP_PATH, seed_of
from cribo.method.lane import lane_of
from cribo.method.local_crops import local_step
from cribo.method.step import centres_step
from cribo.method.student import student_step
from cribo.method.teacher import teacher_step
from cribo.model.networks.drop_path import DropPath, draw, drop_paths, hand_in
from cribo.training.acceleration import inputs_of, tensor_cores
from cribo.training.course import Course, grid_of
from cribo.training.engine.distributed import World
from cribo.training.mae_update import advance_mae
from cribo.training.optimiser import clip_each, drop_prototype_gradients, follow, set_hyperparameters
from cribo.training.state import TrainingState


@tensor_cores(False)  # except in the student's pass; NVIDIA's containers turn TF32 on (TORCH_ALLOW_TF32_CUBLAS_OVERRIDE)
def advance(state: TrainingState, student: nn.Module, batch: Batch, course: Course, world: World) -> dict[str, Tensor]:
    """Do one step on this process's share of a batch; `student` is the state's student, or DDP around it.

    Returns this process's scalars, still on the device; their means over all processes are the values of the batch. The GPU
    never waits for the host. The host waits for only one number per part, whose copy starts before the student's pass
    (`method/rows.py`).
    """
    if course.method is None:
        return advance_mae(state, student, batch, course, world)
    settings, method = course.schedule.settings, course.method
    now = course.schedule.at(state.step)
    set_hyperparameters(state.optimiser, now.learning_rate, now.weight_decay)
    inputs = inputs_of(batch, world.device, course.fused)
    share = len(inputs.image_ids)
    at_once = course.micro_batch or share

    lane = lane_of(world.device)
    with lane.queue():
        positions = patch_positions(inputs.boxes, grid_of(settings))
        teaching = teacher_step(
            state.teacher, inputs.images, positions, inputs.seeds, inputs.image_ids, state.bank, now.cross_image, method,
            world, inputs.classes, at_once,
        )  # fmt: skip
    teaching = replace(teaching, lane=lane)
    values: dict[str, Tensor] = {}
    branches = drop_paths(state.student.backbone)
    seed = seed_of(settings["seed"], DROP_PATH, state.step)
    passes = [(student_step, inputs.images, _drop_path_draws(branches, seed, share, 2, world))]
    if method.local_crops:
        seed = seed_of(settings["seed"], LOCAL_DROP_PATH, state.step)
        passes.append((local_step, inputs.crops, _drop_path_draws(branches, seed, share, method.local_crops, world)))
    for start in range(0, share, at_once):
        part = slice(start, min(start + at_once, share))
        for number, (losses_of, pixels, scales) in enumerate(passes, 1):
            hand_in(branches, scales[:, part])
            # Gradients are exchanged once per step, in the last pass of the last part.
            alone = isinstance(student, DistributedDataParallel) and (part.stop < share or number < len(passes))
            with student.no_sync() if alone else nullcontext(), tensor_cores(course.tf32):
                losses = losses_of(student, pixels, teaching, state.centres, now.temperature, method, world, part)
                losses.total.backward()
            for name, value in {"loss": losses.total.detach(), **losses.terms}.items():
                # Losses and target entropies are sums over images, but the centres are the same in every part.
                summed = name in values and not name.startswith("centre_")
                values[name] = values[name] + value if summed else value
    centres_step(teaching, state.centres, method, world)

    if clip_norm := settings["optimisation"]["clip_norm"]:
        clip_each(state.student.parameters(), clip_norm, method.fused)
    if now.prototypes_frozen:
        drop_prototype_gradients(state.student)
    state.optimiser.step()
    state.optimiser.zero_grad(set_to_none=True)
    follow(state.teacher, state.student, now.ema)
    state.step += 1
    return {**values, **teaching.health}


def _drop_path_draws(branches: list[DropPath], seed: int, share: int, views: int, world: World) -> Float[Tensor, "V b P"]:
    """Scales of this process's images for each random branch of the student, cut from one table for the whole batch."""
    table = draw(branches, share * world.size, seed, views)
    scales = table[:, world.rank * share : (world.rank + 1) * share]
    if world.device.type == "cuda":
        scales = scales.contiguous().pin_memory().to(world.device, non_blocking=True)
    return scales
