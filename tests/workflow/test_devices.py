"""Stages on one machine see GPUs that no other stage sees, and what a stage cost is written down, turn by turn."""

import csv
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from workflow.bridge import devices, split
from workflow.bridge.account import FOLDER
from workflow.bridge.devices import granted
from workflow.bridge.errors import BridgeError
from workflow.bridge.relay import Relay
from workflow.bridge.resources import Request, Requests


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    """A workstation with the GPUs 0, 1 and 2."""
    monkeypatch.setattr(devices, "LOCKS", tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    monkeypatch.delenv("CRIBO_JOB", raising=False)
    monkeypatch.delenv("CRIBO_GPUS", raising=False)
    monkeypatch.chdir(tmp_path)


def test_stages_at_the_same_time_get_distinct_gpus_and_one_too_many_waits(capfd):
    got = []

    def third():
        with granted("c", Request(gpus_per_node=2), Relay()) as environment:
            got.append(environment)

    waiting = threading.Thread(target=third, daemon=True)
    with granted("a", Request(gpus_per_node=1), Relay()) as a:
        with granted("b", Request(gpus_per_node=2), Relay()) as b:
            assert a == {"CUDA_VISIBLE_DEVICES": "0", "CRIBO_GPUS": "1"}
            assert b == {"CUDA_VISIBLE_DEVICES": "1,2", "CRIBO_GPUS": "2"}
            waiting.start()
            said, deadline = "", time.monotonic() + 60
            while "c: waits for 2 free GPUs" not in said:
                assert time.monotonic() < deadline, said
                time.sleep(0.02)
                said += capfd.readouterr().err
            assert not got and waiting.is_alive()
        waiting.join(60)
    assert got == [{"CUDA_VISIBLE_DEVICES": "1,2", "CRIBO_GPUS": "2"}]


def test_a_machine_gives_what_it_has_and_a_stage_without_gpus_is_left_alone(monkeypatch):
    with granted("a", Request(gpus_per_node=8), Relay()) as a:
        assert a["CUDA_VISIBLE_DEVICES"] == "0,1,2"
        with granted("b", Request(), Relay()) as b:
            assert b == {}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with granted("a", Request(gpus_per_node=8), Relay()) as a:
        assert a == {}


def test_inside_a_slurm_job_the_gpus_are_the_jobs(monkeypatch):
    monkeypatch.setenv("CRIBO_JOB", "1")
    with granted("a", Request(gpus_per_node=2, nodes=2, threads=4), Relay()) as a:
        assert a == {"CRIBO_NODES": "2", "CRIBO_GPUS": "2", "CRIBO_CPUS": "4", "CRIBO_SAVE_SECONDS": "0"}


def test_a_machine_on_which_slurm_runs_snakemake_itself_shares_its_gpus_out(monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "1")  # of salloc: the stages are no jobs of their own
    with granted("a", Request(gpus_per_node=8), Relay()) as a:
        assert a == {"CUDA_VISIBLE_DEVICES": "0,1,2", "CRIBO_GPUS": "3"}


def test_whoever_waits_for_a_gpu_can_be_stopped():
    relay = Relay()
    with granted("a", Request(gpus_per_node=3), Relay()), pytest.raises(BridgeError, match="b: stopped while it waited"):
        relay.forward(signal.SIGTERM, None)
        with granted("b", Request(gpus_per_node=1), relay):
            raise AssertionError("there was none")


def test_gpus_are_counted_by_nvidia_smi_unless_a_selection_is_given(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert devices.here() == []
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\n[ $1 = --query-gpu=index ] && printf '0\\n1\\n'\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert devices.here() == ["0", "1"]


def test_every_turn_of_a_stage_is_one_line_with_its_time_memory_and_exit_code(request):
    eater = "import time; x = bytearray(300 << 20); end = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
    turn = """
import subprocess, sys
from workflow.bridge.account import costs
with costs("pretrain@a") as codes:
    subprocess.run([sys.executable, "-c", sys.argv[1]], check=True)
    codes.append(int(sys.argv[2]))
"""
    for code in (1, 0):  # each turn is a process of its own, as on a cluster
        paths = {**os.environ, "PYTHONPATH": str(request.config.rootpath)}
        subprocess.run([sys.executable, "-c", turn, eater, str(code)], check=True, env=paths)
    first, second = csv.DictReader((FOLDER / "pretrain@a.tsv").open(), delimiter="\t")
    assert (first["exit"], second["exit"]) == ("1", "0")
    assert 300 < float(first["max_rss_mb"]) < 600
    assert float(first["cpu_seconds"]) >= 0.3 and float(first["seconds"]) >= 0.3


@pytest.fixture
def model(tmp_path):
    """A model of 32 images a batch, in groups of eight."""
    path = tmp_path / "results/plan/pretrain/a.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("optimisation: {batch_size: 32}\ntargets: {mean_images: 8}\n")


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"nodes": 3, "gpus_per_node": 1}, "a batch of 32 images cannot be split over 3 processes: change optimisation"),
        ({"nodes": 2, "gpus_per_node": 4}, "4 images per process do not fit groups of 8: change targets.mean_images"),
    ],
)
def test_a_batch_that_does_not_fit_the_nodes_and_gpus_is_one_sentence(model, asked, sentence):
    with pytest.raises(BridgeError, match=sentence) as caught:
        split.check(["plan", "pretrain@a"], Requests({"pretrain": asked}), "slurm")
    asked_for = f"workflow/resources.yaml asks for {asked['nodes']} x {asked['gpus_per_node']} GPUs"
    assert str(caught.value).startswith("pretrain@a: ") and asked_for in str(caught.value)


def test_a_batch_that_fits_passes_and_on_one_machine_its_own_gpus_count(model, monkeypatch):
    requests = Requests({"pretrain": {"nodes": 2, "gpus_per_node": 2}})
    split.check(["pretrain@a"], requests, "slurm")
    assert split.split(requests.of("pretrain@a"), "slurm")[0] == 4
    assert split.split(requests.of("pretrain@a"), None)[0] == 2
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert split.split(requests.of("pretrain@a"), None)[0] == 1
    monkeypatch.setenv("CRIBO_GPUS", "3")
    with pytest.raises(BridgeError, match=r"3 processes: .* \(CRIBO_GPUS asks for them\)$"):
        split.check(["pretrain@a"], requests, None)
    monkeypatch.setenv("CRIBO_GPUS", "two")
    with pytest.raises(SystemExit, match="CRIBO_GPUS is 'two': give a whole number"):
        split.check(["pretrain@a"], requests, None)
