"""Exact neighbours among keys that may be read from disk in chunks or be spread over several processes.

Each process holds the keys of some images and searches them for the queries of all processes. The results of all chunks and
processes are merged by exact similarity, then by the key's row, so the neighbours are those of one search over all keys,
bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cribo.evaluation.features.patch_features import Patches
from cribo.evaluation.harness.progress import Progress
from cribo.evaluation.neighbours.search import exactly_nearest, merge
from cribo.training.engine.distributed import World

KEYS = 1 << 20  # keys searched at once; limits memory on the device and does not affect results
QUERIES = 1 << 18  # queries per pass over the keys
BLOCK = 1 << 14  # queries searched at once
NOWHERE = torch.iinfo(torch.int64).max  # row of a missing key


def shared_search(
    queries: Patches, memory: Patches, kept: Bool[np.ndarray, " P"], k: int, world: World, progress: Progress, note: str = ""
) -> Iterator[tuple[list[int], Float[Tensor, "Q k"], Int[np.ndarray, "Q k"]]]:
    """Yield neighbours of this process's queries: (positions among its images, cosines in fp32, rows of the whole memory).

    Args:
        kept: which rows of the whole memory are keys; at least k of them.
        k: number of neighbours, ordered by cosine, equal cosines by row.
    """
    own = np.flatnonzero(kept[memory.rows])
    for owner, images, first, last in _portions(queries):
        mine = owner == world.rank
        block = queries.features[first:last] if mine else torch.empty(last - first, queries.features.shape[1])
        block = world.broadcast(block.to(world.device).contiguous(), owner)
        similarities, rows = _search(block, memory, own, k, world, progress, note)
        if world.size > 1:
            similarities, rows = merge(world.gather(similarities, 1), world.gather(rows, 1), k)
        if mine:
            yield images, similarities.float().cpu(), rows.cpu().numpy()


def _portions(queries: Patches) -> Iterator[tuple[int, list[int], int, int]]:
    """Yield (process, positions of its images, its rows from, to): at most QUERIES rows or one image, equal everywhere."""
    for owner, images in enumerate(queries.shares):
        ends = np.cumsum([queries.starts[i + 1] - queries.starts[i] for i in images])
        first, begin = 0, 0
        while begin < len(images):
            last = max(begin + 1, int(np.searchsorted(ends, first + QUERIES, side="right")))
            yield owner, list(range(begin, last)), first, int(ends[last - 1])
            begin, first = last, int(ends[last - 1])


def _search(
    queries: Float[Tensor, "Q d"],
    memory: Patches,
    own: Int[np.ndarray, " n"],
    k: int,
    world: World,
    progress: Progress,
    note: str,
) -> tuple[Float[Tensor, "Q k"], Int[Tensor, "Q k"]]:
    """Find the k nearest of this process's keys, chunk by chunk; if it has fewer, the remaining places hold cosine -inf."""
    best = torch.full((len(queries), k), -torch.inf, dtype=torch.float64, device=world.device)
    rows = torch.full((len(queries), k), NOWHERE, device=world.device)
    for start in range(0, len(own), KEYS):
        chunk = own[start : start + KEYS]
        keys = _rows(memory.features, chunk).to(world.device)
        globally = torch.from_numpy(memory.rows[chunk]).to(world.device)
        for first in range(0, len(queries), BLOCK):
            block = slice(first, first + BLOCK)
            similarities, indices = exactly_nearest(queries[block], keys, min(k, len(keys)))
            if start == 0:  # nothing to merge with yet
                best[block, : len(keys)], rows[block, : len(keys)] = similarities, globally[indices]
            else:
                found = torch.cat([best[block], similarities], 1), torch.cat([rows[block], globally[indices]], 1)
                best[block], rows[block] = merge(*found, k)
            if world.main:
                progress.add(len(similarities) * len(keys), note)
    return best, rows


def _rows(features: Float[Tensor, "P d"], rows: Int[np.ndarray, " n"]) -> Float[Tensor, "n d"]:
    """Return the features of `rows`, which ascend; without a copy if they are consecutive."""
    if len(rows) == rows[-1] - rows[0] + 1:
        return features[int(rows[0]) : int(rows[-1]) + 1]
    return features[torch.from_numpy(rows)]
