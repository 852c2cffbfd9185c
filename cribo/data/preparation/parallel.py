"""Many small jobs on all cores, with progress and the time left on stderr."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from cribo.data.prepared.manifest import DataError


def each(work: Callable, jobs: Sequence, workers: int, name: str) -> Iterator:
    """Yield `work(job)` for each job, in order, with progress on stderr. Raises DataError when a worker is killed."""
    if workers == 1:
        _quiet_worker()
        yield from _progress(map(work, jobs), len(jobs), name)
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn, initializer=_start_worker) as pool:
        try:
            yield from _progress(pool.map(work, jobs, chunksize=16), len(jobs), name)
        except BrokenProcessPool:
            raise DataError(
                f"a worker process of prepare {name} was killed, perhaps for lack of memory: run it again, "
                "on fewer cores or with more memory"
            ) from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quiet_worker() -> None:
    import cv2

    cv2.setNumThreads(1)  # the processes already use all cores


def _start_worker() -> None:
    _quiet_worker()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C

    def follow() -> None:  # workers must not go on writing when their parent was killed
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _progress(results: Iterator, total: int, name: str) -> Iterator:
    """Pass results on, and show their number and the time left: a bar on a terminal, else a line every 5 s."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = TextColumn(f"prepare {name}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        with Progress(*columns, console=Console(stderr=True)) as bar:
            yield from bar.track(results, total=total)
        return
    start = shown = time.monotonic()
    for done, result in enumerate(results, 1):
        yield result
        now = time.monotonic()
        if now - shown >= 5 or done == total:
            left = (now - start) / done * (total - done)
            print(f"prepare {name}: {done}/{total} images, {left:.0f} s left", file=sys.stderr, flush=True)
            shown = now
