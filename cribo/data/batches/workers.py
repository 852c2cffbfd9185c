"""Processes of a DataLoader: one thread each, and theirs is the end of the training that they load for."""

from __future__ import annotations

import atexit
import multiprocessing
import signal

import cv2
import torch


def start_worker(_worker: int) -> None:
    """SIGTERM and Ctrl-C reach every process of a job: the training loop answers, and needs its workers until then."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    torch.set_num_threads(1)
    cv2.setNumThreads(0)


@atexit.register
def _end_workers() -> None:
    """After a mistake some may be left. multiprocessing would send them SIGTERM and wait, for ever: they do not hear it."""
    for worker in multiprocessing.active_children():
        if worker.daemon:
            worker.kill()
