"""The commands from photos to an encoder folder, and what they say when something is wrong."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import yaml
from safetensors.torch import load_file

from cribo import params
from cribo.training import run
from cribo.training.engine import distributed
from stages import pretrain
from tests.processes import Forks, run_m

ROOT = Path(__file__).parents[2]


def python_m(folder, *command, **env):
    """The command line itself, which costs seconds."""
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **env},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder in which plan and prepare have run, for an experiment of seconds."""
    folder = tmp_path_factory.mktemp("project")
    demo = yaml.safe_load((ROOT / "recipes/demo.yaml").read_text())
    small = {
        "data": {"scenes": {"size": 48, "train": 20, "val": 4}},
        "pretrain": {
            "views": {"size": 32},
            "head": {"hidden": 16, "bottleneck": 8, "prototypes": 24},
            "clustering": {"K": 4, "normalise_images": 4},
            "matching": {"pool_images": 4, "first_epoch": 1},
            "memory_bank": {"images": 12},
            "targets": {"warmup_epochs": 1},
            "optimisation": {"epochs": 2, "batch_size": 8, "warmup_epochs": 1},
        },
        "compute": {"workers": 0, "log_steps": 1},
    }
    (folder / "params.yaml").write_text(yaml.safe_dump(params.merged(demo, small)))
    for command in (["stages.plan"], ["stages.prepare", "scenes"]):
        done = run_m(*command, cwd=folder)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def trained(project):
    """What the command line leaves of a training."""
    done = python_m(project, "cribo.launch", "stages.pretrain", "cribo")
    assert done.returncode == 0, done.stderr
    assert not list((project / ".resume").iterdir())
    return project / "results/pretrain/cribo"


def test_pretraining_writes_its_outputs_removes_its_state_and_export_makes_an_encoder(project, trained):
    assert {p.name for p in trained.iterdir()} == {"checkpoint.safetensors", "metrics.json", "cost.json", "curves.csv"}
    metrics = json.loads((trained / "metrics.json").read_text())
    assert metrics["step"] == 4 and metrics["loss"] > 0
    assert len((trained / "curves.csv").read_text().splitlines()) == 5

    assert python_m(project, "stages.export", "cribo").returncode == 0
    exported = load_file(project / "results/encoders/cribo/model.safetensors")
    weights = load_file(trained / "checkpoint.safetensors")
    assert all((value == weights[f"teacher.backbone.{key}"]).all() for key, value in exported.items())


def test_training_twice_gives_the_same_bytes(project, trained):
    """A second time in a fork, whose hashes of strings are others than those of the fresh interpreter before."""
    first = (trained / "checkpoint.safetensors").read_bytes()
    assert run_m("stages.pretrain", "cribo", cwd=project).returncode == 0
    assert (trained / "checkpoint.safetensors").read_bytes() == first


def stopped_as_it_writes(name):
    def write(*_):
        os.kill(os.getpid(), signal.SIGTERM)

    run.write_results = write
    pretrain.main(name)


def test_a_training_that_is_stopped_as_it_writes_its_results_asks_for_a_turn_and_has_no_step_to_do_again(
    project, trained, tmp_path
):
    first = (trained / "checkpoint.safetensors").read_bytes()
    process = Forks(partial(stopped_as_it_writes, "cribo"), cwd=project, CRIBO_REQUEUE=str(tmp_path / "again"))
    _, said = process.communicate()
    assert process.returncode == 1 and "stopped by SIGTERM" in said and (tmp_path / "again").exists(), said
    done = run_m("stages.pretrain", "cribo", cwd=project)
    assert done.returncode == 0 and "resuming after step 4 of 4" in done.stderr and "step 3/4" not in done.stderr
    assert (trained / "checkpoint.safetensors").read_bytes() == first
    assert (trained / "curves.csv").read_text().count("\n") == 5 and not list((project / ".resume").iterdir())


def stopped_as_it_leaves(rank):
    def leave(really=distributed._leave):
        if os.environ["RANK"] == rank:
            time.sleep(0.5)  # the other process is done by then
            os.kill(os.getpid(), signal.SIGTERM)
        really()

    distributed._leave = leave
    pretrain.main("cribo")


@pytest.mark.parametrize(("rank", "stays"), [("1", False), ("0", True)])
def test_of_two_processes_that_end_none_is_ended_and_a_run_directory_stays_where_another_turn_may_be_needed(
    project, trained, tmp_path, rank, stays
):
    process = Forks(partial(stopped_as_it_leaves, rank), 2, cwd=project, CRIBO_REQUEUE=str(tmp_path / "again"))
    _, said = process.communicate()
    assert process.returncode == 0, said
    assert (tmp_path / "again").exists() == stays == any((project / ".resume").iterdir())
    if stays:
        done = run_m("stages.pretrain", "cribo", cwd=project)
        assert done.returncode == 0 and "resuming after step 4 of 4" in done.stderr
        assert not list((project / ".resume").iterdir())


def test_an_untrained_encoder_is_imported_by_its_seed(project):
    done = python_m(project, "stages.imports", "random")
    assert done.returncode == 0 and "mean [0.485, 0.456, 0.406], std [0.229, 0.224, 0.225]" in done.stderr
    assert (project / "results/encoders/random/config.json").exists()


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["stages.pretrain", "nosuch"], "results/plan/pretrain/nosuch.yaml is missing: run `dvc repro plan`"),
        (["stages.pretrain"], "usage: python -m stages.pretrain MODEL"),
        (["stages.pretrain", "crbo"], "or give a name that params.yaml has; did you mean cribo?"),
        (
            ["stages.export", "crbo"],
            "pretrain/crbo is missing: run `dvc repro plan`, or give a name that params.yaml has; did",
        ),
        (
            ["stages.release", "random"],
            "pretrain/random is missing: run `dvc repro plan`, or give a name that params.yaml has",
        ),
    ],
)
def test_a_mistake_is_a_sentence_and_not_a_traceback(project, command, says):
    done = run_m(*command, cwd=project)
    assert done.returncode == 1
    assert says in done.stderr and "Traceback" not in done.stderr


def test_a_gpu_that_is_not_there_is_refused(project):
    text = (project / "params.yaml").read_text()
    try:
        (project / "params.yaml").write_text(text.replace("device: auto", "device: cuda"))
        done = run_m("stages.pretrain", "cribo", cwd=project, CUDA_VISIBLE_DEVICES="")
    finally:
        (project / "params.yaml").write_text(text)
    assert done.returncode == 1 and "compute.device is cuda and torch sees no GPU" in done.stderr


def test_a_photo_that_changed_after_preparation_stops_the_training(project):
    photo = next((project / "data/scenes/VOCdevkit/VOC2012/JPEGImages").glob("*.jpg"))
    whole = photo.read_bytes()
    try:
        photo.write_bytes(whole[:100])
        done = run_m("stages.pretrain", "cribo", cwd=project)
    finally:
        photo.write_bytes(whole)
    assert done.returncode == 1 and photo.name in done.stderr and "Traceback" not in done.stderr


def test_a_photo_that_a_loading_process_cannot_read_is_one_sentence(project):
    """Of the size that was prepared, so that the start finds nothing wrong."""
    photo = next((project / "data/scenes/VOCdevkit/VOC2012/JPEGImages").glob("train*.jpg"))
    whole, plain = photo.read_bytes(), (project / "params.yaml").read_text()
    try:
        photo.write_bytes(bytes(len(whole)))
        (project / "params.yaml").write_text(plain.replace("workers: 0", "workers: 1"))
        done = run_m("stages.pretrain", "cribo", cwd=project)
    finally:
        photo.write_bytes(whole)
        (project / "params.yaml").write_text(plain)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].endswith(f"{photo.name} is corrupt or not an image")
