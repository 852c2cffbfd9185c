"""`python -m cribo.launch MODULE ARGS`: one process per GPU, on this machine or on all nodes of the Slurm job.

The scheduler decides how many processes there are, so dvc.yaml does not say it and a change makes no stage stale:

    CRIBO_GPUS   processes on each node, one per GPU (default 1)
    CRIBO_NODES  nodes; used only inside a Slurm job (default 1)
    CRIBO_CPUS   CPU cores on each node, for all its processes together (default 1)
    CRIBO_SAVE_SECONDS  how long before the time limit Slurm warns the job (default 0)

A single process runs the module itself, without torchrun: a laptop gains nothing from a rendezvous.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

from cribo.command import show_help

# Seconds that torchrun gives its processes to end by themselves: enough to save a state after SIGTERM, while processes that
# wait in a collective for a dead one end within a minute. An early warning, for large states or a slow disk, raises them.
PATIENCE, SHARE_OF_WARNING = 55, 0.3
PORTS = range(20_000, 32_000)  # below those that Linux assigns by itself
STEP = "CRIBO_STEP"  # set for the launchers that srun starts, one on each node


def main(arguments: Sequence[str]) -> None:
    """Replace this process by the command; returns only by exception."""
    show_help(arguments, __doc__)
    if not arguments or arguments[0].startswith("-"):
        sys.exit("cribo.launch: no module to run: write `python -m cribo.launch stages.pretrain ARGS`")
    os.environ.update(environment(os.environ))
    program = command(arguments, os.environ)
    if program[0] == "srun":
        os.environ[STEP] = "1"
    elif (processes := count(os.environ, "CRIBO_GPUS", 0)) > 1:  # Snakemake sets the threads of all together
        from cribo.data.preparation.parallel import cores  # takes 0.1 s, which a single process need not spend

        threads = count(os.environ, "OMP_NUM_THREADS", 0) or cores()
        os.environ["OMP_NUM_THREADS"] = str(max(1, threads // processes))
    try:
        os.execvp(program[0], program)
    except FileNotFoundError:
        sys.exit(
            f"cribo.launch: {program[0]} is not on PATH, though CRIBO_NODES is {os.environ.get('CRIBO_NODES')}: "
            f"start it inside a Slurm job with Slurm's commands installed, or set CRIBO_NODES=1"
        )


def environment(env: Mapping[str, str]) -> dict[str, str]:
    """`env`, and what our processes should find there unless somebody wants otherwise."""
    ours = {"OMP_WAIT_POLICY": "PASSIVE"}  # else idle threads spin on the cores that the loader needs
    if "PYTORCH_ALLOC_CONF" not in env:
        # The losses' blocks have another size in every step. In segments that cannot grow they leave gaps that add up: torch
        # held 48.8 GB of an H200 for a ViT-B/16 that used 22.3, and 23.5 in this way.
        ours["PYTORCH_CUDA_ALLOC_CONF"] = "expandable_segments:True"
    return ours | dict(env)


def command(arguments: Sequence[str], env: Mapping[str, str]) -> list[str]:
    """The command line to run; `arguments` is the module and its arguments."""
    nodes = count(env, "CRIBO_NODES", 1) if "SLURM_JOB_ID" in env else 1
    processes = count(env, "CRIBO_GPUS", 0) or 1
    python = [sys.executable, "-m"]
    patience = max(PATIENCE, int(SHARE_OF_WARNING * count(env, "CRIBO_SAVE_SECONDS", 0)))
    torchrun = [*python, "torch.distributed.run", "--nproc-per-node", str(processes), "--shutdown-timeout", str(patience)]
    if nodes == 1:
        return [*python, *arguments] if processes == 1 else [*torchrun, "--standalone", "-m", *arguments]
    if not count(env, "CRIBO_GPUS", 0):
        sys.exit(f"cribo.launch: {nodes} nodes without GPUs: set gpus_per_node in workflow/resources.yaml, or nodes: 1")
    if STEP in env:
        job = int(env["SLURM_JOB_ID"])
        # The address must come from inside the step: the Slurm executor hides the job's list of nodes.
        head = _hostnames(env["SLURM_STEP_NODELIST"])[0]
        return [
            *torchrun,
            "--nnodes",
            str(nodes),
            "--rdzv-id",
            str(job),
            "--rdzv-backend",
            "c10d",
            "--rdzv-endpoint",
            f"{head}:{PORTS[job % len(PORTS)]}",
            "-m",
            *arguments,
        ]
    return [
        "srun",
        f"--nodes={nodes}",
        f"--ntasks={nodes}",
        "--ntasks-per-node=1",
        f"--gres=gpu:{processes}",
        f"--cpus-per-task={count(env, 'CRIBO_CPUS', 1)}",
        "--kill-on-bad-exit=1",
        "--label",
        *python,
        "cribo.launch",
        *arguments,
    ]


def _hostnames(nodes: str) -> list[str]:
    """Expand Slurm's `node[1-2]` into single names."""
    return subprocess.run(
        ["scontrol", "show", "hostnames", nodes], check=True, capture_output=True, text=True
    ).stdout.split()


def count(env: Mapping[str, str], key: str, default: int) -> int:
    """A whole number from the environment, `default` if it is not set. Any other text ends the command with a sentence."""
    value = env.get(key, "").strip()
    if value and not value.isdecimal():
        sys.exit(f"{key} is {value!r}: give a whole number")
    return int(value) if value else default


if __name__ == "__main__":
    main(sys.argv[1:])
