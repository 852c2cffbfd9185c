"""softmax(q kᵀ / √D) v and its gradient in three GPU kernels, for sequences of some hundred tokens.

Queries, keys and values lie packed as the linear layer returns them, and so do their gradients. A program handles a tile of
one head's queries (or, for the gradients of keys and values, of its keys) and goes through the tokens in tiles. Those that
fill no tile have a smaller one. As in FlashAttention (Dao 2023, arXiv:2307.08691), the forward pass keeps running maxima and
sums, and the gradient computes the softmax again. This module is imported only on a GPU, and by the test, which runs it
through Triton's interpreter.
"""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl
from jaxtyping import BFloat16, Float
from torch import Tensor

LOG2E = tl.constexpr(1 / math.log(2))
OUTER = 64  # tokens in a program's tile
# Tokens in a tile that a program goes through, and how many such tiles are on their way at a time.
ATTEND, BY_QUERIES, BY_KEYS = (32, 3), (64, 2), (32, 3)  # the fastest of eleven each on an H200, for 197 tokens and D = 64
SMALLEST = 16  # side of a matrix product's factor


def fused_attend(
    packed: BFloat16[Tensor, "B n 3hD"], heads: int
) -> tuple[BFloat16[Tensor, "B n hD"], Float[Tensor, "B h n"]]:
    """Same result as `attention.attend`."""
    packed = packed.contiguous()
    B, n, width = packed.shape
    out, log_sums = packed.new_empty(B, n, width // 3), packed.new_empty(B, heads, n, dtype=torch.float32)
    grid, sizes, stages = _tiled(packed, heads, *ATTEND)
    _attend[grid](packed, out, log_sums, *sizes, num_stages=stages)
    return out, log_sums


def fused_attention_gradient(
    packed: BFloat16[Tensor, "B n 3hD"],
    out: BFloat16[Tensor, "B n hD"],
    log_sums: Float[Tensor, "B h n"],
    upstream: BFloat16[Tensor, "B n hD"],
    heads: int,
) -> tuple[BFloat16[Tensor, "B n 3hD"], Float[Tensor, " 3hD"]]:
    """Same result as `attention.attention_gradient`; sums are taken before rounding to bf16."""
    packed, out, upstream = packed.contiguous(), out.contiguous(), upstream.contiguous()
    B, _n, width = packed.shape
    gradient, dots = torch.empty_like(packed), torch.empty_like(log_sums)
    grid, sizes, stages = _tiled(packed, heads, *BY_QUERIES)
    sums = packed.new_empty(grid[0], B, width, dtype=torch.float32)
    _by_queries[grid](packed, out, log_sums, upstream, dots, gradient, sums, *sizes, num_stages=stages)
    grid, sizes, stages = _tiled(packed, heads, *BY_KEYS)
    _by_keys[grid](packed, log_sums, upstream, dots, gradient, sums, *sizes, num_stages=stages)
    return gradient, sums.sum(dim=(0, 1))


def _tiled(packed: Tensor, heads: int, inner: int, stages: int) -> tuple[tuple[int, int, int], tuple[int, ...], int]:
    """The grid of programs; n, h, D, and for both kinds of tile its size, how many are full, and the last one's size."""
    B, n, width = packed.shape
    tiles = [x for tile in (OUTER, inner) for x in (tile, n // tile, _last(n, tile))]
    # Heads and images in directions of their own: each of these has at most 65,535 programs.
    return (triton.cdiv(n, OUTER), heads, B), (n, heads, width // 3 // heads, *tiles), stages


def _last(n: int, tile: int) -> int:
    """Size of the tile for the tokens that fill no tile of `tile` tokens; 0 if there are none."""
    return max(SMALLEST, triton.next_power_of_2(n % tile)) if n % tile else 0


@triton.jit
def _attend(
    packed, out, log_sums, n, H: tl.constexpr, D: tl.constexpr,
    OUTER: tl.constexpr, OUTERS: tl.constexpr, OUTER_LAST: tl.constexpr,
    INNER: tl.constexpr, INNERS: tl.constexpr, INNER_LAST: tl.constexpr,
):  # fmt: skip
    first = tl.program_id(0) * OUTER
    if tl.program_id(0) < OUTERS:
        _attend_tile(packed, out, log_sums, n, H, D, first, OUTER, True, INNER, INNERS, INNER_LAST)
    elif OUTER_LAST:
        _attend_tile(packed, out, log_sums, n, H, D, first, OUTER_LAST, False, INNER, INNERS, INNER_LAST)


@triton.jit
def _attend_tile(
    packed, out, log_sums, n, H: tl.constexpr, D: tl.constexpr, first, T: tl.constexpr, FULL: tl.constexpr,
    INNER: tl.constexpr, INNERS: tl.constexpr, INNER_LAST: tl.constexpr,
):  # fmt: skip
    tokens = first + tl.arange(0, T)
    queries = _head(packed, n, 3 * H, D)
    q = _rows(queries, tokens, 3 * H * D, n, D, FULL)
    top = tl.full((T,), float("-inf"), tl.float32)
    total = tl.zeros((T,), tl.float32)
    mean = tl.zeros((T, D), tl.float32)
    for start in range(0, INNERS * INNER, INNER):
        top, total, mean = _attend_to(q, queries, start, n, top, total, mean, H, D, INNER, True)
    if INNER_LAST:
        top, total, mean = _attend_to(q, queries, INNERS * INNER, n, top, total, mean, H, D, INNER_LAST, False)
    _store_rows(_head(out, n, H, D), tokens, H * D, n, mean / total[:, None], D)
    tl.store(log_sums + _line(n, H) + tokens, top + tl.log2(total), mask=tokens < n)


@triton.jit
def _attend_to(
    q, queries, start, n, top, total, mean, H: tl.constexpr, D: tl.constexpr, T: tl.constexpr, FULL: tl.constexpr
):
    """Running maximum of the scores (to base 2), sum and weighted sum of values after one more tile of keys."""
    tokens = start + tl.arange(0, T)
    k = _rows(queries + H * D, tokens, 3 * H * D, n, D, FULL)
    v = _rows(queries + 2 * H * D, tokens, 3 * H * D, n, D, FULL)
    scores = tl.dot(q, tl.trans(k)) * (LOG2E / tl.sqrt(D * 1.0))
    if not FULL:
        scores = tl.where(tokens[None, :] < n, scores, float("-inf"))
    larger = tl.maximum(top, tl.max(scores, axis=1))
    p = tl.exp2(scores - larger[:, None])
    decay = tl.exp2(top - larger)
    mean = tl.dot(p.to(v.dtype), v, mean * decay[:, None])
    return larger, total * decay + tl.sum(p, axis=1), mean


@triton.jit
def _by_queries(
    packed, out, log_sums, upstream, dots, gradient, sums, n, H: tl.constexpr, D: tl.constexpr,
    OUTER: tl.constexpr, OUTERS: tl.constexpr, OUTER_LAST: tl.constexpr,
    INNER: tl.constexpr, INNERS: tl.constexpr, INNER_LAST: tl.constexpr,
):  # fmt: skip
    first = tl.program_id(0) * OUTER
    pointers = packed, out, log_sums, upstream, dots, gradient, sums
    if tl.program_id(0) < OUTERS:
        _queries_tile(pointers, n, H, D, first, OUTER, True, INNER, INNERS, INNER_LAST)
    elif OUTER_LAST:
        _queries_tile(pointers, n, H, D, first, OUTER_LAST, False, INNER, INNERS, INNER_LAST)


@triton.jit
def _queries_tile(
    pointers, n, H: tl.constexpr, D: tl.constexpr, first, T: tl.constexpr, FULL: tl.constexpr,
    INNER: tl.constexpr, INNERS: tl.constexpr, INNER_LAST: tl.constexpr,
):  # fmt: skip
    packed, out, log_sums, upstream, dots, gradient, sums = pointers
    tokens = first + tl.arange(0, T)
    queries = _head(packed, n, 3 * H, D)
    q = _rows(queries, tokens, 3 * H * D, n, D, FULL)
    above = _rows(_head(upstream, n, H, D), tokens, H * D, n, D, FULL)
    outputs = _rows(_head(out, n, H, D), tokens, H * D, n, D, FULL)
    line = _line(n, H)
    log_sum = _numbers(log_sums + line, tokens, n, FULL)
    dot = tl.sum(outputs.to(tl.float32) * above.to(tl.float32), axis=1)
    tl.store(dots + line + tokens, dot, mask=tokens < n)
    found = tl.zeros((T, D), tl.float32)
    for start in range(0, INNERS * INNER, INNER):
        found = _query_from(q, above, queries, start, n, log_sum, dot, found, H, D, INNER, True)
    if INNER_LAST:
        found = _query_from(q, above, queries, INNERS * INNER, n, log_sum, dot, found, H, D, INNER_LAST, False)
    found = found / tl.sqrt(D * 1.0)
    _store_rows(_head(gradient, n, 3 * H, D), tokens, 3 * H * D, n, found, D)
    _store_sum(sums, found, H, D)  # rows after the n-th are zero, like their `above`


@triton.jit
def _query_from(
    q, above, queries, start, n, log_sum, dot, found, H: tl.constexpr, D: tl.constexpr, T: tl.constexpr, FULL: tl.constexpr
):
    """The gradient by √D · q after one more tile of keys."""
    tokens = start + tl.arange(0, T)
    k = _rows(queries + H * D, tokens, 3 * H * D, n, D, FULL)
    v = _rows(queries + 2 * H * D, tokens, 3 * H * D, n, D, FULL)
    p = tl.exp2(tl.dot(q, tl.trans(k)) * (LOG2E / tl.sqrt(D * 1.0)) - log_sum[:, None])
    if not FULL:  # keys after the n-th are zero, but their p may be infinite, and ∞ · 0 is no number
        p = tl.where(tokens[None, :] < n, p, 0.0)
    s = p * (tl.dot(above, tl.trans(v)) - dot[:, None])
    return tl.dot(s.to(k.dtype), k, found)


@triton.jit
def _by_keys(
    packed, log_sums, upstream, dots, gradient, sums, n, H: tl.constexpr, D: tl.constexpr,
    OUTER: tl.constexpr, OUTERS: tl.constexpr, OUTER_LAST: tl.constexpr,
    INNER: tl.constexpr, INNERS: tl.constexpr, INNER_LAST: tl.constexpr,
):  # fmt: skip
    first = tl.program_id(0) * OUTER
    pointers = packed, log_sums, upstream, dots, gradient, sums
    if tl.program_id(0) < OUTERS:
        _keys_tile(pointers, n, H, D, first, OUTER, True, INNER, INNERS, INNER_LAST)
    elif OUTER_LAST:
        _keys_tile(pointers, n, H, D, first, OUTER_LAST, False, INNER, INNERS, INNER_LAST)


@triton.jit
def _keys_tile(
    pointers, n, H: tl.constexpr, D: tl.constexpr, first, T: tl.constexpr, FULL: tl.constexpr,
    INNER: tl.constexpr, INNERS: tl.constexpr, INNER_LAST: tl.constexpr,
):  # fmt: skip
    packed, log_sums, upstream, dots, gradient, sums = pointers
    tokens = first + tl.arange(0, T)
    queries = _head(packed, n, 3 * H, D)
    k = _rows(queries + H * D, tokens, 3 * H * D, n, D, FULL)
    v = _rows(queries + 2 * H * D, tokens, 3 * H * D, n, D, FULL)
    line = _line(n, H)
    others = queries, _head(upstream, n, H, D), log_sums + line, dots + line
    by_k = tl.zeros((T, D), tl.float32)
    by_v = tl.zeros((T, D), tl.float32)
    for start in range(0, INNERS * INNER, INNER):
        by_k, by_v = _key_from(k, v, others, start, n, by_k, by_v, H, D, INNER, True)
    if INNER_LAST:
        by_k, by_v = _key_from(k, v, others, INNERS * INNER, n, by_k, by_v, H, D, INNER_LAST, False)
    by_k = by_k / tl.sqrt(D * 1.0)
    target = _head(gradient, n, 3 * H, D)
    _store_rows(target + H * D, tokens, 3 * H * D, n, by_k, D)
    _store_rows(target + 2 * H * D, tokens, 3 * H * D, n, by_v, D)
    if not FULL:  # their p is 1 / Σ exp, not zero
        by_k = tl.where(tokens[:, None] < n, by_k, 0.0)
        by_v = tl.where(tokens[:, None] < n, by_v, 0.0)
    _store_sum(sums + H * D, by_k, H, D)
    _store_sum(sums + 2 * H * D, by_v, H, D)


@triton.jit
def _key_from(k, v, others, start, n, by_k, by_v, H: tl.constexpr, D: tl.constexpr, T: tl.constexpr, FULL: tl.constexpr):
    """The gradients by √D · k and by v after one more tile of queries. Those after the n-th are zero and add nothing."""
    queries, upstream, log_sums, dots = others
    tokens = start + tl.arange(0, T)
    q = _rows(queries, tokens, 3 * H * D, n, D, FULL)
    above = _rows(upstream, tokens, H * D, n, D, FULL)
    log_sum, dot = _numbers(log_sums, tokens, n, FULL), _numbers(dots, tokens, n, FULL)
    p = tl.exp2(tl.dot(k, tl.trans(q)) * (LOG2E / tl.sqrt(D * 1.0)) - log_sum[None, :])
    by_v = tl.dot(p.to(above.dtype), above, by_v)
    s = p * (tl.dot(v, tl.trans(above)) - dot[None, :])
    return tl.dot(s.to(q.dtype), q, by_k), by_v


@triton.jit
def _head(tensor, n, each: tl.constexpr, D: tl.constexpr):
    """Where this program's head begins in a tensor with `each` heads' numbers per token."""
    return tensor + tl.program_id(2).to(tl.int64) * n * (each * D) + tl.program_id(1) * D


@triton.jit
def _line(n, H: tl.constexpr):
    """Where this program's head begins in [B, h, n]."""
    return (tl.program_id(2) * H + tl.program_id(1)).to(tl.int64) * n


@triton.jit
def _rows(start, rows, stride, n, D: tl.constexpr, FULL: tl.constexpr):
    """[T, D], zero after the n-th row."""
    places = start + rows[:, None] * stride + tl.arange(0, D)[None, :]
    if FULL:
        return tl.load(places)
    return tl.load(places, mask=rows[:, None] < n, other=0.0)


@triton.jit
def _numbers(start, rows, n, FULL: tl.constexpr):
    """[T], zero after the n-th."""
    if FULL:
        return tl.load(start + rows)
    return tl.load(start + rows, mask=rows < n, other=0.0)


@triton.jit
def _store_rows(start, rows, stride, n, values, D: tl.constexpr):
    places = start + rows[:, None] * stride + tl.arange(0, D)[None, :]
    tl.store(places, values.to(start.dtype.element_ty), mask=rows[:, None] < n)


@triton.jit
def _store_sum(sums, values, H: tl.constexpr, D: tl.constexpr):
    """Sum over a tile's rows, at this program's place in [tiles, B, 3hD]."""
    tile = tl.program_id(0) * tl.num_programs(2) + tl.program_id(2)
    tl.store(sums + tile.to(tl.int64) * (3 * H * D) + tl.program_id(1) * D + tl.arange(0, D), tl.sum(values, axis=0))
