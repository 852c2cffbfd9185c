"""The dense_nn command from a plan to its JSON, and its mistakes as sentences."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from cribo.command import run
from cribo.data.preparation.prepare import prepare
from cribo.model.architectures import BACKBONES
from cribo.model.export import write_encoder
from cribo.model.networks.backbone import seeded_backbone
from stages.dense_nn import main
from tests.processes import run_m

DEMO = BACKBONES["vit_demo_8"]

REPOSITORY = Path(__file__).parents[2]
SCENES = {"kind": "scenes", "seed": 0, "size": 32, "train": 10, "val": 3, "objects": [2, 3]}
NN = {"dataset": "scenes", "k": 50, "temperature": 0.07, "subsample": [1, 8], "runs": 2, "seed": 0}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A working folder with params.yaml, a plan, a prepared data set and a random encoder."""
    root = tmp_path_factory.mktemp("work")
    shutil.copy(REPOSITORY / "params.yaml", root)
    prepare("scenes", SCENES, root / "data", workers=1)
    plan = root / "results/plan/dense_nn/scenes.yaml"
    plan.parent.mkdir(parents=True)
    plan.write_text(yaml.safe_dump(NN))
    write_encoder(seeded_backbone(DEMO, 32, 0).eval(), DEMO, 32, root / "results/encoders/random")
    return root


def command(root, *arguments):
    env = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    return subprocess.run([sys.executable, "-m", *arguments], cwd=root, capture_output=True, text=True, env=env)


def fork(root, *arguments):
    return run_m(*arguments, cwd=root)


def test_writes_the_same_result_each_time(root):
    path = root / "results/scores/dense_nn/random-scenes.json"
    trees = []
    for start in (command, fork):
        done = start(root, "stages.dense_nn", "random", "scenes")
        assert done.returncode == 0, done.stderr
        assert "neighbours on scenes: 100 %" in done.stderr and "patch mIoU" in done.stderr
        trees.append(json.loads(path.read_text()))
        path.unlink()
    cost = [tree.pop("cost") for tree in trees]
    assert trees[0] == trees[1] and all(c["seconds"] > 0 for c in cost)
    assert trees[0]["model"] == "random" and trees[0]["dataset"] == "scenes"
    assert trees[0]["memory"]["1/8"]["images"] == 2 and len(trees[0]["patch"]["1/8"]["runs"]) == 2
    assert 0 < trees[0]["value"] < 100


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["nobody", "scenes"], "results/encoders/nobody is missing: run `dvc repro plan`"),
        (["random", "voc"], "results/plan/dense_nn/voc.yaml is missing"),
        (["random"], "usage: python -m stages.dense_nn MODEL DATASET"),
    ],
)
def test_mistakes_are_one_sentence(root, monkeypatch, arguments, words):
    monkeypatch.chdir(root)
    monkeypatch.setattr(sys, "argv", ["dense_nn", *arguments])
    with pytest.raises(SystemExit) as stop:
        run(main, "python -m stages.dense_nn MODEL DATASET", 2)
    assert words in str(stop.value) and len(str(stop.value).splitlines()) == 1
