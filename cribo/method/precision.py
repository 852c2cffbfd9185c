"""How precisely the method computes: in fp32 or better, whatever the backbone returns."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def exact(x: Tensor) -> Tensor:
    """`x` in fp32, or in float64 if it already is."""
    return x if x.dtype == torch.float64 else x.float()


def products(a: Float[Tensor, "n m"], b: Float[Tensor, "m k"]) -> Float[Tensor, "n k"]:
    """a @ b, summed and returned in fp32 even for factors in half precision or bf16, where a plain product is rounded."""
    if a.dtype not in (torch.half, torch.bfloat16):
        return a @ b
    # CPUs gain nothing from fewer bits; there, rounded factors only imitate what a GPU does.
    return torch.mm(a, b, out_dtype=torch.float32) if a.is_cuda else a.float() @ b.float()


def unit(objects: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
    """Unit vectors in fp32 or better; a zero vector stays zero."""
    return F.normalize(exact(objects), dim=-1)
