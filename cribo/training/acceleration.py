"""The switches of `compute` that make a step faster or smaller and leave its result alone, but for rounding."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from cribo.model.network import Network
from cribo.params import Compute


def accelerate(student: Network, teacher: Network, compute: Compute) -> None:
    """Compile both networks and recompute the student's activations, as asked for; in place, names of weights stay."""
    student.backbone.set_grad_checkpointing(compute.recompute)
    if compute.compile:
        student.compile()
        if teacher is not student:  # MAE has no teacher
            teacher.tokens = torch.compile(teacher.tokens)


@contextmanager
def tensor_cores(tf32: bool) -> Iterator[None]:
    """Let fp32 products on the GPU run in TF32 inside, or not, whatever the state outside.

    Meant for the student's pass and its losses. What the teacher decides (clusters, neighbours, accepted objects) is
    computed outside of it: ten bits of mantissa would turn close decisions.
    """
    switches = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [switch.allow_tf32 for switch in switches]
    try:
        for switch in switches:
            switch.allow_tf32 = tf32
        yield
    finally:
        for switch, value in zip(switches, before, strict=True):
            switch.allow_tf32 = value
