"""The prepare command: exit status, and sentences instead of tracebacks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from cribo import command
from cribo.data.prepared.readers import open_set
from stages.prepare import main

SETTINGS = {"kind": "scenes", "seed": 0, "size": 32, "train": 3, "val": 2, "objects": [2, 3]}
REPOSITORY = Path(__file__).parents[2]


def _plan(name: str, settings: dict) -> None:
    path = Path(f"results/plan/data/{name}.yaml")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(settings))


def test_command_makes_the_set_of_its_plan(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _plan("scenes", SETTINGS)
    run = subprocess.run(
        [sys.executable, "-m", "stages.prepare", "scenes"],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
    )
    assert run.returncode == 0, run.stderr
    assert "prepare scenes: 5/5 images" in run.stderr
    assert len(open_set("scenes").splits["val"]) == 2


def _last_words(name: str, monkeypatch) -> str:
    """What the command ends with on stderr, at status 1."""
    monkeypatch.setattr(sys, "argv", ["stages.prepare", name])
    with pytest.raises(SystemExit) as end:
        command.run(main, "unused", 1)
    return end.value.code


def test_name_without_plan_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = _last_words("scene", monkeypatch)
    assert said.startswith("results/plan/data/scene.yaml is missing: run `dvc repro plan`")


def test_missing_photos_are_a_sentence(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CRIBO_DATA", raising=False)
    _plan("voc", {"kind": "voc", "path": None, "train": "train", "val": "val", "masks": "SegmentationClass"})
    said = _last_words("voc", monkeypatch)
    assert "\n" not in said and "data.voc.path" in said and not Path("data/voc").exists()
