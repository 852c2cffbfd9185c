"""The nearest neighbour of Eq. 2 in a GPU kernel that writes only the best similarity of each part of the keys.

`memory_bank.nearest` writes a block of similarities and reads it three times. With K = 64 and S = 25000 that is most of a
step's time. Here the block and its running maximum stay in registers. From Hopper on, the GPU's copy engine loads tiles
ahead; older GPUs give the same answer, at a speed that was never measured. This module is imported only on a GPU, and by
the test, which runs it through Triton's interpreter.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from jaxtyping import Bool, Float, Int
from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor

from cribo.method.rows import counted_first

QUERIES, KEYS, WIDTH = 128, 256, 64  # size of a program's tile
PARTS = 44  # parts of the valid keys, searched in parallel: 12 tiles of queries then fill 132 multiprocessors 4 times over


def fused_nearest(
    queries: Float[Tensor, "Q d"],
    asked: Bool[Tensor, " Q"],
    keys: Float[Tensor, "M d"],
    valid: Bool[Tensor, " M"],
    ids: tuple[Int[Tensor, " Q"], Int[Tensor, " M"]] | None = None,
) -> Int[Tensor, " Q"]:
    """Index of the valid key most similar to each query.

    The vectors, all of length one, are rounded to half precision (11 bits). Their products are summed in fp32 and compared
    to 16 bits; among keys equal to that precision, any may win. A query that is not `asked`, or has no valid key of another
    id, gets an arbitrary index. The queries and keys that count are sorted to the front and programs beyond them end at
    once, so the host needs no count and never waits.
    """
    key_order, query_order = counted_first(valid), counted_first(asked)
    counts = torch.stack([asked.sum(), valid.sum()]).int()
    keys, queries = _rounded(keys, key_order, counts[1:]), _rounded(queries, query_order, counts[:1])
    found = torch.zeros(PARTS, len(queries), dtype=torch.int32, device=keys.device)
    tops = torch.full(found.shape, -torch.inf, device=keys.device)
    own_ids, key_ids = (counts, counts) if ids is None else (ids[0][query_order], ids[1][key_order])
    width = min(WIDTH, max(16, triton.next_power_of_2(queries.shape[1])))
    tiles = (TensorDescriptor.from_tensor(x, [size, width]) for x, size in ((queries, QUERIES), (keys, KEYS)))
    _search[triton.cdiv(len(queries), QUERIES), PARTS](
        *tiles, counts, own_ids, key_ids, tops, found, len(queries), queries.shape[1],
        ids is not None, QUERIES, KEYS, width, num_warps=8, num_stages=3,
    )  # fmt: skip
    best = found.gather(0, tops.argmax(dim=0, keepdim=True))[0]
    return torch.empty_like(query_order).scatter_(0, query_order, key_order[best.long()])


def _rounded(vectors: Float[Tensor, "n d"], order: Int[Tensor, " n"], count: Int[Tensor, " 1"]) -> Float[Tensor, "n e"]:
    """The first `count` vectors in this order, in half precision; the rows after them stay uninitialised.

    A GPU loads tiles whose rows begin at multiples of 16 bytes, so rows are padded with zeros.
    """
    n, d = vectors.shape
    rounded = torch.empty(n, -(-d // 8) * 8, dtype=torch.half, device=vectors.device)
    _round[(triton.cdiv(n, QUERIES),)](vectors.contiguous(), order, count, rounded, d, rounded.shape[1], QUERIES, WIDTH)
    return rounded


@triton.jit
def _round(vectors, order, count, rounded, d, e, BN: tl.constexpr, BD: tl.constexpr):
    rows = tl.program_id(0).to(tl.int64) * BN + tl.arange(0, BN)[:, None]
    wanted = rows < tl.load(count)
    places = tl.load(order + rows, mask=wanted, other=0)
    for channel in range(0, e, BD):
        channels = channel + tl.arange(0, BD)[None, :]
        x = tl.load(vectors + places * d + channels, mask=wanted & (channels < d), other=0.0)
        tl.store(rounded + rows * e + channels, x.to(tl.float16), mask=wanted & (channels < e))


@triton.jit
def _search(
    queries, keys, counts, query_ids, key_ids, tops, found, Q, d,
    HAS_IDS: tl.constexpr, BQ: tl.constexpr, BK: tl.constexpr, BD: tl.constexpr,
):  # fmt: skip
    first = tl.program_id(0) * BQ
    part = tl.program_id(1)
    if first < tl.load(counts):
        rows = first + tl.arange(0, BQ)
        last = tl.load(counts + 1)
        length = tl.cdiv(tl.cdiv(last, tl.num_programs(1)), BK) * BK
        end = tl.minimum((part + 1) * length, last)
        # The lowest bits of a similarity hold its column, so that the maximum needs no separate index.
        column = BK - 1 - tl.arange(0, BK)[None, :]
        best = tl.full((BQ,), -4.0, tl.float32)
        where = tl.zeros((BQ,), tl.int32)
        if HAS_IDS:
            own = tl.load(query_ids + rows, mask=rows < Q, other=-1)
        for start in range(part * length, end, BK):
            keys_at = start + tl.arange(0, BK)
            similarity = tl.zeros((BQ, BK), tl.float32)
            for channel in range(0, d, BD):
                similarity = tl.dot(queries.load([first, channel]), keys.load([start, channel]).T, similarity)
            if start + BK > end:
                similarity = tl.where(keys_at[None, :] < end, similarity, -3.0)
            if HAS_IDS:
                others = tl.load(key_ids + keys_at, mask=keys_at < end, other=-1)
                similarity = tl.where(own[:, None] != others[None, :], similarity, -3.0)
            tagged = (similarity.to(tl.int32, bitcast=True) & -BK) | column
            top = tl.max(tagged.to(tl.float32, bitcast=True), axis=1)
            better = top > best
            best = tl.where(better, top, best)
            where = tl.where(better, start, where)
        there = best > -2.0
        place = where + BK - 1 - (best.to(tl.int32, bitcast=True) & (BK - 1))
        tl.store(found + part * Q + rows, place, mask=there & (rows < Q))
        tl.store(tops + part * Q + rows, best, mask=there & (rows < Q))
