"""Functions of tensors whose passes over memory a GPU fuses into few."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor


@cache
def generated(function: Callable) -> Callable:
    """`function` with the same results up to rounding, compiled by torch for a GPU.

    Where its first argument is elsewhere, or empty, the function itself is called: a CPU would gain less than compiling
    takes, and needs a compiler for it.
    """
    compiled = torch.compile(function)

    def run(first: Tensor, *rest: object) -> object:
        return (compiled if first.is_cuda and first.numel() else function)(first, *rest)

    return run
