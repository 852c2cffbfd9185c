"""Batches of files read and decoded while the one before is encoded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Read = TypeVar("Read")
BATCH_PIXELS = 64 * 224 * 224  # pixels encoded at once; a constant, so that results know no batch size
BATCHES_AHEAD = 2  # batches that are read while one is encoded


def read_ahead(
    batches: Sequence[Sequence[int]], read: Callable[[int], Read], workers: int
) -> Iterator[tuple[Sequence[int], list[Read]]]:
    """Each batch of indices with what `read` gives for them, in order, by `workers` threads (at least one).

    Decoders and the resampling release Python's lock, so threads suffice.
    """
    with ThreadPoolExecutor(max(1, workers)) as pool:
        queue: list[list[Future[Read]]] = []
        try:
            for n, batch in enumerate(batches):
                while len(queue) < min(n + BATCHES_AHEAD, len(batches)) - n:
                    queue.append([pool.submit(read, i) for i in batches[n + len(queue)]])
                yield batch, [future.result() for future in queue.pop(0)]
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
