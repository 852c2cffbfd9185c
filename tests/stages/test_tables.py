"""The tables command: files, stdout, and a corrupt result as a sentence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
PLAN = {
    "title": "A test",
    "reference": "random",
    "tables": [],
    "tolerance": 1.0,
    "models": {
        name: {"row": name, "backbone": "vit_demo_8", "dataset": None, "epochs": 0, "losses": []}
        for name in ("random", "other")
    },
    "dense_nn": {"models": ["random", "other"], "datasets": ["scenes"], "subsample": [1, 8]},
    "hummingbird": {"models": [], "datasets": []},
    "knn": {"models": [], "datasets": []},
    "yolos": {"models": [], "datasets": []},
    "linear_segmentation": {"models": [], "datasets": [], "layers": [1], "learning_rates": [1.0]},
    "segmenter": {"models": [], "datasets": [], "learning_rates": [1.0]},
}
RESULT = {
    "model": "random",
    "value": 20.000001,
    "protocol": {"value": "patch mIoU at 1/1"},
    "dataset": "scenes",
    **{
        level: {"1/1": {"mean": 20.0, "std": None, "runs": [20.0]}, "1/8": {"mean": 10.0, "std": 1.0, "runs": [9.0, 11.0]}}
        for level in ("patch", "pixel")
    },
}


@pytest.fixture
def root(tmp_path):
    for folder in ("plan", "scores/dense_nn"):
        (tmp_path / "results" / folder).mkdir(parents=True)
    (tmp_path / "results/plan/report.yaml").write_text(yaml.safe_dump(PLAN, sort_keys=False))
    (tmp_path / "results/scores/dense_nn/random-scenes.json").write_text(json.dumps(RESULT))
    return tmp_path


def command(root):
    return subprocess.run(
        [sys.executable, "-m", "stages.tables"],
        cwd=root,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
    )


def test_writes_and_prints_every_table_the_same_each_time(root):
    run = command(root)
    assert run.returncode == 0, run.stderr
    folder = root / "results/tables"
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert sorted(first) == ["README.md", "dense_nn.csv", "dense_nn.html", "dense_nn.md", "dense_nn.tex", "scores.csv"]
    assert first["scores.csv"].splitlines()[1:] == [b"random,dense_nn,scenes,20.000001,patch mIoU at 1/1"]
    assert run.stdout == (folder / "dense_nn.md").read_text()
    assert (folder / "README.md").read_text() == f"# Tables\n\n{run.stdout}"
    assert "| random |" in run.stdout and "not run" in run.stdout and "20.0" in run.stdout
    command(root)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first


def test_a_table_of_the_paper_is_written_when_it_is_asked_for(root):
    (root / "results/plan/report.yaml").write_text(yaml.safe_dump(PLAN | {"tables": [5]}, sort_keys=False))
    run = command(root)
    assert run.returncode == 0 and "## Table 5." in run.stdout, run.stderr
    assert "58.1" in (root / "results/tables/paper_table_05.csv").read_text()


def test_a_corrupt_result_is_one_sentence(root):
    (root / "results/scores/dense_nn/other-scenes.json").write_text("{")
    run = command(root)
    assert run.returncode == 1
    assert run.stderr.startswith("results/scores/dense_nn/other-scenes.json cannot be read as JSON")
    assert len(run.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(("steps", "shown"), [(30, "58.1"), (29, "Compared with nothing")])
def test_a_model_of_a_part_of_coco_is_not_compared_with_the_papers(root, steps, shown):
    row = {"row": "CrIBo", "backbone": "vit_small_16", "dataset": "coco", "epochs": 300, "method": "CrIBo"}
    row["losses"] = ["global", "cross_view", "cross_image"]
    plan = PLAN | {"models": PLAN["models"] | {"cribo": row}}
    plan["dense_nn"] = {"models": ["random", "cribo"], "datasets": ["voc2012"], "subsample": [1]}
    settings = {
        "backbone": "vit_small_16",
        "clustering": {"algorithm": "sinkhorn", "K": 64, "lambda_pos": 2.0},
        "memory_bank": {"images": 25000},
        "matching": {"criterion": "cycle"},
        "optimisation": {"epochs": 300, "batch_size": 3942},
    }
    for folder in ("plan/pretrain", "pretrain/cribo"):
        (root / "results" / folder).mkdir(parents=True)
    (root / "results/plan/report.yaml").write_text(yaml.safe_dump(plan, sort_keys=False))
    (root / "results/plan/pretrain/cribo.yaml").write_text(yaml.safe_dump(settings))
    (root / "results/pretrain/cribo/metrics.json").write_text(json.dumps({"step": 300 * steps}))
    (root / "results/scores/dense_nn/cribo-voc2012.json").write_text(
        json.dumps(RESULT | {"model": "cribo", "dataset": "voc2012"})
    )
    run = command(root)
    assert run.returncode == 0, run.stderr
    assert shown in run.stdout and ("58.1" in run.stdout) == (shown == "58.1")


def test_without_a_plan(tmp_path):
    run = command(tmp_path)
    assert run.returncode == 1 and "report.yaml is missing" in run.stderr
