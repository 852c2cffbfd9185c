"""The switches of `compute` that make a step faster or smaller and change its result only by rounding."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from shutil import which

import torch

from cribo.data.batches.loader import Batch, Inputs, normalised, to_device
from cribo.method.generated import generated
from cribo.model.networks.attention import Attention
from cribo.model.networks.backbone import MEAN, STD
from cribo.model.networks.mlp import Mlp
from cribo.model.networks.network import Network
from cribo.params import Compute


def accelerate(student: Network, teacher: Network, compute: Compute) -> None:
    """Compile both networks and recompute the student's activations, as `compute` says; in place, keeping weight names.

    Raises:
        ValueError: GPU kernels must be generated, but Triton or a C compiler is missing.
    """
    student.backbone.set_grad_checkpointing(compute.recompute)
    for part in (module for module in student.backbone.modules() if isinstance(module, Attention | Mlp)):
        part.recomputed = compute.recompute
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
    """Check before the first step, rather than in the middle of it, that kernels can be generated."""
    compiler = os.environ.get("CC") or which("gcc") or which("clang")
    for there, what in ((find_spec("triton"), "Triton"), (compiler, "a C compiler (gcc, clang or $CC)")):
        if not there:
            raise ValueError(
                f"compute.compile needs {what}, which is missing here: install it or set compute.compile to false"
            )


def inputs_of(batch: Batch, device: torch.device, fused: bool) -> Inputs:
    """A batch on the device, normalised as backbones take it; `fused` does so in one pass on a GPU instead of five."""
    return to_device(batch, device, MEAN, STD, generated(normalised) if fused else normalised)


@contextmanager
def tensor_cores(tf32: bool) -> Iterator[None]:
    """Allow or forbid TF32 for fp32 products on the GPU inside the block, whatever the state outside.

    TF32 is meant for the student's pass and its losses. The teacher's decisions (clusters, neighbours, accepted objects) are
    computed without it: with ten bits of mantissa, close decisions would change.
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
