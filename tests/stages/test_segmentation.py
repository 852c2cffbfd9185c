"""The two segmentation commands from a plan to a result: killed and continued, on two processes, and their mistakes."""

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

from cribo import params
from cribo.command import run
from cribo.data.preparation.prepare import prepare
from cribo.evaluation.segmentation import run as segmentation_run
from cribo.model.architectures import BACKBONES
from cribo.model.export import write_encoder
from cribo.model.networks.backbone import seeded_backbone
from cribo.training.engine.log import Journal
from stages import linear_segmentation, segmenter
from tests.processes import Forks, python_m

DEMO = BACKBONES["vit_demo_8"]

ROOT = Path(__file__).parents[2]
SCENES = {"kind": "scenes", "seed": 0, "size": 48, "train": 8, "val": 3, "objects": [2, 3]}
SMALL = {"iterations": 12, "batch_size": 4, "crop": 32, "scale": [128, 48], "window": 32, "stride": 24}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder with params.yaml, plans, a prepared data set and a random encoder."""
    folder = tmp_path_factory.mktemp("work")
    demo = yaml.safe_load((ROOT / "recipes/demo.yaml").read_text())
    small = {
        "evaluate": {p: {"models": ["random"], "datasets": {"scenes": SMALL}} for p in ("linear_segmentation", "segmenter")},
        "compute": {"workers": 0, "log_steps": 1, "checkpoint_steps": 1},
    }
    (folder / "params.yaml").write_text(yaml.safe_dump(params.merged(demo, small)))
    prepare("scenes", SCENES, folder / "data", workers=1)
    write_encoder(seeded_backbone(DEMO, 32, 0).eval(), DEMO, 32, folder / "results/encoders/random")
    assert command(folder, "stages.plan").wait() == 0
    return folder


def command(folder, *arguments, **env):
    return subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def in_two(folder, *arguments):
    return python_m(*arguments, size=2, cwd=folder)


def finished(process):
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    return errors


def test_a_run_killed_with_signal_9_goes_on_and_gives_the_result_of_an_undisturbed_one(project):
    cell = ("stages.linear_segmentation", "random", "scenes", "2", "0.01")
    path = project / "results/scores/linear_segmentation/random-scenes-last2-0.01.json"
    said = finished(command(project, "cribo.launch", *cell))
    assert (
        "iteration" not in said
        and "step 12/12" in said
        and "ETA" in said
        and f"mIoU {json.loads(path.read_text())['value']:.2f} %" in said
    )
    whole = json.loads(path.read_text())
    path.unlink()
    assert not list((project / ".resume").iterdir())

    process = python_m(*cell, cwd=project)
    while not list(project.glob(".resume/*/state-0000000[3-9].pt")):
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not path.exists()
    assert "resuming after iteration" in finished(python_m(*cell, cwd=project))
    again = json.loads(path.read_text())
    assert again.pop("cost")["seconds"] > 0 and whole.pop("cost")
    assert again == whole
    assert whole["learning_rate"] == 0.01 and whole["layers"] == 2 and 0 < whole["value"] < 100
    assert whole["protocol"]["settings"]["crop"] == 32 and "frozen" in whole["protocol"]["trained"]
    assert whole["n"]["train_images"] == 8 and whole["n"]["pixels_scored"] <= 3 * 48 * 48


def stopped_as_it_judges(at_last_step):
    def signalled(journal, step):
        if step == 12 and at_last_step:
            os.kill(os.getpid(), signal.SIGTERM)

    def judge(*_):
        assert not at_last_step  # the trained model is saved: what takes long comes in another turn
        os.kill(os.getpid(), signal.SIGTERM)

    Journal.tick, segmentation_run.judge = signalled, judge
    segmenter.main("random", "scenes", "0.001")


@pytest.mark.parametrize("at_last_step", [True, False])
def test_a_run_stopped_after_its_training_asks_for_a_turn_that_only_judges(project, tmp_path, at_last_step):
    process = Forks(partial(stopped_as_it_judges, at_last_step), cwd=project, CRIBO_REQUEUE=str(tmp_path / "again"))
    _, said = process.communicate()
    assert process.returncode == 1 and "stopped by SIGTERM" in said and (tmp_path / "again").exists(), said
    said = finished(python_m("stages.segmenter", "random", "scenes", "0.001", cwd=project))
    assert "resuming after iteration 12 of 12" in said and "mIoU" in said and not list((project / ".resume").iterdir())


def test_segmenter_on_two_processes_gives_what_one_gives(project):
    text = (project / "results/plan/segmenter/scenes.yaml").read_text()
    (project / "results/plan/segmenter/scenes.yaml").write_text(text.replace("drop_path: 0.1", "drop_path: 0.0"))
    path, values = project / "results/scores/segmenter/random-scenes-1e-03.json", []
    cell = ("stages.segmenter", "random", "scenes", "1e-03")
    for start in (command, in_two):
        finished(start(project, *cell))
        tree = json.loads(path.read_text())
        values.append(tree["value"])
        assert tree["n"]["val_images"] == 3 and tree["protocol_id"] == "segmenter"
        path.unlink()
    assert values[0] == pytest.approx(values[1], abs=0.5)


@pytest.mark.parametrize(
    ("stage", "arguments", "says"),
    [
        (linear_segmentation, ["nobody", "scenes", "1", "0.1"], "results/encoders/nobody is missing: run `dvc repro plan`"),
        (linear_segmentation, ["random", "voc", "1", "0.1"], "results/plan/linear_segmentation/voc.yaml is missing"),
        (linear_segmentation, ["random", "scenes", "0", "0.1"], "0 is not a number of blocks"),
        (linear_segmentation, ["random", "scenes", "9", "0.1"], "has 3 blocks, and the last 9 are asked for"),
        (segmenter, ["random", "scenes", "fast"], "fast is not a learning rate"),
        (segmenter, ["random", "scenes", "-1"], "-1 is not a learning rate"),
        (segmenter, ["random", "scenes"], "usage: python -m stages.segmenter MODEL DATASET LR"),
    ],
)
def test_mistakes_are_one_sentence(project, monkeypatch, stage, arguments, says):
    monkeypatch.chdir(project)
    monkeypatch.setattr(sys, "argv", ["stage", *arguments])
    count = 4 if stage is linear_segmentation else 3
    with pytest.raises(SystemExit) as stop:
        run(stage.main, f"python -m {stage.__name__} {stage.__doc__.split(':')[0].split(' ', 3)[3]}", count)
    assert says in str(stop.value) and len(str(stop.value).splitlines()) == 1
