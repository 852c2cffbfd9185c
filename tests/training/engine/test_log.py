"""The journal reads as one undisturbed run, whatever happened to the process that wrote it."""

import json

import pytest
import torch
from torch.utils.data import DataLoader

from cribo.training.engine.distributed import World
from cribo.training.engine.log import Journal, clock, peak_memory, read_cost, read_records, timed
from tests.training.runs import ALONE


def test_records_of_steps_that_are_done_over_are_dropped(tmp_path, capsys):
    path = tmp_path / "cross-view-0123456789abcdef" / "metrics.jsonl"
    path.parent.mkdir()
    first = Journal(path, 0, 10, 4, world=ALONE)
    for step in (1, 2, 3):
        first.record(step, 0, {"loss": float(step)})
    path.write_text(path.read_text() + '{"step": 4, "lo')  # killed in the middle of a line
    second = Journal(path, 2, 10, 4, world=ALONE)
    second.record(3, 0, {"loss": 30.0})
    assert [(e["step"], e["loss"]) for e in read_records(path)] == [(1, 1.0), (2, 2.0), (3, 30.0)]
    assert all(json.loads(line) for line in path.read_text().splitlines())
    said = capsys.readouterr().err
    assert "cross-view: step 3/10  epoch 0  loss 30" in said and "MFU" not in said  # of a device whose peak is not known


def test_a_process_that_does_not_write_leaves_no_file(tmp_path, capsys):
    journal = Journal(tmp_path / "metrics.jsonl", 0, 10, 4, World(1, 2, ALONE.device))
    journal.record(1, 0, {"loss": 1.0})
    assert not list(tmp_path.iterdir()) and capsys.readouterr().err == ""


def test_speed_is_that_since_the_last_record_and_stays_out_of_the_curves(tmp_path, monkeypatch, capsys):
    now = iter([90.0, 90.0, 92.0, 92.0, 94.0, 94.0])
    monkeypatch.setattr("cribo.training.engine.log.time.perf_counter", lambda: next(now))
    journal = Journal(tmp_path / "metrics.jsonl", 0, 10, 8, world=ALONE, flops=3e9, peak=1e11)
    journal.waited += 0.5
    journal.record(2, 0, {"loss": 1.0})  # 16 images in two seconds
    journal.record(6, 0, {"loss": 1.0})  # 32 in the next two
    pace = [json.loads(line)["pace"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [p["images_per_second"] for p in pace] == [8.0, 16.0] and [p["data_wait"] for p in pace] == [0.25, 0.0]
    assert [p["mfu"] for p in pace] == [0.24, 0.48] and all(p["memory_gb"] > 0 for p in pace)
    assert read_records(tmp_path / "metrics.jsonl") == [{"step": n, "epoch": 0, "loss": 1.0} for n in (2, 6)]
    said = capsys.readouterr().err
    assert "16 img/s  data 0%  MFU 48.0%" in said and "ETA 0:03" in said


def test_the_memory_of_a_training_on_the_cpu_is_that_of_its_process_where_there_is_a_gpu_too(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device=None: 5 if device else 0)
    Journal(tmp_path / "metrics.jsonl", 0, 10, 4, world=ALONE).record(1, 0, {"loss": 1.0})
    assert json.loads((tmp_path / "metrics.jsonl").read_text())["pace"]["memory_gb"] > 0.01
    assert peak_memory(torch.device("cuda")) == 5


def test_a_bar_moves_on_a_terminal_and_only_there(tmp_path, monkeypatch):
    for terminal in (False, True):
        monkeypatch.setattr("sys.stderr.isatty", lambda terminal=terminal: terminal)
        with Journal(tmp_path / "metrics.jsonl", 2, 10, 4, world=ALONE) as journal:
            assert (journal.bar is not None) == terminal
            begun = journal.bar.tasks[0].completed if terminal else 2
            journal.tick(3)
            if terminal:
                assert begun == 2 and journal.bar.tasks[0].completed == 3
                bar = journal.bar
    assert not bar.live.is_started  # or it would go on drawing over what is said afterwards
    with Journal(tmp_path / "metrics.jsonl", 0, 10, 4, World(1, 2, ALONE.device)) as journal:
        assert journal.bar is None  # the main process shows one for all


def test_the_cost_is_the_time_between_records_of_all_turns_and_the_most_memory(tmp_path):
    paces = [(4, 2.0, 0.5), (8, 4.0, 0.9), (10, 1.0, 0.7)]  # step, images a second, GB; batches of 3
    lines = [{"step": s, "epoch": 0, "pace": {"images_per_second": speed, "memory_gb": gb}} for s, speed, gb in paces]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    spent = read_cost(tmp_path / "metrics.jsonl", 3)
    assert spent == {"seconds": 12 / 2 + 12 / 4 + 6 / 1, "peak_memory_mib": round(0.9e9 / 2**20)}


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.4, "0:00"), (59.6, "1:00"), (123, "2:03"), (3599, "59:59"), (3723, "1:02:03"), (90_000, "25:00:00")],
)
def test_a_time_is_shown_in_hours_minutes_and_seconds_and_hours_only_where_there_are_any(seconds, shown):
    assert clock(seconds) == shown


def test_a_full_disk_is_one_sentence_that_says_how_to_go_on(tmp_path):
    path = tmp_path / "run-0" / "metrics.jsonl"
    path.parent.mkdir()
    journal = Journal(path, 0, 10, 4, world=ALONE)
    path.unlink()
    path.symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"metrics.jsonl could not be written \(No space left .*resumes from the last saved"):
        journal.record(1, 0, {"loss": 1.0})


def test_a_journal_that_cannot_be_tidied_up_keeps_all_its_records(tmp_path, monkeypatch):
    path = tmp_path / "run-0" / "metrics.jsonl"
    path.parent.mkdir()
    path.write_text('{"step": 1}\n{"step": 2}\n')
    path.with_suffix(".partial").symlink_to("/dev/full")
    with pytest.raises(OSError, match="could not be written"):
        Journal(path, 1, 10, 4, world=ALONE)
    assert path.read_text() == '{"step": 1}\n{"step": 2}\n'


def test_the_time_spent_waiting_for_batches_is_counted_and_that_of_steps_is_not(tmp_path, monkeypatch):
    journal = Journal(tmp_path / "metrics.jsonl", 0, 2, 1, world=ALONE)
    now = iter([0.0, 2.0, 10.0, 11.0, 20.0, 24.0])  # asked for and come: two batches, and the end
    monkeypatch.setattr("cribo.training.engine.log.time.perf_counter", lambda: next(now))
    assert list(timed("ab", journal)) == ["a", "b"] and journal.waited == 2 + 1 + 4


class Failing(DataLoader):
    def __init__(self, error):
        super().__init__([0])
        self.error = error

    def __iter__(self):
        yield 1
        raise self.error


@pytest.mark.parametrize("error", [ConnectionResetError(), EOFError()])
def test_a_loading_process_that_dies_with_a_batch_on_its_way_is_said_in_torchs_words(tmp_path, error):
    with pytest.raises(RuntimeError, match=r"^DataLoader worker .pid"):
        list(timed(Failing(error), Journal(tmp_path / "metrics.jsonl", 0, 1, 1, world=ALONE)))


def test_what_a_loading_process_met_itself_or_a_thread_goes_through_as_it_is(tmp_path):
    journal = Journal(tmp_path / "metrics.jsonl", 0, 1, 1, world=ALONE)
    with pytest.raises(EOFError, match="Caught"):
        list(timed(Failing(EOFError("Caught EOFError in DataLoader worker process 0.")), journal))
    with pytest.raises(EOFError, match="no more"):
        list(timed(iter(Failing(EOFError("no more"))), journal))
