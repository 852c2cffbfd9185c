"""Read and decode batches of files while earlier ones are encoded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Read = TypeVar("Read")
BATCH_PIXELS = 64 * 224 * 224  # pixels encoded at once; a constant, so that no batch size affects results
BATCHES_AHEAD = 2  # batches queued or being read, including the one that is needed next


def read_ahead(
    batches: Sequence[Sequence[int]], read: Callable[[int], Read], workers: int
) -> Iterator[tuple[Sequence[int], list[Read]]]:
    """Yield each batch of indices, in order, with what `read` returns for them; `workers` threads read (at least one).

    The decoders and the resampling release Python's global lock, so threads suffice.
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
