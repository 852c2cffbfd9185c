"""Log what each turn of a stage cost, one line per turn, in results/logs/costs/STAGE.tsv.

Snakemake's own `benchmark:` would overwrite the old record when a stage turns out to need no computing, and it loses the
earlier turns of a job that went back into the queue.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from workflow.bridge.alive import own_job

FOLDER = Path("results/logs/costs")
COLUMNS = ("started", "seconds", "cpu_seconds", "max_rss_mb", "exit", "host", "job")


@contextmanager
def costs(stage: str) -> Iterator[list[int]]:
    """Measure a command and log its cost; the caller puts its exit code into the list.

    Measures wall-clock seconds, CPU seconds of all its processes on this node, and the largest memory of one of them.
    """
    codes: list[int] = []
    started, clock = datetime.now().isoformat(timespec="seconds"), time.monotonic()
    try:
        yield codes
    finally:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        line = (
            started,
            f"{time.monotonic() - clock:.3f}",
            f"{used.ru_utime + used.ru_stime:.3f}",
            f"{used.ru_maxrss / 1024:.0f}",  # Linux counts in KiB
            str(codes[-1]) if codes else "",
            os.uname().nodename,
            own_job() or "",
        )
        _append(FOLDER / f"{stage}.tsv", line)


def _append(path: Path, line: tuple[str, ...]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as file:
        if not file.tell():
            file.write("\t".join(COLUMNS) + "\n")
        file.write("\t".join(line) + "\n")
