"""Is somebody still computing this stage? A killed `snakemake` leaves its jobs behind, running or in the queue."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from workflow.bridge.errors import BridgeError
from workflow.bridge.stamps import stamp, write

CLOCK = 2.0  # seconds by which the time of the machine's start, from which the kernel counts, may be corrected
RULE = "rule_run_"  # what the Slurm plugin writes before the stage in a job's comment


def own_job() -> str | None:
    """The Slurm job that this stage is, by the Snakefile; not one inside of which somebody started `snakemake`."""
    return os.environ.get("CRIBO_JOB")


@contextmanager
def running(stage: str) -> Iterator[None]:
    """Say who computes the stage, for as long as it does."""
    me = psutil.Process()
    write(
        stamp(stage, "running"),
        json.dumps({"pid": me.pid, "started": me.create_time(), "host": os.uname().nodename, "job": own_job()}),
    )
    try:
        yield
    finally:
        stamp(stage, "running").unlink(missing_ok=True)


def queued() -> dict[str, str] | None:
    """Stages that Slurm has for this directory, waiting or running, each with its job; None where it does not answer."""
    if not shutil.which("squeue"):
        return {}
    asked = subprocess.run(["squeue", "--noheader", "--me", "--format=%A|%k|%Z"], capture_output=True, text=True)
    if asked.returncode:  # it is busy, or there is no cluster behind the command
        return None
    jobs = (line.strip().split("|") for line in asked.stdout.splitlines() if line.count("|") == 2)
    return {
        comment.removeprefix(RULE): job
        for job, comment, folder in jobs
        if comment.startswith(RULE) and os.path.realpath(folder) == os.getcwd()
    }


def computing(stage: str, jobs: dict[str, str] | None) -> str | None:
    """Who computes the stage, in words that say what can be done about it; None if nobody does. `jobs` is from `queued`.

    Raises BridgeError where only Slurm could tell, and it does not answer.
    """
    if stage in (jobs or {}):
        return f"Slurm job {jobs[stage]}: wait for it, or `scancel {jobs[stage]}`"
    marker = stamp(stage, "running")
    if not marker.exists():
        return None
    who = json.loads(marker.read_text())
    if who["job"] and shutil.which("squeue"):
        if jobs is None:
            raise BridgeError(
                f"{stage} was begun by Slurm job {who['job']} and squeue does not say whether it still runs: start "
                f"snakemake again when it answers, or delete {marker} if the job has ended"
            )
        return None  # Slurm knows its jobs, and it did not name this one
    if who["host"] != os.uname().nodename:
        return f"process {who['pid']} on {who['host']}: wait for it, or delete {marker} if it has ended"
    if not psutil.pid_exists(who["pid"]) or abs(psutil.Process(who["pid"]).create_time() - who["started"]) > CLOCK:
        return None
    return f"process {who['pid']}, left by an earlier snakemake: wait for it, or `kill {who['pid']}`"
