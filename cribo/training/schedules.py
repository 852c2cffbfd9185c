"""Learning rate, weight decay, teacher momentum and teacher temperature as pure functions of step or epoch (DINO's)."""

from __future__ import annotations

import math


def cosine(start: float, end: float, step: int, steps: int) -> float:
    """From `start` at step 0 towards `end` at step `steps`, along half a cosine."""
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
    """Linear over the warm-up epochs, its last one already at `last`; constant after."""
    if epoch >= warmup_epochs:
        return last
    return first + (last - first) * epoch / max(1, warmup_epochs - 1)
