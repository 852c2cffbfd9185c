"""Worker processes of a DataLoader: each runs one thread and ends with the training that it loads for."""

from __future__ import annotations

import atexit
import multiprocessing
import signal

import cv2
import torch


def start_worker(_worker: int) -> None:
    """Limit a worker to one thread and ignore SIGTERM and Ctrl-C.

    These signals reach every process of a job. The training loop handles them, and needs its workers until it stops.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    torch.set_num_threads(1)
    cv2.setNumThreads(0)


@atexit.register
def _end_workers() -> None:
    """Kill workers left over after an error: multiprocessing would send SIGTERM, which they ignore, and wait for ever."""
    for worker in multiprocessing.active_children():
        if worker.daemon:
            worker.kill()
