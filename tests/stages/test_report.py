"""The report command: its files, and that DVC draws the plots."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.processes import run_m
from tests.report.pages import experiment

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def root(tmp_path) -> Path:
    experiment(tmp_path / "results")
    (tmp_path / "recipes").symlink_to(REPOSITORY / "recipes")
    return tmp_path


def do(root: Path, *command: str) -> str:
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([sys.executable, "-m", *command], cwd=root, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def files(root: Path) -> dict[str, bytes]:
    paths = [root / "results/report.html", *(root / "results/figures").iterdir(), *(root / "results/plots").iterdir()]
    return {path.name: path.read_bytes() for path in paths}


def test_a_second_run_writes_the_same_bytes_and_names_the_page(root):
    assert do(root, "stages.report").strip() == f"the report: {root / 'results/report.html'}"
    first = files(root)
    again = run_m("stages.report", cwd=root)
    assert again.returncode == 0, again.stderr
    assert files(root) == first
    assert first["bootstrapping.csv"].decode() == "step,model,ratio\n20,cribo,0.2\n"
    assert first.keys() == {"report.html", "loss.svg", "bootstrapping.svg", "bootstrapping.csv", "per_class.csv"}


def test_dvc_draws_a_line_for_each_model_and_nothing_where_no_model_looks_for_neighbours(root):
    assert run_m("stages.report", cwd=root).returncode == 0
    do(root, "dvc", "init", "--no-scm", "--quiet")
    shutil.copytree(REPOSITORY / ".dvc/plots", root / ".dvc/plots")
    plots = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"]["report"]["plots"]
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"report": {"cmd": "true", "plots": plots}}}))
    name = "results/plots/bootstrapping.csv"
    show = ("dvc", "plots", "show", "--json", name)
    drawn = json.loads(do(root, *show))["data"][name][0]["content"]
    assert [(p["step"], p["model"], p["ratio"]) for p in drawn["data"]["values"]] == [("20", "cribo", "0.2")]
    assert drawn["encoding"]["color"]["field"] == "model" and drawn["encoding"]["y"]["field"] == "ratio"
    (root / name).write_text("step,model,ratio\n")
    assert json.loads(do(root, *show)) == {"data": {name: []}}
