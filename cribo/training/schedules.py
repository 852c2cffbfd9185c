"""Learning rate, weight decay, teacher momentum and teacher temperature as pure functions of step or epoch (DINO's)."""

from __future__ import annotations

import math
from dataclasses import dataclass


def cosine(start: float, end: float, step: int, steps: int) -> float:
    """Value at `step` of half a cosine from `start` at step 0 to `end` at step `steps`."""
    return end + 0.5 * (start - end) * (1 + math.cos(math.pi * step / steps))


def learning_rate(step: int, steps: int, warmup_steps: int, peak: float, end: float) -> float:
    """Linear from 0 at step 0 to `peak` at the last warm-up step, then a cosine to `end`."""
    if step < warmup_steps:
        return peak * step / max(1, warmup_steps - 1)
    return cosine(peak, end, step - warmup_steps, steps - warmup_steps)


def peak_learning_rate(base: float, batch_size: int) -> float:
    """The linear scaling rule: `base` is meant for 256 images a step."""
    return base * batch_size / 256


def teacher_temperature(epoch: int, warmup_epochs: int, first: float, last: float) -> float:
    """Linear over the warm-up epochs, reaching `last` in the last of them; constant after that."""
    if epoch >= warmup_epochs:
        return last
    return first + (last - first) * epoch / max(1, warmup_epochs - 1)


@dataclass(frozen=True)
class Moment:
    """The scheduled values on which a step depends, besides its batch."""

    epoch: int
    learning_rate: float
    weight_decay: float
    ema: float
    temperature: float
    cross_image: bool  # whether neighbours are retrieved and learnt from
    prototypes_frozen: bool


@dataclass(frozen=True)
class Schedule:
    """The schedule of a whole training in steps, from a model's settings and its number of training images."""

    settings: dict
    images: int

    @property
    def batch_size(self) -> int:
        """Images per step, over all processes."""
        return self.settings["optimisation"]["batch_size"]

    @property
    def steps_per_epoch(self) -> int:
        """Number of whole batches in an epoch; the images left over differ from epoch to epoch."""
        return self.images // self.batch_size

    @property
    def steps(self) -> int:
        """Total number of steps."""
        return self.settings["optimisation"]["epochs"] * self.steps_per_epoch

    @property
    def peak(self) -> float:
        """The highest learning rate."""
        return peak_learning_rate(self.settings["optimisation"]["base_lr"], self.batch_size)

    def at(self, step: int) -> Moment:
        """The values for the next step after `step` steps are done."""
        optimisation, targets = self.settings["optimisation"], self.settings.get("targets")
        epoch, steps = step // self.steps_per_epoch, self.steps
        warmup = optimisation["warmup_epochs"] * self.steps_per_epoch
        return Moment(
            epoch,
            learning_rate(step, steps, warmup, self.peak, optimisation["min_lr"]),
            cosine(*optimisation["weight_decay"], step, steps),
            cosine(*optimisation.get("ema", (1.0, 1.0)), step, steps),
            teacher_temperature(epoch, targets["warmup_epochs"], *targets["teacher_temperature"]) if targets else 0.0,
            "matching" in self.settings and epoch >= self.settings["matching"]["first_epoch"],
            epoch < self.settings.get("head", {}).get("freeze_epochs", 0),
        )
