"""Tell whether somebody still computes a stage: a killed `snakemake` leaves its jobs behind, running or in the queue."""

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

CLOCK = 2.0  # seconds: a start time is counted from the machine's boot time, which may be corrected by so much
RULE = "rule_run_"  # the Slurm plugin puts this before the stage's name in a job's comment


def own_job() -> str | None:
    """The Slurm job that computes this stage, as set by the Snakefile; not a job inside which somebody ran `snakemake`."""
    return os.environ.get("CRIBO_JOB")


@contextmanager
def running(stage: str) -> Iterator[None]:
    """Keep a file that says who computes the stage, for as long as the block runs."""
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
    """Map the stages that Slurm has for this directory, waiting or running, to their jobs; None if Slurm does not answer."""
    if not shutil.which("squeue"):
        return {}
    asked = subprocess.run(["squeue", "--noheader", "--me", "--format=%A|%k|%Z"], capture_output=True, text=True)
    if asked.returncode:  # Slurm is busy, or there is no cluster behind the command
        return None
    jobs = (line.strip().split("|") for line in asked.stdout.splitlines() if line.count("|") == 2)
    return {
        comment.removeprefix(RULE): job
        for job, comment, folder in jobs
        if comment.startswith(RULE) and os.path.realpath(folder) == os.getcwd()
    }


def computing(stage: str, jobs: dict[str, str] | None) -> str | None:
    """Say who computes the stage and what can be done about it; None if nobody does. `jobs` comes from `queued`.

    Raises BridgeError if only Slurm could tell and it does not answer.
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
        return None  # Slurm lists all its jobs, and this one is not among them
    if who["host"] != os.uname().nodename:
        return f"process {who['pid']} on {who['host']}: wait for it, or delete {marker} if it has ended"
    if not psutil.pid_exists(who["pid"]) or abs(psutil.Process(who["pid"]).create_time() - who["started"]) > CLOCK:
        return None
    return f"process {who['pid']}, left by an earlier snakemake: wait for it, or `kill {who['pid']}`"
