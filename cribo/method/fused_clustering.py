"""Distance from every token to the nearest token of each cluster (Eq. 17), in one GPU kernel.

The kernel never writes out the distances between tokens. This module is imported only on a GPU, and by the test, which runs
it through Triton's interpreter.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

TILE = 4096  # tokens × clusters handled by one program


def fused_nearest_tokens(
    positions: Float[Tensor, "B n 2"], labels: Int[Tensor, "B n"], K: int, exclude_self: bool
) -> Float[Tensor, "B n K"]:
    """Same as `nearest_tokens` of `pairwise_distance`, except for the last bit of a distance."""
    images, n, _ = positions.shape
    nearest = torch.empty(images, n, K, device=positions.device)
    clusters = triton.next_power_of_2(K)
    tokens = max(16, TILE // clusters)
    _nearest_tokens[(images, triton.cdiv(n, tokens))](
        positions.float().contiguous(), labels.contiguous(), nearest, n, K, exclude_self, tokens, clusters
    )
    return nearest


@triton.jit
def _nearest_tokens(
    positions, labels, nearest, n, K, EXCLUDE_SELF: tl.constexpr, TOKENS: tl.constexpr, CLUSTERS: tl.constexpr
):
    positions += tl.program_id(0).to(tl.int64) * n * 2
    labels += tl.program_id(0).to(tl.int64) * n
    nearest += tl.program_id(0).to(tl.int64) * n * K
    tokens = tl.program_id(1) * TOKENS + tl.arange(0, TOKENS)
    clusters = tl.arange(0, CLUSTERS)[None, :]
    x = tl.load(positions + 2 * tokens, mask=tokens < n, other=0.0)
    y = tl.load(positions + 2 * tokens + 1, mask=tokens < n, other=0.0)
    squares = tl.full((TOKENS, CLUSTERS), float("inf"), tl.float32)
    for other in range(0, n):
        dx = x - tl.load(positions + 2 * other)
        dy = y - tl.load(positions + 2 * other + 1)
        square = dx * dx + dy * dy
        if EXCLUDE_SELF:
            square = tl.where(square == 0, float("inf"), square)
        squares = tl.where(clusters == tl.load(labels + other), tl.minimum(squares, square[:, None]), squares)
    inside = (tokens[:, None] < n) & (clusters < K)
    tl.store(nearest + tokens[:, None] * K + clusters, tl.sqrt_rn(squares), mask=inside)
