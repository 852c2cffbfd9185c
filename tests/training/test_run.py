"""The run directory is named by everything that decides the weights."""

import csv
import json
import os
import re
import signal

import pytest
import torch

from cribo import params
from cribo.model.checkpoint_file import read_checkpoint
from cribo.training import run
from cribo.training.engine import checkpoint
from cribo.training.engine.distributed import World
from cribo.training.engine.log import PACE
from cribo.training.state import initial_state
from tests.training.runs import ALONE


def test_the_fingerprint_changes_with_settings_photos_and_sources(settings, tmp_path, monkeypatch):
    base = run.fingerprint(settings, "a")
    assert run.fingerprint(settings, "a") == base and re.fullmatch("[0-9a-f]{16}", base)
    assert run.fingerprint(params.merged(settings, {"clustering": {"lambda_pos": 9.0}}), "a") != base
    assert run.fingerprint(settings, "b") != base
    monkeypatch.setattr(run, "SOURCES", run.SOURCES[1:])
    assert run.fingerprint(settings, "a") != base


def test_the_order_of_keys_does_not_matter(settings):
    assert run.fingerprint(dict(reversed(settings.items())), "a") == run.fingerprint(settings, "a")


@pytest.fixture
def ended(settings, photos, compute, tmp_path, monkeypatch):
    """What one training of nine steps has left, its settings, its run directory and its final state."""
    states, write = [], run.write_results
    monkeypatch.setattr(run, "write_results", lambda *args: states.append(args[0]) or write(*args))
    out = tmp_path / "out" / "cribo"
    folder = run.pretrain("cribo", settings, photos, out, tmp_path / ".resume", compute, ALONE)
    return out, settings, folder, states[0]


def test_a_training_leaves_its_weights_its_last_losses_its_cost_and_its_curves(ended, photos, tmp_path):
    out, settings, folder, state = ended
    assert folder == tmp_path / ".resume" / f"cribo-{run.fingerprint(settings, photos.digest)}"
    tensors, described = read_checkpoint(out / "checkpoint.safetensors")
    assert described == {"settings": settings, "dataset": "noise", "digest": photos.digest, "steps": 9}
    networks = {"teacher": state.teacher, "student": state.student}
    expected = {f"{role}.{key}": x for role, net in networks.items() for key, x in net.state_dict().items()}
    assert tensors.keys() == expected.keys() and all(torch.equal(x, expected[key]) for key, x in tensors.items())

    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    final = json.loads((out / "metrics.json").read_text())
    assert final == {key: value for key, value in records[-1].items() if key not in (PACE, "lr")} and final["step"] == 9
    with open(out / "curves.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == [str(n) for n in range(1, 10)]
    assert all(float(row[key]) == record[key] for row, record in zip(rows, records, strict=True) for key in ("loss", "lr"))
    cost = json.loads((out / "cost.json").read_text())
    assert cost.keys() == {"seconds", "peak_memory_mib", "device", "precision"}
    assert cost["seconds"] == pytest.approx(sum(8 / record[PACE]["images_per_second"] for record in records), abs=0.1)
    assert (cost["device"], cost["precision"]) == ("cpu", "fp32")


def test_once_the_result_is_written_a_signal_changes_nothing_and_the_run_directory_is_free(ended):
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(os.getpid(), number)
    with checkpoint.sole_owner(ended[2]):
        pass


def test_a_process_that_is_not_the_main_one_writes_nothing(settings, photos, compute, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "train", lambda *_: initial_state(settings, ALONE.device))
    run.pretrain("cribo", settings, photos, tmp_path / "out", tmp_path / ".resume", compute, World(1, 1, ALONE.device))
    assert not list(tmp_path.iterdir())


def test_a_run_that_another_process_has_is_not_trained_twice(settings, photos, compute, tmp_path):
    folder = tmp_path / f"cribo-{run.fingerprint(settings, photos.digest)}"
    with checkpoint.sole_owner(folder), pytest.raises(checkpoint.RunInUse):
        run.pretrain("cribo", settings, photos, tmp_path / "out", tmp_path, compute, ALONE)
    assert [path.name for path in folder.iterdir()] == ["lock"]


def test_an_oracle_without_masks_is_refused_before_anything_is_written(settings, photos, compute, tmp_path):
    settings["matching"]["criterion"] = "labels"
    with pytest.raises(run.DataError, match="have no mask"):
        run.pretrain("cribo", settings, photos, tmp_path / "out", tmp_path / ".resume", compute, ALONE)
    assert not list(tmp_path.iterdir())
