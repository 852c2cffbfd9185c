"""Where an evaluation computes: what params.yaml's `compute` means for one process, or for each of torchrun's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from cribo.training.distributed import World, join_world


@contextmanager
def join(device: str, threads: int) -> Iterator[World]:
    """This process among those of the run; torch and FAISS get `threads` CPU threads (0: all cores).

    Raises:
        ValueError: cuda is asked for and there is none.
    """
    if threads:
        torch.set_num_threads(threads)
    with join_world(device) as world:
        yield world
