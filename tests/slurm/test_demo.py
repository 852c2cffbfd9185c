"""The demo through `snakemake --profile slurm all`: two nodes, two processes each, and a time limit in the middle."""

import contextlib
import json
import math
import re
import shutil
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.edits import edited
from tests.slurm.conftest import commit, job_of
from workflow.bridge.preflight import minutes

MODEL = "pretrain@cribo"


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    """Where the same training runs outside Slurm, undisturbed."""
    return tmp_path_factory.mktemp("twin")


@pytest.fixture(scope="module")
def said(project, twin):
    """What the whole pipeline said. Its training is interrupted by the time limit of its job, however fast the machine is.

    Once it has saved a state, the limit is set to the next full minute but one and the training is held until Slurm's
    warning, which `save_seconds` asks for sixty seconds before the limit, has arrived.
    """
    snakemake = project.start("snakemake", "--profile", "slurm", "all")
    while not list(project.root.glob(".resume/*/state-*.pt")):
        assert snakemake.poll() is None, project.said_by(snakemake)
        time.sleep(0.02)
    job, held = job_of(project, MODEL), ranks(project)
    for process in held:
        process.suspend()
    ran = minutes(project.do("squeue", "--noheader", "--format=%M", f"--jobs={job}").strip())
    project.do("scontrol", "update", f"JobId={job}", f"TimeLimit={math.ceil(ran) + 1}")
    undisturbed = train(project, twin)  # now, as nothing else computes
    while not any(map(warned, held)):  # Slurm looks every 30 s; torchrun kills a rank that is deaf for 30 s more
        time.sleep(0.1)
    for process in held:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.resume()
    while any(process.is_running() for process in held):
        time.sleep(0.05)
    project.do("scontrol", "update", f"JobId={job}", "TimeLimit=30")  # one interruption is enough
    said = project.said_by(snakemake)
    assert snakemake.returncode == 0, said
    trained = project.said_by(undisturbed)
    assert undisturbed.returncode == 0, trained
    commit(project, "Its results")
    return said


def train(project, place):
    """The project's training in four processes, started in `place`."""
    for folder in ("data", "results/plan"):
        shutil.copytree(project.root / folder, place / folder)
    shutil.copy(project.root / "params.yaml", place)
    launch = [sys.executable, "-m", "cribo.launch", "stages.pretrain", "cribo"]
    return project.start("env", f"--chdir={place}", *launch, CRIBO_GPUS="4", PYTHONPATH=str(project.root))


def ranks(project):
    """The processes that train, on both nodes."""
    line = ["-u", "-m", "stages.pretrain", "cribo"]
    found = [p for p in psutil.process_iter(["cmdline"]) if (p.info["cmdline"] or [])[1:] == line]
    return [p for p in found if p.cwd() == str(project.root)]


def warned(process):
    """Whether SIGTERM waits for a process that is held, or has ended it already: Slurm may send SIGCONT as well."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return int(re.search(r"ShdPnd:\s+(\w+)", status)[1], 16) >> (signal.SIGTERM - 1) & 1


def test_pretraining_uses_two_nodes_and_goes_back_into_the_queue_at_its_time_limit(project, said):
    job = re.search(rf"SLURM jobid (\d+) \(log: (\S*rule_run_{MODEL}\S*)\)", said)
    shown = project.do("scontrol", "show", "job", job[1])
    assert {"NodeList=lab[1-2]", "Restarts=1"} <= set(shown.split()), shown
    assert re.search(r"TresPerNode=gres[:/]gpu:2\s", shown), shown
    log = (project.root / job[2]).read_text()
    assert "stopped by SIGTERM" in log and "back into the queue" in log and "resuming after step" in log


def test_afterwards_dvc_and_snakemake_find_nothing_to_do(project, said):
    assert "Data and pipelines are up to date." in project.do("dvc", "status")
    assert project.planned() == set()


def test_the_weights_are_those_of_an_undisturbed_run_bit_for_bit(project, said, twin):
    weights = "results/pretrain/cribo/checkpoint.safetensors"
    assert (twin / weights).read_bytes() == (project.root / weights).read_bytes()


def test_a_parameter_edited_on_a_branch_computes_its_cells_and_metrics_diff_shows_their_change(project, said):
    project.do("git", "checkout", "--quiet", "-b", "seed1")
    path = project.root / "params.yaml"
    path.write_text(edited("models.imported.random.seed", "1", path.read_text()))
    said = project.slurm("all")
    cells = {"import@random", "dense_nn@random-scenes"}
    assert set(re.findall(r"rule_run_(\S+)/\d+\.log", said)) == {*cells, "tables", "report", "release@cribo"}
    changed = json.loads(project.do("dvc", "metrics", "diff", "--json", "main"))
    assert list(changed) == ["results/scores/dense_nn/random-scenes.json"]
    assert project.stale() == set()
