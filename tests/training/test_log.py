"""The journal reads as one undisturbed run, whatever happened to the process that wrote it."""

import json

from cribo.training.log import Journal


def test_records_of_steps_that_are_done_over_are_dropped(tmp_path, capsys):
    path = tmp_path / "metrics.jsonl"
    first = Journal(path, 0, 10, 4, write=True)
    for step in (1, 2, 3):
        first.record(step, 0, {"loss": float(step)})
    path.write_text(path.read_text() + '{"step": 4, "lo')  # killed in the middle of a line
    second = Journal(path, 2, 10, 4, write=True)
    second.record(3, 0, {"loss": 30.0})
    assert [(e["step"], e["loss"]) for e in second.entries()] == [(1, 1.0), (2, 2.0), (3, 30.0)]
    assert all(json.loads(line) for line in path.read_text().splitlines())
    assert "step 3/10  epoch 0  loss 30" in capsys.readouterr().err


def test_a_process_that_does_not_write_leaves_no_file(tmp_path, capsys):
    journal = Journal(tmp_path / "metrics.jsonl", 0, 10, 4, write=False)
    journal.record(1, 0, {"loss": 1.0})
    assert not list(tmp_path.iterdir()) and capsys.readouterr().err == ""
