"""The passes of a clustering round over all tokens (Eqs. 15–17), each in one GPU kernel that reads the tokens once.

Distances between tokens are never written out. Products of fp32 factors take three products of TF32 each, which keep 22 of
their 24 bits: for so few clusters, library products in fp32 take twice as long as reading the tokens. This module is
imported only on a GPU, and by the test, which runs it through Triton's interpreter.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

TILE = 4096  # tokens × clusters handled by one program of `_nearest_tokens`
TOKENS, CLUSTERS = 64, 64  # in a tile of the products; fewer clusters if there are fewer
FOR_COSINES, FOR_SUMS = 32, 64  # channels in a tile: larger ones would not fit in a program's registers
SMALLEST = 16  # side of a product's factor


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


def fused_cosines(z: Float[Tensor, "B n d"], centroids: Float[Tensor, "B K d"]) -> Float[Tensor, "B n K"]:
    """z @ centroidsᵀ, in fp32."""
    z, centroids = z.float().contiguous(), centroids.float().contiguous()
    (images, n, d), K = z.shape, centroids.shape[1]
    cosines = torch.empty(images, n, K, device=z.device)
    clusters = _clusters(K)
    grid = triton.cdiv(K, clusters), triton.cdiv(n, TOKENS), images
    _cosines[grid](z, centroids, cosines, n, K, d, TOKENS, clusters, FOR_COSINES, num_warps=8)
    return cosines


@triton.jit
def _cosines(z, centroids, cosines, n, K, d, TOKENS: tl.constexpr, CLUSTERS: tl.constexpr, CHANNELS: tl.constexpr):
    image = tl.program_id(2).to(tl.int64)
    clusters = tl.program_id(0) * CLUSTERS + tl.arange(0, CLUSTERS)[:, None]
    tokens = tl.program_id(1) * TOKENS + tl.arange(0, TOKENS)[:, None]
    total = tl.zeros((TOKENS, CLUSTERS), tl.float32)
    for start in range(0, d, CHANNELS):
        channels = start + tl.arange(0, CHANNELS)[None, :]
        x = tl.load(z + (image * n + tokens) * d + channels, mask=(tokens < n) & (channels < d), other=0.0)
        c = tl.load(centroids + (image * K + clusters) * d + channels, mask=(clusters < K) & (channels < d), other=0.0)
        total = tl.dot(x, tl.trans(c), total, input_precision="tf32x3")
    clusters = tl.trans(clusters)
    tl.store(cosines + (image * n + tokens) * K + clusters, total, mask=(tokens < n) & (clusters < K))


def fused_sums(x: Float[Tensor, "B n d"], labels: Int[Tensor, "B n"], K: int) -> Float[Tensor, "B K d"]:
    """Same as `clustering.sums`, in fp32; label K means no cluster."""
    x = x.float().contiguous()
    images, n, d = x.shape
    sums = torch.empty(images, K, d, device=x.device)
    clusters = _clusters(K)
    grid = triton.cdiv(K, clusters), triton.cdiv(d, FOR_SUMS), images
    _sums[grid](x, labels.contiguous(), sums, n, K, d, TOKENS, clusters, FOR_SUMS, num_warps=8)
    return sums


@triton.jit
def _sums(x, labels, sums, n, K, d, TOKENS: tl.constexpr, CLUSTERS: tl.constexpr, CHANNELS: tl.constexpr):
    image = tl.program_id(2).to(tl.int64)
    clusters = tl.program_id(0) * CLUSTERS + tl.arange(0, CLUSTERS)[:, None]
    channels = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)[None, :]
    total = tl.zeros((CLUSTERS, CHANNELS), tl.float32)
    for start in range(0, n, TOKENS):
        tokens = start + tl.arange(0, TOKENS)
        labelled = tl.load(labels + image * n + tokens, mask=tokens < n, other=-1)[None, :]
        rows = (image * n + tokens)[:, None] * d
        values = tl.load(x + rows + channels, mask=(tokens < n)[:, None] & (channels < d), other=0.0)
        total = tl.dot((labelled == clusters).to(tl.float32), values, total, input_precision="tf32x3")
    tl.store(sums + (image * K + clusters) * d + channels, total, mask=(clusters < K) & (channels < d))


def _clusters(K: int) -> int:
    """Clusters in a tile."""
    return min(CLUSTERS, max(SMALLEST, triton.next_power_of_2(K)))
