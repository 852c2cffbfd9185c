"""The training loop that finetunes YOLOS end to end. It resumes after a kill and runs under torchrun."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from transformers import YolosForObjectDetection

from cribo.evaluation.detection.augment import Sample, Sizes, training_sample
from cribo.evaluation.detection.boxes import DetectionSet
from cribo.evaluation.detection.loss import set_loss
from cribo.evaluation.detection.yolos import build_yolos, parameter_groups, predict
from cribo.evaluation.harness.errors import EvaluationError
from cribo.evaluation.harness.read_ahead import read_ahead
from cribo.model.encoder import Encoder
from cribo.params import Compute
from cribo.training.engine import checkpoint
from cribo.training.engine.distributed import World
from cribo.training.engine.interruption import Interrupted, asked_by, stop_flag
from cribo.training.engine.log import Journal, say, timed
from cribo.training.engine.resume import resume

ORDER, PHOTO = range(2)  # random streams that must stay separate


def finetune(
    encoder: Encoder, data: DetectionSet, settings: dict, folder: Path, compute: Compute, world: World
) -> YolosForObjectDetection:
    """Finetune for `settings["epochs"]` on split "train", from the newest state in `folder`; return the detector.

    Beyond rounding, the result depends neither on the number of processes nor on how they split the batch.

    Raises:
        Interrupted: stopped by SIGTERM or Ctrl-C at a step boundary, state saved.
        FloatingPointError: the loss or the gradient is not finite.
        CannotResume: there are saved states, but no complete one that all processes can read.
        EvaluationError: the photos do not fill a batch, there are more processes than photos in a batch, or the encoder does
            not fit.
    """
    photos, batch_size = data.splits["train"], settings["batch_size"]
    if len(photos) < batch_size or batch_size < world.size:
        raise EvaluationError(
            f"{len(photos)} training photos, batches of {batch_size} and {world.size} processes do not fit together: "
            "change evaluate.yolos.batch_size"
        )
    model = build_yolos(encoder, settings["grid"], settings["tokens"], max(data.categories) + 1, settings["seed"])
    model.to(world.device).train()
    optimiser = torch.optim.AdamW(parameter_groups(model, settings["weight_decay"]), lr=settings["lr"])
    order = Order(len(photos), batch_size, settings["epochs"], settings["seed"], world)
    steps = len(order)

    def restore(saved: dict) -> None:
        model.load_state_dict(saved["model"])
        optimiser.load_state_dict(saved["optimiser"])
        order.first = saved["step"]

    if resume(folder, world, restore) and world.main:
        say(f"resuming after step {order.first} of {steps}, state in {folder}")
    sizes = sizes_of(settings, encoder.patch_size)

    def read(item: tuple[int, int]) -> Sample:
        epoch, index = item
        return training_sample(photos[index], sizes, np.random.default_rng([settings["seed"], PHOTO, epoch, index]))

    with stop_flag() as stop:
        journal = Journal(folder / "metrics.jsonl", order.first, steps, batch_size, world)
        batches = timed(read_ahead(order.remaining(), read, compute.workers), journal)
        for step, (_, samples) in enumerate(batches, order.first):
            epoch = step // order.per_epoch
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(epoch, settings["epochs"], settings["lr"], settings["min_lr"])
            terms, norm = advance(model, optimiser, encoder, samples, settings, compute.precision == "bf16", world)

            done = step + 1
            *losses, asked = world.sum(torch.cat([terms, terms.new_tensor([bool(stop)])])).tolist()
            values = {
                "loss": sum(losses),
                **dict(zip(("class", "l1", "giou"), losses, strict=True)),
                "gradient": float(norm),
            }
            if not all(map(math.isfinite, values.values())):  # the same on all processes
                raise FloatingPointError(
                    f"the loss is not finite at step {done} ({values}): lower evaluate.yolos.lr; good states, if "
                    f"there are any yet, are in {folder}"
                )
            last = done == steps
            log, keep = last or done % compute.log_steps == 0, last or done % compute.checkpoint_steps == 0
            stopping = asked > 0 and not last  # the same on all processes
            if log:
                journal.record(done, epoch, {**values, "lr": optimiser.param_groups[0]["lr"]})
            if (stopping or keep) and world.main:
                state = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "step": done}
                checkpoint.save(folder, done, state)
            if stopping:
                world.barrier()
                raise Interrupted(
                    f"stopped by {asked_by(stop)} after step {done} of {steps}; the same command resumes from there"
                )
        if world.any(bool(stop)):  # asked in the last step: stop before the detection, which takes long
            raise Interrupted(f"stopped by {asked_by(stop)} after all {steps} steps; the same command scores the detector")
    return model


def advance(
    model: YolosForObjectDetection,
    optimiser: torch.optim.Optimizer,
    encoder: Encoder,
    samples: Sequence[Sample],
    settings: dict,
    bf16: bool,
    world: World,
) -> tuple[Float[Tensor, " 3"], Float[Tensor, ""]]:
    """Take one step on this process's photos of a batch. Return their part of the loss (class, L1, GIoU) and the norm of
    the whole batch's gradient before clipping."""
    objects = int(world.sum(torch.tensor(sum(len(s.boxes) for s in samples), device=world.device)))
    totals = torch.zeros(3, device=world.device)
    for alike in by_size(samples):
        logits, boxes = predict(model, network_input(encoder, alike), bf16)
        if not bool(logits.isfinite().all() & boxes.isfinite().all()):
            totals += math.nan  # matching fails on these; `finetune` then raises and saves nothing of this step
            continue
        targets = [target(sample, world.device) for sample in alike]
        terms = set_loss(logits, boxes, targets, settings["batch_size"], objects)
        sum(terms.values()).backward()
        totals += torch.stack([term.detach() for term in terms.values()])
    sum_gradients(model, world)
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), settings["clip_norm"] or math.inf)
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    return totals, norm


def learning_rate(epoch: int, epochs: int, peak: float, least: float) -> float:
    """Return the cosine rate, one epoch late: the first two epochs share the peak, as in YOLOS's released schedule."""
    return least + (peak - least) * (1 + math.cos(math.pi * max(0, epoch - 1) / epochs)) / 2


@dataclass
class Order:
    """Which photos each step takes: one permutation per epoch, a function of the seed; whole batches only."""

    photos: int
    batch_size: int
    epochs: int
    seed: int
    world: World
    first: int = 0

    @property
    def per_epoch(self) -> int:
        return self.photos // self.batch_size

    def __len__(self) -> int:
        return self.epochs * self.per_epoch

    def at(self, step: int) -> list[tuple[int, int]]:
        """Return this process's (epoch, photo) pairs in a step: every `world.size`-th photo of the batch."""
        epoch, place = divmod(step, self.per_epoch)
        permutation = np.random.default_rng([self.seed, ORDER, epoch]).permutation(self.photos)
        batch = permutation[place * self.batch_size : (place + 1) * self.batch_size]
        return [(epoch, int(i)) for i in batch[self.world.rank :: self.world.size]]

    def remaining(self) -> Remaining:
        return Remaining(self)


class Remaining(Sequence):
    """The batches from `order.first` on, made on demand: an epoch of COCO has a hundred thousand photos."""

    def __init__(self, order: Order):
        self.order = order

    def __len__(self) -> int:
        return len(self.order) - self.order.first

    def __getitem__(self, n: int) -> list[tuple[int, int]]:
        if not 0 <= n < len(self):
            raise IndexError(n)
        return self.order.at(self.order.first + n)


def sizes_of(settings: dict, patch: int) -> Sizes:
    """Return the sizes in px among the settings, for an encoder with patches of `patch` px."""
    s = settings
    return Sizes(tuple(s["short"]), s["longest"], tuple(s["crop_from"]), tuple(s["crop"]), s["test"], patch)


def by_size(samples: Sequence[Sample]) -> list[list[Sample]]:
    """Group samples of one size, so that nothing is padded, as with one photo per GPU."""
    groups: dict[tuple[int, ...], list[Sample]] = {}
    for sample in samples:
        groups.setdefault(sample.image.shape, []).append(sample)
    return list(groups.values())


def network_input(encoder: Encoder, samples: Sequence[Sample]) -> Tensor:
    """Return photos of one size as the encoder was trained to see them: `[B, 3, H, W]`, normalised."""
    pixels = torch.from_numpy(np.stack([sample.image for sample in samples])).permute(0, 3, 1, 2)
    return (pixels.to(encoder.shift.device).float() / 255 - encoder.shift) / encoder.scale


def target(sample: Sample, device: torch.device) -> dict[str, Tensor]:
    return {
        "class_labels": torch.from_numpy(sample.categories).to(device),
        "boxes": torch.from_numpy(sample.boxes).float().to(device),
    }


def sum_gradients(model: torch.nn.Module, world: World) -> None:
    """Sum the gradients over all processes; each process has only those of its own photos."""
    if world.size == 1:
        return
    parameters = [p for p in model.parameters() if p.requires_grad]
    flat = torch.cat([(p.grad if p.grad is not None else torch.zeros_like(p)).flatten() for p in parameters])
    for parameter, gradient in zip(parameters, world.sum(flat).split([p.numel() for p in parameters]), strict=True):
        parameter.grad = gradient.view_as(parameter)
