"""A stage's command, on whatever host Snakemake chose. DVC's locks are not taken here, nothing is written in its books."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from dvc.stage.run import _make_cmd, get_executable, prepare_kwargs

from workflow.bridge import fingerprint
from workflow.bridge.account import costs
from workflow.bridge.alive import running
from workflow.bridge.devices import granted
from workflow.bridge.errors import BridgeError, say
from workflow.bridge.resources import Requests
from workflow.bridge.stages import Stage, load_without_lock, one_sentence
from workflow.bridge.stamps import stamp, write

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def run(name: str) -> int:
    """Run the stage and leave a receipt; the exit code of its command."""
    with one_sentence():
        stage = load_without_lock().get(name)
    if not stage:
        raise BridgeError(f"{name} is no longer a stage of dvc.yaml: start snakemake again")
    again = stamp(name, "again")
    again.unlink(missing_ok=True)
    with running(name), granted(name, Requests.read().of(name)) as devices:
        inputs, start = fingerprint.inputs(stage), time.time()
        _clear(stage)
        with costs(name) as codes:
            code = _commands(stage, {"CRIBO_REQUEUE": str(again.absolute()), **devices})
            codes.append(code)
        if code and again.exists():
            again.unlink()
            return _requeue(name, code)
    if code:
        say(f"{name}: exit {code}")
        return code
    outputs = fingerprint.outputs(stage)
    if missing := [path for path, extent in outputs.items() if extent is None]:
        raise BridgeError(f"{name} ended well but did not write {', '.join(missing)}: see `outs` in dvc.yaml")
    receipt = {
        "inputs": inputs,
        "outputs": outputs,
        "seconds": round(time.time() - start, 1),
        "host": os.uname().nodename,
        "job": os.environ.get("SLURM_JOB_ID"),
    }
    write(stamp(name, "done"), json.dumps(receipt, indent=1))
    return 0


def _clear(stage: Stage) -> None:
    """Remove old outputs, as `dvc repro` does: a command never finds, or half overwrites, another run's files."""
    for path in map(Path, stage.cleared):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)


def _commands(stage: Stage, environment: dict[str, str]) -> int:
    """The commands in turn, in the shell and environment that DVC would use, and in ours."""
    settings = prepare_kwargs(stage.dvc)
    settings["env"] |= environment
    for command in stage.commands:
        code, signalled = _outlive(_make_cmd(get_executable(), command), settings)
        if code:
            return code if code > 0 else 128 - code
        if signalled and command is not stage.commands[-1]:
            return 128 + signal.SIGTERM
    return 0


def _outlive(command: list[str], settings: dict) -> tuple[int, bool]:
    """Run a command in its own process group, pass signals on to all of it, and wait until it has ended by itself.

    Before a time limit Slurm sends SIGTERM to every process. The command then saves its state; if this process died of
    the signal, Snakemake would take the job for failed while the state is being written.
    """
    received: list[int] = []
    process: subprocess.Popen | None = None

    def forward(number: int, _frame: object) -> None:
        received.append(number)
        if process:
            _signal(process.pid, number)

    before = {number: signal.signal(number, forward) for number in SIGNALS}
    try:
        process = subprocess.Popen(command, process_group=0, **settings)
        if received:  # it came between the handler and the command
            _signal(process.pid, received[-1])
        code = process.wait()
        while received and _signal(process.pid, 0):  # the shell is gone, what it started may still be saving
            time.sleep(0.1)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return code, bool(received)


def _signal(group: int, number: int) -> bool:
    """Whether there was anybody left to signal."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True


def _requeue(name: str, code: int) -> int:
    """The command saved its state and asked for another turn: the same job goes back into Slurm's queue.

    A marker file says so because exit codes cannot: torchrun and srun replace them. Slurm sends the same SIGTERM to a job
    that somebody cancels, and that one must stay ended: only a job that Slurm still calls running is asked back.
    """
    job = os.environ.get("SLURM_JOB_ID")
    asked = job and subprocess.run(["squeue", "--noheader", "--format=%T", f"--jobs={job}"], capture_output=True, text=True)
    if not asked or asked.stdout.strip() != "RUNNING":
        say(f"{name}: its state is saved, start snakemake again to continue")
        return code
    say(f"{name}: its state is saved, back into the queue as job {job}")
    subprocess.run(["scontrol", "requeue", job], check=True)
    while True:  # Slurm ends this process; ending by itself would be reported as a failure
        time.sleep(60)
