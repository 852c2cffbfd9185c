"""The switches of `compute` that make a step faster or smaller and leave its result alone, but for rounding."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from shutil import which

import torch

from cribo.model.networks.mlp import Mlp
from cribo.model.networks.network import Network
from cribo.params import Compute


def accelerate(student: Network, teacher: Network, compute: Compute) -> None:
    """Compile both networks and recompute the student's activations, as asked for; in place, names of weights stay.

    Raises:
        ValueError: a GPU's kernels are to be generated, and Triton or a C compiler is missing.
    """
    student.backbone.set_grad_checkpointing(compute.recompute)
    for mlp in (module for module in student.backbone.modules() if isinstance(module, Mlp)):
        mlp.recomputed = compute.recompute
    if compute.compile:
        if next(student.parameters()).is_cuda:
            _check_generators()
        if teacher is student:  # MAE has no teacher
            student.compile()
            return
        for network, names in ((student, ("tokens", "represent")), (teacher, ("tokens",))):
            for name in names:
                setattr(network, name, torch.compile(getattr(network, name)))


def _check_generators() -> None:
    """What generated kernels need, asked for before the first step rather than in the middle of it."""
    compiler = os.environ.get("CC") or which("gcc") or which("clang")
    for there, what in ((find_spec("triton"), "Triton"), (compiler, "a C compiler (gcc, clang or $CC)")):
        if not there:
            raise ValueError(f"compute.compile needs {what}, which is not here: install it or set compute.compile to false")


@contextmanager
def tensor_cores(tf32: bool) -> Iterator[None]:
    """Let fp32 products on the GPU run in TF32 inside, or not, whatever the state outside.

    On, it is meant for the student's pass and its losses. What the teacher decides (clusters, neighbours, accepted objects)
    is computed without: ten bits of mantissa would turn close decisions.
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
