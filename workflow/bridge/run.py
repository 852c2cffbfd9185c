"""Run a stage's command on whatever host Snakemake chose, without taking DVC's locks or writing DVC's records."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

from dvc.stage.run import _make_cmd, get_executable, prepare_kwargs

from workflow.bridge import fingerprint
from workflow.bridge.account import costs
from workflow.bridge.alive import own_job, running
from workflow.bridge.devices import granted
from workflow.bridge.errors import BridgeError, say
from workflow.bridge.relay import Relay, ask, relaying
from workflow.bridge.resources import Requests
from workflow.bridge.stages import Stage, load_one_without_lock, one_sentence
from workflow.bridge.stamps import stamp, write


def run(name: str) -> int:
    """Run the stage, leave a receipt, and return the exit code of its command."""
    with one_sentence():
        stage = load_one_without_lock(name)
    if not stage:
        raise BridgeError(f"{name} is no longer a stage of dvc.yaml: start snakemake again")
    requests = Requests.saved() if own_job() else Requests.read()
    with relaying() as relay, running(name), granted(name, requests.of(name), relay) as devices:
        return _run(stage, devices, relay)


def _run(stage: Stage, devices: dict[str, str], relay: Relay) -> int:
    name, again = stage.name, stamp(stage.name, "again")
    again.unlink(missing_ok=True)
    inputs, start = fingerprint.inputs(stage), time.time()
    if relay.received:
        return 128 + relay.received[-1]
    _clear(stage)
    with costs(name) as codes:
        code = _commands(stage, {"CRIBO_REQUEUE": str(again.absolute()), **devices}, relay)
        codes.append(code)
    if code and again.name in os.listdir(again.parent):  # not exists(): NFS caches for a while that it was missing
        again.unlink()
        return _requeue(name, code, relay)
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
        "job": own_job(),
    }
    write(stamp(name, "done"), json.dumps(receipt, indent=1))
    return 0


def _clear(stage: Stage) -> None:
    """Remove old outputs, as `dvc repro` does, so that a command never finds or half overwrites another run's files."""
    for path in map(Path, stage.cleared):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)


def _commands(stage: Stage, environment: dict[str, str], relay: Relay) -> int:
    """Run the commands in turn until one fails, in the shell and environment that DVC would use plus `environment`."""
    settings = prepare_kwargs(stage.dvc)
    settings["env"] |= environment
    for command in stage.commands:
        if relay.received:
            return 128 + relay.received[-1]
        if code := relay.run(_make_cmd(get_executable(), command), settings):
            return code if code > 0 else 128 - code
    return 0


def _requeue(name: str, code: int, relay: Relay) -> int:
    """Put the job back into Slurm's queue, after its command has saved its state and asked for another turn.

    The command asks with a marker file, because torchrun and srun replace exit codes. Slurm sends the same SIGTERM to a job
    that somebody cancels, which must stay ended, so only a job that Slurm still reports as running is put back.
    """
    job = own_job()
    if not job or ask("squeue", "--noheader", "--format=%T", f"--jobs={job}").stdout.strip() != "RUNNING":
        say(f"{name}: its state is saved, start snakemake again to continue")
        return code
    say(f"{name}: its state is saved, back into the queue as job {job}")
    before = len(relay.received)
    if (asked := ask("scontrol", "requeue", job)).returncode:
        raise BridgeError(f"{name}: its state is saved, but Slurm does not requeue job {job}: {asked.stderr.strip()}")
    while len(relay.received) == before:  # until Slurm ends this process; an earlier end would count as a failure
        time.sleep(0.1)
    return code
