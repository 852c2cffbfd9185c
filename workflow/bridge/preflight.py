"""Refuse requests that no node of the cluster can meet, before anything is submitted: Slurm would queue some for ever."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from workflow.bridge.errors import BridgeError, say
from workflow.bridge.resources import SHOWN, Request, Requests


@dataclass(frozen=True)
class Node:
    """One node as one partition offers it."""

    name: str
    partition: str
    cpus: int
    mem_mb: int
    gpus: int
    minutes: float  # time limit of a job
    types: dict[str, int] = field(default_factory=dict)  # number of GPUs by type, where Slurm knows the type

    def meets(self, request: Request) -> bool:
        """Whether one node's share of the request fits on this node."""
        return (
            self.cpus >= request.threads
            and self.mem_mb >= (request.mem_mb or 0)
            and (self.types.get(request.gpu_type, 0) if request.gpu_type else self.gpus) >= request.gpus_per_node
            and self.minutes >= (request.runtime or 0)
        )


def preflight(stages: Iterable[str], resources: Requests, executor: str | None, partition: str | None, dry: bool) -> None:
    """Compare requests with the cluster, if there is one; resources.py has checked what can be checked without.

    `partition` is the profile's, for stages that name none. `dry`: nothing is submitted, so Slurm may be on another machine.
    """
    if executor != "slurm":
        return
    if not shutil.which("sinfo"):
        if dry or shutil.which("sbatch"):
            return
        raise BridgeError(
            "there is no Slurm here, neither sinfo nor sbatch is on PATH: start snakemake where jobs are submitted, or on "
            "this machine with `snakemake -c 8`"
        )
    asked = subprocess.run(["sinfo", "--noheader", "--Node", "--format=%N|%R|%c|%m|%G|%l"], capture_output=True, text=True)
    if asked.returncode:
        say(f"requests are not compared with the cluster, sinfo failed: {asked.stderr.strip()}")
        return
    nodes = [_node(line) for line in asked.stdout.splitlines() if line.strip()]
    for stage in stages:
        request = resources.of(stage)
        compare(stage, replace(request, partition=request.partition or partition), nodes)


def compare(stage: str, request: Request, nodes: list[Node]) -> None:
    """Raise BridgeError unless enough nodes of one partition could take the stage when they are empty."""
    there = {n.partition for n in nodes}
    named = request.partition.split(",") if request.partition else there
    for partition in named:
        if partition not in there:
            raise BridgeError(
                f"{SHOWN} or the profile: {stage} names the partition {partition}, which the cluster does not have: "
                f"use one of {', '.join(sorted(there))}"
            )
    allowed = [n for n in nodes if n.partition in named]
    by_partition: dict[str, set[str]] = {}
    for node in allowed:
        if node.meets(request):
            by_partition.setdefault(node.partition, set()).add(node.name)
    found = max(map(len, by_partition.values()), default=0)
    if found >= request.nodes:
        return
    wanted = (
        f"{request.threads} CPUs, {request.mem_mb or 'default'} MB, {request.gpus_per_node} "
        f"{f'{request.gpu_type} ' if request.gpu_type else ''}GPUs a node"
        f"{f', {request.runtime} min' if request.runtime else ''}"
    )
    types = ", ".join(sorted({kind for n in allowed for kind in n.types if kind}))
    largest = (
        f"{max(n.cpus for n in allowed)} CPUs, {max(n.mem_mb for n in allowed)} MB, "
        f"{max(n.gpus for n in allowed)} GPUs{f' of {types}' if types else ''}, {max(n.minutes for n in allowed):g} min"
    )
    raise BridgeError(
        f"{SHOWN}: {stage} asks for {request.nodes} x ({wanted}), which {found} nodes of the cluster offer "
        f"(at most {largest}): lower the request or name another partition"
    )


def _node(line: str) -> Node:
    name, partition, cpus, mem, gres, limit = line.strip().split("|")
    types: dict[str, int] = {}
    for kind, count in re.findall(r"\bgpu(?::([^:,()]+))?:(\d+)", gres):
        types[kind] = types.get(kind, 0) + int(count)
    return Node(name, partition, int(cpus.rstrip("+")), int(mem.rstrip("+")), sum(types.values()), minutes(limit), types)


def minutes(limit: str) -> float:
    """Convert Slurm's `days-hours:minutes:seconds`, whose left parts may be missing, to minutes."""
    days, _, clock = limit.rpartition("-")
    parts = clock.split(":")
    if not all(p.isdigit() for p in parts):  # infinite, n/a
        return float("inf")
    hours, mins, seconds = [0] * (3 - len(parts)) + [int(p) for p in parts]
    return int(days or 0) * 1440 + hours * 60 + mins + seconds / 60
