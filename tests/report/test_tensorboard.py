"""Curves as TensorBoard event files."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cribo.report import tensorboard
from cribo.report.experiment.results import ReportError

CURVES = {
    "global": "step,epoch,loss\n10,0,5.0\n20,1,4.0\n",
    "cribo": "step,epoch,loss,bootstrapping_1\n10,0,5.5,\n20,1,4.5,0.25\n",
}


@pytest.fixture
def tree(tmp_path, monkeypatch) -> Path:
    for model, text in CURVES.items():
        (tmp_path / "results/pretrain" / model).mkdir(parents=True)
        (tmp_path / "results/pretrain" / model / "curves.csv").write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_tensorboard_reads_every_logged_value_at_its_step_and_a_second_call_adds_nothing(tree):
    reader = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="TensorBoard is not installed here"
    )
    tensorboard.main("events")
    tensorboard.main("events")
    found = {}
    for model in CURVES:
        events = reader.EventAccumulator(str(tree / "events" / model))
        events.Reload()
        found[model] = {name: [(e.step, e.value) for e in events.Scalars(name)] for name in events.Tags()["scalars"]}
    assert found == {
        "global": {"loss": [(10, 5.0), (20, 4.0)]},
        "cribo": {"loss": [(10, 5.5), (20, 4.5)], "bootstrapping_1": [(20, 0.25)]},
    }


def test_without_the_package_or_without_curves_it_says_what_to_do(tree, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ReportError, match="pip install tensorboard"):
        tensorboard.main()
    for path in tree.glob("results/pretrain/*/curves.csv"):
        path.unlink()
    with pytest.raises(ReportError, match="train a model first"):
        tensorboard.main()
