"""The launcher adds torchrun and srun only where they are needed, and says in one sentence what it cannot do."""

import os
import subprocess
import sys

import pytest

from cribo import launch
from cribo.launch import command

MODULE = ["stages.pretrain", "cribo", "--x=1"]
DIRECT = [sys.executable, "-m", *MODULE]
SLURM = {"SLURM_JOB_ID": "45678", "CRIBO_NODES": "2", "CRIBO_GPUS": "4", "CRIBO_CPUS": "8"}


@pytest.mark.parametrize(
    "env",
    [
        {},
        {"CRIBO_GPUS": "0"},
        {"CRIBO_GPUS": "1", "CRIBO_NODES": "1"},
        {"CRIBO_GPUS": ""},
        {"CRIBO_NODES": "4"},
        {"SLURM_JOB_ID": "1", "CRIBO_NODES": "1", "CRIBO_GPUS": "1"},
    ],
)
def test_one_process_runs_the_module_itself(env):
    assert command(MODULE, env) == DIRECT


def test_several_gpus_of_one_machine_are_a_standalone_torchrun():
    program = command(MODULE, {"CRIBO_GPUS": "4"})
    assert program[1:5] == ["-m", "torch.distributed.run", "--nproc-per-node", "4"]
    assert program[5:8] == ["--shutdown-timeout", "55", "--standalone"]
    assert program[-4:] == ["-m", *MODULE]


@pytest.mark.parametrize(("warning", "patience"), [("0", "55"), ("180", "55"), ("600", "180")])
def test_a_state_may_take_as_long_to_save_as_the_warning_was_early(warning, patience):
    program = command(MODULE, {"CRIBO_GPUS": "4", "CRIBO_SAVE_SECONDS": warning})
    assert program[program.index("--shutdown-timeout") + 1] == patience


@pytest.fixture
def becomes(monkeypatch):
    """What the launcher becomes with these variables set, and its environment then."""

    def launched(**env):
        ours = {k: v for k, v in os.environ.items() if not k.startswith(("CRIBO_", "SLURM_", "OMP_", "PYTORCH_"))} | env
        monkeypatch.setattr(os, "environ", ours)
        became = []
        monkeypatch.setattr(os, "execvp", lambda file, program: became.append((file, program)))
        launch.main(MODULE)
        return (*became, ours)

    return launched


@pytest.mark.parametrize(("given", "each"), [({"OMP_NUM_THREADS": "8"}, "4"), ({"OMP_NUM_THREADS": "1"}, "1"), ({}, "3")])
def test_processes_share_the_threads_of_their_node_or_else_its_cores(given, each, becomes, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)))
    assert becomes(CRIBO_GPUS="2", **given)[1]["OMP_NUM_THREADS"] == each


@pytest.mark.parametrize(("given", "policy"), [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")])
def test_idle_threads_leave_their_cores_to_the_loader_unless_somebody_wants_otherwise(given, policy, becomes):
    (_, program), env = becomes(**given)
    assert program == DIRECT and env["OMP_WAIT_POLICY"] == policy and "OMP_NUM_THREADS" not in env


@pytest.mark.parametrize(
    ("given", "settings"),
    [
        ({}, "expandable_segments:True"),
        ({"PYTORCH_CUDA_ALLOC_CONF": "backend:cudaMallocAsync"}, "backend:cudaMallocAsync"),
        ({"PYTORCH_ALLOC_CONF": "backend:cudaMallocAsync"}, None),
    ],
)
def test_a_gpus_memory_is_held_in_segments_that_grow_unless_somebody_wants_otherwise(given, settings, becomes):
    assert becomes(**given)[1].get("PYTORCH_CUDA_ALLOC_CONF") == settings


def test_several_nodes_start_one_launcher_each_with_explicit_numbers():
    program = command(MODULE, SLURM)
    assert program[0] == "srun" and {"--nodes=2", "--ntasks=2", "--gres=gpu:4", "--cpus-per-task=8"} <= set(program)
    assert program[-5:] == ["-m", "cribo.launch", *MODULE]


def test_launchers_that_srun_starts_do_not_start_it_again_and_meet_at_the_first_node(tmp_path, monkeypatch, becomes):
    scontrol = tmp_path / "scontrol"
    scontrol.write_text('#!/bin/sh\n[ "$*" = "show hostnames node[7-8]" ] && printf "node7\\nnode8\\n"\n')
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    (file, _), env = becomes(**SLURM)
    assert file == "srun"
    program = command(MODULE, {**env, "SLURM_STEP_NODELIST": "node[7-8]"})
    assert program[1:5] == ["-m", "torch.distributed.run", "--nproc-per-node", "4"]
    assert program[program.index("--rdzv-endpoint") + 1] == "node7:29678"
    assert program[program.index("--nnodes") + 1] == "2" and program[-4:] == ["-m", *MODULE]


@pytest.mark.parametrize(
    ("env", "sentence"),
    [
        ({"CRIBO_GPUS": "two"}, "CRIBO_GPUS is 'two': give a whole number"),
        ({**SLURM, "CRIBO_GPUS": "0"}, "2 nodes without GPUs"),
    ],
)
def test_a_mistaken_number_is_one_sentence(env, sentence):
    with pytest.raises(SystemExit, match=sentence):
        command(MODULE, env)


def run(*arguments: str, **env: str) -> subprocess.CompletedProcess:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("CRIBO_", "SLURM_"))}
    return subprocess.run(
        [sys.executable, "-m", "cribo.launch", *arguments], env={**clean, **env}, text=True, capture_output=True
    )


def test_the_modules_exit_code_and_output_are_the_launchers():
    done = run("platform", CRIBO_GPUS="1")
    assert done.returncode == 0 and done.stdout.strip()
    assert run("no_such_module").returncode == 1


def test_without_a_module_or_srun_it_says_what_to_do():
    assert "no module to run" in run().stderr
    done = run("platform", **SLURM, PATH="/nowhere")
    assert done.returncode == 1 and "srun is not on PATH" in done.stderr and "Traceback" not in done.stderr
