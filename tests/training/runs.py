"""Trainings in processes of their own, and comparing what they end with."""

import os
import pickle
import subprocess
import sys
from functools import partial
from pathlib import Path

import torch

from cribo.training import update
from cribo.training.engine.distributed import World, join_world
from cribo.training.loop import train
from tests.processes import Forks

ALONE = World(0, 1, torch.device("cpu"))


def train_all(jobs):
    """The jobs one after the other, on as many processes as do this."""
    accepted, teach = [], update.teacher_step

    def noting(*args):
        teaching = teach(*args)
        if teaching.accepted is not None:
            accepted.append(args[8].gather(teaching.accepted, 1))
        return teaching

    update.teacher_step = noting
    with join_world("cpu") as world:
        for job in jobs:
            folder = Path(job["folder"])
            (folder / f"pid-{world.rank}").write_text(str(os.getpid()))
            accepted.clear()
            state = train(job["settings"], job["records"], folder, job["compute"], world).to_dict()
            if world.main:
                torch.save({**state, "accepted": list(accepted)}, f"{folder}.pt")


def start(tmp_path, jobs, photos, processes=1, torchrun=False):
    """Start trainings, {name: (settings, compute)}; the final state of each comes to tmp_path/NAME.pt."""
    listed = []
    for name, (settings, compute) in jobs.items():
        (tmp_path / name).mkdir(exist_ok=True)
        records = list(photos.splits["train"])
        listed.append({"settings": settings, "records": records, "folder": str(tmp_path / name), "compute": compute})
    if not torchrun:
        return Forks(partial(train_all, listed), processes)
    jobs_file = tmp_path / f"{'-'.join(jobs)}.jobs"
    jobs_file.write_bytes(pickle.dumps(listed))
    command = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "-m", "tests.training.runs"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-m", *command, str(jobs_file)], stderr=subprocess.PIPE, text=True, env=env)


def finish(process):
    """Wait for the end; returns what it said."""
    _, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    return err


def result(tmp_path, name):
    """The final state of a training."""
    return torch.load(tmp_path / f"{name}.pt", weights_only=True)


def flat(state, prefix=""):
    """All tensors and numbers of a nested state by path."""
    if isinstance(state, dict):
        return {k: v for key, value in state.items() for k, v in flat(value, f"{prefix}{key}.").items()}
    if isinstance(state, list):
        return {k: v for i, value in enumerate(state) for k, v in flat(value, f"{prefix}{i}.").items()}
    return {prefix: state}


def same(a, b):
    """Bit for bit."""
    a, b = flat(a), flat(b)
    assert a.keys() == b.keys()
    for key, value in a.items():
        assert torch.equal(value, b[key]) if torch.is_tensor(value) else value == b[key], key


def made(folder):
    """A new folder."""
    folder.mkdir()
    return folder


if __name__ == "__main__":
    train_all(pickle.loads(Path(sys.argv[1]).read_bytes()))
