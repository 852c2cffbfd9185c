"""One optimisation step of the MAE baseline: CrIBo's loader, schedules, optimiser and checkpoints with MAE's loss."""

from __future__ import annotations

from contextlib import nullcontext

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from cribo.data.batches.loader import Batch
from cribo.data.batches.streams import MASKING, seed_of
from cribo.method.mae import Masking, patch_pixels, random_masking, reconstruction_loss
from cribo.model.networks.backbone import patch_size
from cribo.training.acceleration import inputs_of, tensor_cores
from cribo.training.course import Course
from cribo.training.engine.distributed import World
from cribo.training.optimiser import clip_each, set_hyperparameters
from cribo.training.state import TrainingState


def advance_mae(state: TrainingState, student: nn.Module, batch: Batch, course: Course, world: World) -> dict[str, Tensor]:
    """`cribo.training.update.advance` for `losses: [pixels]`. There is no teacher; the network itself is exported."""
    settings, device = course.schedule.settings, world.device
    mae, now = settings["mae"], course.schedule.at(state.step)
    set_hyperparameters(state.optimiser, now.learning_rate, now.weight_decay)
    images = inputs_of(batch, device, course.fused).images  # one view of each photo
    share, patch = len(images), patch_size(state.student.backbone)
    at_once = course.micro_batch or share
    noise = masking_noise(settings["seed"], state.step, share * world.size, (images.shape[-1] // patch) ** 2)
    masking = random_masking(noise[world.rank * share : (world.rank + 1) * share].to(device), mae["mask"])
    value = torch.zeros((), device=device)
    for start in range(0, share, at_once):
        part = slice(start, min(start + at_once, share))
        alone = isinstance(student, DistributedDataParallel) and part.stop < share
        with student.no_sync() if alone else nullcontext(), tensor_cores(course.tf32):
            own = Masking(masking.seen[part], masking.masked[part])
            pixels = patch_pixels(images[part], patch)
            loss = reconstruction_loss(student(images[part], own), pixels, own.masked, mae["normalise"])
            loss = loss * ((part.stop - part.start) / share)  # every image has the same number of masked patches
            loss.backward()
        value += loss.detach()
    if clip_norm := settings["optimisation"]["clip_norm"]:
        clip_each(state.student.parameters(), clip_norm, course.fused)
    state.optimiser.step()
    state.optimiser.zero_grad(set_to_none=True)
    state.step += 1
    return {"loss": value, "loss_pixels": value}


def masking_noise(seed: int, step: int, images: int, patches: int) -> Float[Tensor, "B N"]:
    """Masking noise of the whole batch, on the CPU: a function of (seed, step), however the batch is split."""
    generator = torch.Generator().manual_seed(seed_of(seed, MASKING, step))
    return torch.rand(images, patches, generator=generator)
