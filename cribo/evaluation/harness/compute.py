"""Where an evaluation computes: applies `compute` of params.yaml to one process, or to each of torchrun's processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch

from cribo.training.engine.distributed import World, join_world

# Timeout of a collective. Each process reads its share of a split before they meet, and one may be hours slower. If one
# dies, the others do not wait this long: torchrun ends those on its machine, and srun ends those of its Slurm job.
PATIENCE = timedelta(hours=6)


@contextmanager
def join(device: str, threads: int) -> Iterator[World]:
    """Join this process to the run. torch and FAISS get `threads` CPU threads (0: all cores), and fp32 means full fp32.

    Raises:
        ValueError: cuda is requested but not available.
    """
    if threads:
        torch.set_num_threads(threads)
    with _full_fp32(), join_world(device, PATIENCE) as world:
        yield world


@contextmanager
def _full_fp32() -> Iterator[None]:
    """Disable TF32 inside, whatever the state outside; restore that state at the end.

    By default, torch allows TF32 in cuDNN's convolutions, and a convolution embeds the patches. The neighbour search relies
    on every bit of its matrix products. `compute.tf32` concerns pretraining only.
    """
    cudnn = torch.backends.cudnn
    before = torch.get_float32_matmul_precision(), cudnn.allow_tf32
    try:
        torch.set_float32_matmul_precision("highest")
        cudnn.allow_tf32 = False
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        cudnn.allow_tf32 = before[1]
