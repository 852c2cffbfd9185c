"""Processes played by threads: collectives between them without starting anything."""

import threading
from concurrent.futures import ThreadPoolExecutor

import torch


class ThreadWorld:
    """One of `size` threads that compute one batch together; the same calls as cribo.training.distributed.World."""

    def __init__(self, rank, size, table, barrier):
        self.rank, self.size, self._table, self._barrier = rank, size, table, barrier

    def _exchange(self, x):
        self._table[self.rank] = x
        self._barrier.wait()
        every = list(self._table)
        self._barrier.wait()
        return every

    def sum(self, x):
        return torch.stack(self._exchange(x)).sum(0)

    def gather(self, x, dim):
        return torch.cat(self._exchange(x), dim)

    def gather_all(self, tensors, dims):
        return [self.gather(x, dim) for x, dim in zip(tensors, dims, strict=True)]


def together(size, work):
    """What `work(world)` returns on each of `size` threads."""
    table, barrier = [None] * size, threading.Barrier(size, timeout=30)

    def one(rank):
        try:
            return work(ThreadWorld(rank, size, table, barrier))
        except BaseException:
            barrier.abort()
            raise

    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(one, range(size)))
