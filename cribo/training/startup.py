"""What a pretraining prints before its first step: batch, learning rate, steps, memory, departures from paper and code."""

from __future__ import annotations

from cribo.fidelity import in_force
from cribo.training.memory import memory_estimate
from cribo.training.schedules import peak_learning_rate
from cribo.training.state import TrainingState


def opening(
    settings: dict, images: int, state: TrainingState, processes: int, device: str, micro_batch: int = 0
) -> list[str]:
    """The lines to show before the first step of training on `images` photos; `micro_batch` as in `compute`."""
    o = settings["optimisation"]
    steps = images // o["batch_size"]
    peak = peak_learning_rate(o["base_lr"], o["batch_size"])
    share = o["batch_size"] // processes
    at_once = min(share, micro_batch or share)
    memory = memory_estimate(settings, state, at_once, device)
    local = settings["views"].get("local")
    return [
        f"batch: {o['batch_size']} images a step, {share} on each of {processes} processes ({device})"
        + (f", {at_once} at once" if at_once < share else "")
        + (f", each with {local['count']} local crops of {local['size']} px" if local else ""),
        f"learning rate: {o['base_lr']:g} × {o['batch_size']}/256 = {peak:g} at its peak, after {o['warmup_epochs']} epochs",
        f"steps: {o['epochs']} epochs of {steps} = {o['epochs'] * steps}, from {images} photos",
        f"memory: about {memory.told()}, and on top what Python and torch take",
        *(f"departs from what stands in brackets: {departure}" for departure in in_force(settings)),
    ]
