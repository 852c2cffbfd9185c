"""The loop: exact continuation, the same result on any number of processes, mistakes refused before the first step."""

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml

from cribo import params, plan
from cribo.params import merged
from cribo.training.distributed import World
from cribo.training.interruption import Interrupted
from cribo.training.loop import check_shapes, train
from tests.training.conftest import SMALL

ALONE = World(0, 1, torch.device("cpu"))


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Sums come in another order on another number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


RUN = """
import json, os, sys, pickle, yaml, torch
torch.set_num_threads(1)
from pathlib import Path
from cribo.training.distributed import join_world
from cribo.training.loop import train
job = pickle.load(open(sys.argv[1], "rb"))
with join_world("cpu") as world:
    state = train(job["settings"], job["records"], Path(job["folder"]), job["compute"], world)
    if world.main:
        torch.save(state.to_dict(), job["out"])
"""


def launch(tmp_path, name, settings, photos, compute, processes=1):
    """Start a training in a process of its own; its final state comes to tmp_path/NAME.pt."""
    job = {
        "settings": settings,
        "records": list(photos.splits["train"]),
        "folder": str(tmp_path / name),
        "compute": compute,
        "out": str(tmp_path / f"{name}.pt"),
    }
    (tmp_path / name).mkdir(exist_ok=True)
    (tmp_path / f"{name}.job").write_bytes(pickle.dumps(job))
    (tmp_path / "run.py").write_text(RUN)
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)] if processes > 1 else []
    command = [sys.executable, *torchrun, str(tmp_path / "run.py"), str(tmp_path / f"{name}.job")]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


def finish(process):
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return err


def flat(state, prefix=""):
    """All tensors and numbers of a nested state by path."""
    if isinstance(state, dict):
        return {k: v for key, value in state.items() for k, v in flat(value, f"{prefix}{key}.").items()}
    if isinstance(state, list):
        return {k: v for i, value in enumerate(state) for k, v in flat(value, f"{prefix}{i}.").items()}
    return {prefix: state}


def same(a, b):
    a, b = flat(a), flat(b)
    assert a.keys() == b.keys()
    for key, value in a.items():
        assert torch.equal(value, b[key]) if torch.is_tensor(value) else value == b[key], key


def wait_for(path: Path, process):
    while not path.exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_run_goes_on_and_ends_bit_for_bit_like_an_undisturbed_one(tmp_path, settings, photos, compute, stop):
    settings["optimisation"]["epochs"] = 12
    whole = train(settings, list(photos.splits["train"]), _made(tmp_path / "whole"), compute, ALONE).to_dict()
    process = launch(tmp_path, "cut", settings, photos, compute.model_copy(update={"workers": 2}))
    wait_for(tmp_path / "cut" / "state-00000004.pt", process)
    process.send_signal(stop)
    _, err = process.communicate(timeout=60)
    assert process.returncode != 0 and not (tmp_path / "cut.pt").exists()
    assert ("stopped by SIGTERM after step" in err) == (stop == signal.SIGTERM)
    log = finish(launch(tmp_path, "cut", settings, photos, compute))
    assert "going on after step" in log
    same(torch.load(tmp_path / "cut.pt", weights_only=True), whole)
    lines = [(tmp_path / name / "metrics.jsonl").read_text() for name in ("whole", "cut")]
    assert lines[0] == lines[1] and len(lines[0].splitlines()) == 36


def _made(folder):
    folder.mkdir()
    return folder


def test_two_processes_compute_what_one_does(tmp_path, settings, photos, compute):
    settings["drop_path"] = 0.0  # its random numbers are drawn per process
    for name, processes in (("one", 1), ("two", 2)):
        finish(launch(tmp_path, name, settings, photos, compute, processes))
    one, two = (torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("one", "two"))
    assert torch.equal(one["bank"]["image_ids"], two["bank"]["image_ids"])
    assert torch.equal(one["bank"]["valid"], two["bank"]["valid"])
    for key, value in flat({k: one[k] for k in ("student", "teacher", "centres")}).items():
        # Sums in another order differ by rounding, which Adam's division turns into up to lr · 1e-1 where a gradient is
        # itself of the size of the rounding.
        torch.testing.assert_close(flat(two)[key], value, rtol=1e-3, atol=2e-4, msg=key)
    logs = [
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    ]
    for a, b in zip(*logs, strict=True):
        assert a == pytest.approx(b, rel=1e-3)


def test_training_lowers_the_loss_and_the_teacher_follows(tmp_path, settings, photos, compute):
    settings["losses"], settings["optimisation"]["epochs"] = ["cross_view"], 8
    settings["targets"]["warmup_epochs"] = 0
    for group in ("memory_bank", "matching"):
        del settings[group]
    state = train(settings, list(photos.splits["train"]), _made(tmp_path / "run"), compute, ALONE)
    log = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert sum(x["loss"] for x in log[-4:]) < sum(x["loss"] for x in log[:4])
    pairs = zip(state.student.parameters(), state.teacher.parameters(), strict=True)
    assert any(not torch.equal(s, t) for s, t in pairs)


def test_a_loss_that_is_not_finite_stops_the_run_and_is_never_saved(tmp_path, settings, photos, compute):
    settings["optimisation"] |= {"base_lr": 1e20, "warmup_epochs": 0}
    with pytest.raises(FloatingPointError, match="not finite at step"):
        train(settings, list(photos.splits["train"]), _made(tmp_path / "run"), compute, ALONE)
    for path in (tmp_path / "run").glob("state-*.pt"):
        weights = flat(torch.load(path, weights_only=True)["teacher"])
        assert all(w.isfinite().all() for w in weights.values())


@pytest.mark.parametrize(
    ("change", "processes", "images", "key"),
    [
        ({"optimisation": {"batch_size": 64}}, 1, 26, "optimisation.batch_size"),
        ({}, 3, 26, "optimisation.batch_size"),
        ({"matching": {"pool_images": 8}}, 2, 26, "matching.pool_images"),
        ({"clustering": {"normalise_images": 3}}, 1, 26, "clustering.normalise_images"),
    ],
)
def test_shapes_that_do_not_fit_are_refused_with_the_key_to_change(settings, change, processes, images, key):
    with pytest.raises(ValueError, match=key):
        check_shapes(merged(settings, change), images, processes)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"drop_path": 0.3},
        {"losses": ["cross_view", "cross_image"]},
        {"views": {"crop_area": [0.5, 1.0]}},
        {"views": {"flip": 0.0}},
        {"views": {"jitter": 0.0}},
        {"views": {"brightness": 0.1}},
        {"views": {"contrast": 0.1}},
        {"views": {"saturation": 0.0}},
        {"views": {"hue": 0.0}},
        {"views": {"grayscale": 1.0}},
        {"views": {"blur": [0.0, 0.0]}},
        {"views": {"blur_radius": [1.0, 1.1]}},
        {"views": {"solarise": [1.0, 1.0]}},
        {"views": {"crop_aspect": [0.9, 1.1]}},
        {"head": {"norm_last_layer": False}},
        {"head": {"freeze_epochs": 0}},
        {"clustering": {"K": 5}},
        {"clustering": {"lambda_pos": 3.0}},
        {"clustering": {"sharpness": 5.0}},
        {"clustering": {"outer_iterations": 1}},
        {"clustering": {"sinkhorn_iterations": 1}},
        {"clustering": {"marginals": "uniform"}},
        {"clustering": {"exclude_self": False}},
        {"clustering": {"normalise_images": 1}},
        {"memory_bank": {"images": 8}},
        {"matching": {"criterion": "none"}},
        {"matching": {"pool_images": 2}},
        {"matching": {"first_epoch": 2}},
        {"targets": {"student_temperature": 0.2}},
        {"targets": {"teacher_temperature": [0.05, 0.06]}},
        {"targets": {"warmup_epochs": 3}},
        {"targets": {"centre_momentum": 0.5}},
        {"optimisation": {"base_lr": 0.001}},
        {"optimisation": {"min_lr": 0.001}},
        {"optimisation": {"warmup_epochs": 2}},
        {"optimisation": {"weight_decay": [0.1, 0.4]}},
        {"optimisation": {"clip_norm": 0.01}},
        {"optimisation": {"ema": 0.5}},
    ],
    ids=lambda c: yaml.safe_dump(c, default_flow_style=True).strip(),
)
def test_every_parameter_changes_the_weights(change, tmp_path, settings, photos, compute, reference):
    state = train(merged(settings, change), list(photos.splits["train"]), _made(tmp_path / "run"), compute, ALONE)
    ours, theirs = flat(state.teacher.backbone.state_dict()), flat(reference["teacher"])
    assert any(not torch.equal(value, theirs[f"backbone.{key}"]) for key, value in ours.items())


@pytest.fixture(scope="module")
def reference(tmp_path_factory, photos):
    """The final state of the settings as they are."""
    settings = merged(plan.pretrain_settings(params.load("recipes/demo.yaml").model("cribo")), SMALL)
    compute = params.load("recipes/demo.yaml").compute.model_copy(
        update={"workers": 0, "log_steps": 1, "checkpoint_steps": 100}
    )
    return train(settings, list(photos.splits["train"]), tmp_path_factory.mktemp("reference"), compute, ALONE).to_dict()


@pytest.mark.parametrize("change", [{"workers": 2}, {"checkpoint_steps": 1}, {"log_steps": 3}])
def test_no_compute_parameter_changes_the_weights(change, tmp_path, settings, photos, compute, reference):
    state = train(settings, list(photos.splits["train"]), _made(tmp_path / "run"), compute.model_copy(update=change), ALONE)
    same(state.to_dict(), reference)


def test_sigterm_saves_at_a_step_boundary_and_says_where(tmp_path, settings, photos, compute):
    before = signal.getsignal(signal.SIGTERM)
    quiet = compute.model_copy(update={"checkpoint_steps": 1000})

    class Pesky(list):
        def __getitem__(self, index):
            os.kill(os.getpid(), signal.SIGTERM)  # in the middle of loading a batch
            return super().__getitem__(index)

    with pytest.raises(Interrupted, match="after step 1 of 9"):
        train(settings, Pesky(photos.splits["train"]), _made(tmp_path / "run"), quiet, ALONE)
    assert [p.name for p in (tmp_path / "run").glob("*.pt")] == ["state-00000001.pt"]
    assert signal.getsignal(signal.SIGTERM) == before
