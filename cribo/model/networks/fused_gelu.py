"""The gradient of GELU and its sum over rows, which a bias needs, in one pass of a GPU kernel.

Compiler-generated code takes two passes, and computes all of GELU again for the sum. This module is imported only on a GPU,
and by the test, which runs it through Triton's interpreter.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from jaxtyping import BFloat16, Float
from torch import Tensor

from cribo.model.networks import gelu

ROWS, COLUMNS = 32, 128  # size of a tile: 256 contiguous bytes per row
PARTS = 66  # row parts summed in parallel: with 24 tiles of columns, they fill 132 multiprocessors four times over
C0, C1, C2, C3, C4, C5, C6, C7 = (tl.constexpr(c) for c in gelu.LOG_TAIL)
LOG_DENSITY, DENSITY = tl.constexpr(gelu.LOG_DENSITY), tl.constexpr(gelu.DENSITY)


def fused_gelu_gradient(
    hidden: BFloat16[Tensor, "M F"], upstream: BFloat16[Tensor, "M F"]
) -> tuple[BFloat16[Tensor, "M F"], Float[Tensor, " F"]]:
    """Same result as `mlp.gelu_gradient`; sums over rows are taken before rounding to bf16."""
    hidden, upstream = hidden.contiguous(), upstream.contiguous()
    M, F = hidden.shape
    gradient = torch.empty_like(hidden)
    sums = torch.empty(PARTS, F, device=hidden.device)
    grid = triton.cdiv(F, COLUMNS), PARTS
    _gradient[grid](hidden, upstream, gradient, sums, M, F, ROWS, COLUMNS, num_warps=8)
    return gradient, sums.sum(dim=0)


@triton.jit(do_not_specialize=["M"])  # a smaller last part of a batch must not compile its own kernel
def _gradient(hidden, upstream, gradient, sums, M, F, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    part = tl.program_id(1)
    length = tl.cdiv(tl.cdiv(M, tl.num_programs(1)), ROWS) * ROWS
    end = tl.minimum((part + 1) * length, M)
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    for first in range(part * length, end, ROWS):
        row = first + tl.arange(0, ROWS)[:, None]
        there = (row < end) & (column < F)
        place = row.to(tl.int64) * F + column
        x = tl.load(hidden + place, mask=there, other=0.0).to(tl.float32)
        above = tl.load(upstream + place, mask=there, other=0.0).to(tl.float32)
        a = tl.abs(x)
        tail = tl.exp2(((((((a * C7 + C6) * a + C5) * a + C4) * a + C3) * a + C2) * a + C1) * a + C0)
        density = tl.exp2(x * x * LOG_DENSITY) * DENSITY
        found = above * (tl.where(x > 0, 1 - tail, tail) + x * density)
        total += found
        tl.store(gradient + place, found.to(gradient.dtype.element_ty), mask=there)
    tl.store(sums + part * F + column, tl.sum(total, axis=0, keep_dims=True), mask=column < F)
