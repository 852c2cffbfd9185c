"""The nearest neighbour of Eq. 2 in one GPU kernel: products, their running maximum, and no similarity ever written.

`memory_bank.nearest` writes a block of similarities and reads it three times. With K = 64 and S = 25000 that is most of a
step's time; here the block stays in registers. Imported on a GPU alone, and by the test, which runs it through Triton's
interpreter.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cribo.method.rows import counted_first

QUERIES, KEYS, WIDTH = 128, 256, 64  # of a tile of one program
SPLITS = 8  # parts of the keys that are searched side by side: few queries then still fill the GPU


def fused_nearest(
    queries: Float[Tensor, "Q d"],
    asked: Bool[Tensor, " Q"],
    keys: Float[Tensor, "M d"],
    valid: Bool[Tensor, " M"],
    ids: tuple[Int[Tensor, " Q"], Int[Tensor, " M"]] | None = None,
) -> Int[Tensor, "P Q"]:
    """Index of the valid key most similar to each query, in each of P parts of the keys.

    The vectors, all of length one, are rounded to half precision and their products summed in fp32; of equal keys the first
    wins. A query that is not `asked`, or a part without a valid key of another id, gets any index. What counts comes first
    in both lists, and programs past it end at once: the host needs no count and waits for nothing.
    """
    key_order, query_order = counted_first(valid), counted_first(asked)
    keys, queries = keys.half()[key_order], queries.half()[query_order]
    counts = torch.stack([asked.sum(), valid.sum()]).int()
    part = triton.cdiv(triton.cdiv(len(keys), SPLITS), KEYS) * KEYS
    found = torch.zeros(SPLITS, len(queries), dtype=torch.int32, device=keys.device)
    own_ids, key_ids = (counts, counts) if ids is None else (ids[0][query_order], ids[1][key_order])
    _search[triton.cdiv(len(queries), QUERIES), SPLITS](
        queries, keys, counts, own_ids, key_ids, found, len(queries), queries.shape[1], part,
        ids is not None, QUERIES, KEYS, WIDTH, num_warps=8, num_stages=3,
    )  # fmt: skip
    index = torch.empty_like(found, dtype=torch.long)
    index[:, query_order] = key_order[found.long()]
    return index


@triton.jit
def _search(
    queries, keys, counts, query_ids, key_ids, found, Q, d, part,
    HAS_IDS: tl.constexpr, BQ: tl.constexpr, BK: tl.constexpr, BD: tl.constexpr,
):  # fmt: skip
    first = tl.program_id(0) * BQ
    split = tl.program_id(1)
    if first < tl.load(counts):
        rows = first + tl.arange(0, BQ)
        end = tl.minimum((split + 1) * part, tl.load(counts + 1))
        best = tl.full((BQ,), float("-inf"), tl.float32)
        where = tl.zeros((BQ,), tl.int32)
        if HAS_IDS:
            own = tl.load(query_ids + rows, mask=rows < Q, other=-1)
        for start in range(split * part, end, BK):
            columns = start + tl.arange(0, BK)
            similarity = tl.zeros((BQ, BK), tl.float32)
            for channel in range(0, d, BD):
                channels = channel + tl.arange(0, BD)
                inside = channels < d
                a = tl.load(
                    queries + rows[:, None].to(tl.int64) * d + channels[None, :],
                    mask=(rows[:, None] < Q) & inside[None, :],
                    other=0.0,
                )
                b = tl.load(
                    keys + columns[None, :].to(tl.int64) * d + channels[:, None],
                    mask=(columns[None, :] < end) & inside[:, None],
                    other=0.0,
                )
                similarity = tl.dot(a, b, similarity)
            allowed = columns[None, :] < end
            if HAS_IDS:
                others = tl.load(key_ids + columns, mask=columns < end, other=-1)
                allowed = allowed & (own[:, None] != others[None, :])
            similarity = tl.where(allowed, similarity, float("-inf"))
            top, place = tl.max(similarity, axis=1, return_indices=True)
            better = top > best
            best = tl.where(better, top, best)
            where = tl.where(better, start + place, where)
        tl.store(found + split * Q + rows, where, mask=rows < Q)
