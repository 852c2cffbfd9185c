"""Several processes of a batch as threads that meet at every collective: what each returns, in order of rank."""

import threading
from concurrent.futures import ThreadPoolExecutor

import torch


class Rank:
    """A process among `size`; sums and gathers are those of cribo.method.world.World."""

    def __init__(self, rank, size, board, barrier):
        self.rank, self.size, self.board, self.barrier = rank, size, board, barrier

    def _all(self, x):
        self.board[self.rank] = x
        self.barrier.wait()
        everyone = list(self.board)
        self.barrier.wait()
        return everyone

    def sum(self, x):
        return torch.stack(self._all(x)).sum(dim=0)

    def gather(self, x, dim):
        return torch.cat(self._all(x), dim=dim)

    def gather_all(self, tensors, dims):
        return [self.gather(x, dim) for x, dim in zip(tensors, dims, strict=True)]


def on_ranks(size, work):
    """work(world) on each of `size` ranks at once."""
    board, barrier = [None] * size, threading.Barrier(size, timeout=60)

    def one(rank):
        try:
            return work(Rank(rank, size, board, barrier))
        except BaseException:
            barrier.abort()
            raise

    with ThreadPoolExecutor(size) as pool:
        return [f.result() for f in [pool.submit(one, rank) for rank in range(size)]]
