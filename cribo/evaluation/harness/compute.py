"""Where an evaluation computes: what params.yaml's `compute` means for one process, or for each of torchrun's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch

from cribo.training.engine.distributed import World, join_world

# Of a collective: each process reads its share of a split before they meet, and one may be slower by hours. For one that
# dies those on its machine do not wait, for torchrun ends them, nor those of its Slurm job, which srun ends.
PATIENCE = timedelta(hours=6)


@contextmanager
def join(device: str, threads: int) -> Iterator[World]:
    """This process among those of the run; torch and FAISS get `threads` CPU threads (0: all cores), fp32 is fp32.

    Raises:
        ValueError: cuda is asked for and there is none.
    """
    if threads:
        torch.set_num_threads(threads)
    with _full_fp32(), join_world(device, PATIENCE) as world:
        yield world


@contextmanager
def _full_fp32() -> Iterator[None]:
    """No TF32 inside, whatever the state outside, which comes back in the end.

    Torch lets cuDNN's convolutions have it unless told otherwise, and patches are embedded by one; of products the search
    for neighbours counts on every bit. `compute.tf32` is pretraining's.
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
