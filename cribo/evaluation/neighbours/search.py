"""Exact nearest neighbours by cosine: the same neighbours, bit for bit, from every search, tile size and device.

The search has two steps. First, a fast search in fp32 (FAISS or tiles of torch) proposes a few more candidates than asked
for. Then the candidates' similarities are computed without any rounding, so that their order is well defined and equal keys
keep the order of their index. fp32 may misplace a key by at most `rounding_bound`. If the last candidate is not worse than
the k-th neighbour by more than that, a key outside the candidates could belong inside, and the query is searched again
without rounding. The matrix of all queries against all keys is never held in memory.

Why the second step is exact: components of unit vectors are rounded to multiples of 2^-26 (an fp32 number has 24 bits, so
this changes only components below 1/4, by 2^-27 at most). Products are multiples of 2^-52 and every partial sum stays
below 2, so float64 represents all of them. Sums are therefore the same in any order, with any blocking, on any device, and
keys may be split into parts, on disk or across processes (shared_search.py): the parts' findings merge exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

try:
    import faiss
except ImportError:  # FAISS is an optional extra; tiles of torch give the same neighbours
    faiss = None

UNIT = 2.0**26
SPARE = 14  # candidates beyond k; the gap between the k-th and the last settles nearly every query
TILE_ELEMENTS = 1 << 23  # similarities held at once, fp32 step
EXACT_ELEMENTS = 1 << 22  # similarities held at once, float64 step
CACHE_ELEMENTS = 1 << 19  # numbers gathered at once for rescoring; they fit into a CPU's cache

Found = tuple[Float[Tensor, "Q c"], Int[Tensor, "Q c"]]
Search = Callable[[Float[Tensor, "Q d"], Float[Tensor, "M d"], int], Found]


def nearest(
    queries: Float[Tensor, "Q d"], keys: Float[Tensor, "M d"], k: int, search: Search | None = None
) -> tuple[Float[Tensor, "Q k"], Int[Tensor, "Q k"]]:
    """Find the k keys most similar to each query, best first; equal similarities in the order of the keys' index.

    Args:
        queries, keys: L2-normalised fp32 rows (or zeros) on one device.
        k: number of neighbours, at most M.
        search: proposes candidates; by default FAISS if it can be imported and the tensors are on the CPU, else torch.

    Returns:
        Cosine similarities (fp32, rounded once from the exact value) and indices into `keys` (int64).

    Raises:
        ValueError: k is not in 1..M, shapes disagree, or rows are not normalised.
    """
    similarities, indices = exactly_nearest(queries, keys, k, search)
    return similarities.float(), indices


def exactly_nearest(
    queries: Float[Tensor, "Q d"], keys: Float[Tensor, "M d"], k: int, search: Search | None = None
) -> tuple[Float[Tensor, "Q k"], Int[Tensor, "Q k"]]:
    """`nearest` with similarities in float64, free of rounding, so that results from parts of the keys merge exactly."""
    _check(queries, keys, k)
    search = search or (faiss_search if faiss is not None and keys.device.type == "cpu" else tiled_search)
    wanted = min(k + SPARE, len(keys))
    proposed, candidates = search(queries, keys, wanted)
    similarities, indices = _rescore(queries, keys, candidates, k)
    if wanted < len(keys):
        doubtful = similarities[:, -1] <= proposed.amin(dim=1).double() + rounding_bound(keys.shape[1])
        rows = doubtful.nonzero().flatten()
        if len(rows):
            similarities[rows], indices[rows] = exact_search(queries[rows], keys, k)
    return similarities, indices


def merge(
    similarities: Float[Tensor, "Q n"], indices: Int[Tensor, "Q n"], k: int
) -> tuple[Float[Tensor, "Q k"], Int[Tensor, "Q k"]]:
    """Return the k best neighbours found in several parts of the keys, best first, equal similarities ordered by index."""
    indices, order = indices.sort(dim=1)
    similarities, order = similarities.gather(1, order).sort(dim=1, descending=True, stable=True)
    return similarities[:, :k].contiguous(), indices.gather(1, order)[:, :k].contiguous()


def rounding_bound(d: int) -> float:
    """Return how far an fp32 dot product of unit vectors in d dimensions can be from the exact one of rounded inputs."""
    return d * 2.0**-24 * (1 + d * 2.0**-23) + math.sqrt(d) * 2.0**-26


def faiss_search(queries: Float[Tensor, "Q d"], keys: Float[Tensor, "M d"], k: int) -> Found:
    """Find the k best keys by FAISS's flat inner product on the CPU, in fp32; near-equals come in no particular order."""
    faiss.omp_set_num_threads(torch.get_num_threads())
    found = faiss.knn(queries.contiguous().numpy(), keys.contiguous().numpy(), k, metric=faiss.METRIC_INNER_PRODUCT)
    return torch.from_numpy(found[0]), torch.from_numpy(found[1])


def tiled_search(queries: Float[Tensor, "Q d"], keys: Float[Tensor, "M d"], k: int, tile: int = 8192) -> Found:
    """Find the k best keys by a running top-k over tiles of keys, in fp32, on any device."""
    step = max(1, TILE_ELEMENTS // tile)
    blocks = [_running_top(block, keys, k, tile) for block in queries.split(step)]
    if not blocks:
        return queries.new_empty(0, k), torch.empty(0, k, dtype=torch.long, device=queries.device)
    return torch.cat([v for v, _ in blocks]), torch.cat([i for _, i in blocks])


def _running_top(queries: Float[Tensor, "q d"], keys: Float[Tensor, "M d"], k: int, tile: int) -> Found:
    values = queries.new_empty(len(queries), 0)
    indices = torch.empty(len(queries), 0, dtype=torch.long, device=queries.device)
    for start in range(0, len(keys), tile):
        similarities = queries @ keys[start : start + tile].T
        best, where = similarities.topk(min(k, similarities.shape[1]), dim=1)
        values, indices = torch.cat([values, best], 1), torch.cat([indices, where + start], 1)
        if values.shape[1] > k:
            values, where = values.topk(k, dim=1)
            indices = indices.gather(1, where)
    return values, indices


def exact_search(
    queries: Float[Tensor, "Q d"], keys: Float[Tensor, "M d"], k: int, tile: int = 8192
) -> tuple[Float[Tensor, "Q k"], Int[Tensor, "Q k"]]:
    """`nearest` without the fp32 step: float64 throughout, several times slower, and float64 similarities."""
    step = max(1, EXACT_ELEMENTS // tile)
    values = torch.empty(len(queries), k, dtype=torch.float64, device=queries.device)
    indices = torch.empty(len(queries), k, dtype=torch.long, device=queries.device)
    for first in range(0, len(queries), step):
        block = _snap(queries[first : first + step])
        best = block.new_empty(len(block), 0)
        where = torch.empty(len(block), 0, dtype=torch.long, device=block.device)
        for start in range(0, len(keys), tile):
            new = block @ _snap(keys[start : start + tile]).T
            index = torch.arange(start, start + new.shape[1], device=new.device).expand(len(new), -1)
            best, where = _first_best(torch.cat([best, new], 1), torch.cat([where, index], 1), k)
        best, order = best.sort(dim=1, descending=True, stable=True)
        values[first : first + step], indices[first : first + step] = best, where.gather(1, order)
    return values, indices


def _first_best(values: Float[Tensor, "q n"], indices: Int[Tensor, "q n"], k: int) -> Found:
    """Keep each row's k largest values, in column order; among values equal to the k-th, keep those that come first.

    `topk` and an unstable sort may pick any of several equal values, but the k-th value itself is unambiguous.
    """
    if values.shape[1] <= k:
        return values, indices
    least = values.topk(k, dim=1).values[:, -1:]
    above, equal = values > least, values == least
    kept = above | (equal & (equal.cumsum(1) <= k - above.sum(1, keepdim=True)))
    return values[kept].view(-1, k), indices[kept].view(-1, k)


def _rescore(
    queries: Float[Tensor, "Q d"], keys: Float[Tensor, "M d"], candidates: Int[Tensor, "Q c"], k: int
) -> tuple[Float[Tensor, "Q k"], Int[Tensor, "Q k"]]:
    """Return the k best candidates of each query by exact similarity (float64), then by index."""
    count = candidates.shape[1]
    values = torch.empty(len(queries), k, dtype=torch.float64, device=queries.device)
    indices = torch.empty(len(queries), k, dtype=torch.long, device=queries.device)
    elements = CACHE_ELEMENTS if queries.device.type == "cpu" else EXACT_ELEMENTS * 16
    step = max(1, elements // (count * max(1, keys.shape[1])))
    for first in range(0, len(queries), step):
        own = candidates[first : first + step].sort(dim=1).values
        gathered = _snap(keys.index_select(0, own.flatten())).view(len(own), count, -1)
        exact = torch.bmm(gathered, _snap(queries[first : first + step]).unsqueeze(2)).squeeze(2)
        best, order = exact.sort(dim=1, descending=True, stable=True)  # equal similarities keep the order of the index
        values[first : first + step], indices[first : first + step] = best[:, :k], own.gather(1, order[:, :k])
    return values, indices


def _snap(rows: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """Round rows to multiples of 1 / UNIT and return them in float64. Scaling by a power of two is exact even in fp32."""
    return (rows * UNIT).round_().mul_(1 / UNIT).double()


def _check(queries: Tensor, keys: Tensor, k: int) -> None:
    if queries.ndim != 2 or keys.ndim != 2 or queries.shape[1] != keys.shape[1]:
        raise ValueError(f"queries {list(queries.shape)} and keys {list(keys.shape)} are not rows of one width")
    if not 1 <= k <= len(keys):
        raise ValueError(f"k = {k} neighbours of {len(keys)} keys")
    for name, rows in (("queries", queries), ("keys", keys)):
        longest = torch.linalg.vector_norm(rows, dim=1).max().item() if len(rows) else 0.0
        if not longest <= 1 + 1e-4:
            raise ValueError(f"{name} are not L2-normalised: the longest row has length {longest:.6g}")
