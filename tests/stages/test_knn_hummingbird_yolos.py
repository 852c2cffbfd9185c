"""The commands of k-NN, open-hummingbird and YOLOS, from a plan to their JSON."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from cribo import params, plan
from cribo.command import run
from cribo.data.preparation.prepare import prepare
from cribo.model.architectures import BACKBONES
from cribo.model.export import write_encoder
from cribo.model.networks.backbone import seeded_backbone
from stages import hummingbird, knn, yolos
from tests.edits import edited, judging

DEMO = BACKBONES["vit_demo_8"]

SCENES = {"kind": "scenes", "seed": 0, "size": 32, "train": 8, "val": 3, "objects": [2, 3]}
STAGES = {"knn": knn, "hummingbird": hummingbird, "yolos": yolos}
SMALL = {
    "knn": {"short_side": 32, "crop": 32},
    "hummingbird": {"size": 32},
    "yolos": {"epochs": 1, "batch_size": 4, "tokens": 5, "grid": "[32, 32]", "short": "[24, 32, 8]", "longest": 40,
              "crop_from": "[32]", "crop": "[24, 32]", "test": 32},
}  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("work")
    prepare("scenes", SCENES, root / "data", workers=1)
    write_encoder(seeded_backbone(DEMO, 32, 0).eval(), DEMO, 32, root / "results/encoders/random")
    return root


def planned(root, protocol):
    text = judging(protocol, "[scenes]")
    for key, value in SMALL[protocol].items():
        text = edited(f"evaluate.{protocol}.{key}", str(value), text)
    (root / "params.yaml").write_text(edited("compute.threads", "1", text))
    plan.write(params.load(root / "params.yaml"), root / "results/plan")


@pytest.mark.parametrize("protocol", STAGES)
def test_the_stage_of_the_dag_writes_its_result(root, monkeypatch, protocol):
    planned(root, protocol)
    monkeypatch.chdir(root)
    STAGES[protocol].main("random", "scenes")
    tree = json.loads(Path(f"results/scores/{protocol}/random-scenes.json").read_text())
    assert (tree["protocol_id"], tree["model"], tree["dataset"]) == (protocol, "random", "scenes")
    assert 0 <= tree["value"] <= 100 and tree["cost"]["seconds"] > 0
    settings = yaml.safe_load(Path(f"results/plan/{protocol}/scenes.yaml").read_text())
    assert all(tree["protocol"][key] == value for key, value in settings.items() if key != "dataset")
    assert not list(Path(".resume").glob("*"))


@pytest.mark.parametrize("protocol", STAGES)
def test_a_model_that_is_not_there_is_one_sentence(root, monkeypatch, protocol):
    planned(root, protocol)
    monkeypatch.chdir(root)
    monkeypatch.setattr(sys, "argv", [protocol, "nobody", "scenes"])
    with pytest.raises(SystemExit) as stop:
        run(STAGES[protocol].main, "", 2)
    assert "results/encoders/nobody is missing: run `dvc repro plan`" in str(stop.value)
    shutil.rmtree(root / "results/plan")
