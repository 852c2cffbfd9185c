"""SIGTERM and Ctrl-C outside the loop, and the end of a command whose result is written."""

import os
import signal
import zipfile

import pytest

from cribo.training.engine import checkpoint
from cribo.training.engine.interruption import (
    Interrupted,
    asked_by,
    finish,
    ignore_signals,
    resumable_command,
    stop_flag,
)


def terminated():
    os.kill(os.getpid(), signal.SIGTERM)


def test_sigterm_where_no_loop_runs_asks_for_another_turn_and_once_is_enough(tmp_path, monkeypatch):
    monkeypatch.setenv("CRIBO_REQUEUE", str(tmp_path / "again"))
    tidied = []
    with pytest.raises(SystemExit, match="goes on from the last saved state"), resumable_command():
        try:
            terminated()
        finally:
            terminated()  # torchrun and Slurm send several
            tidied.append(True)
    assert (tmp_path / "again").exists() and tidied


def test_sigterm_while_a_state_is_read_leaves_it_whole(tmp_path, monkeypatch):
    checkpoint.save(tmp_path, 1, {"step": 1})
    monkeypatch.setenv("CRIBO_REQUEUE", str(tmp_path / "again"))
    monkeypatch.setattr(zipfile.ZipFile, "testzip", lambda _: terminated())
    with pytest.raises(SystemExit, match="stopped by SIGTERM"), resumable_command():
        checkpoint.load_newest(tmp_path, pytest.fail)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "state-00000001.pt"]


def test_ctrl_c_where_no_loop_runs_is_one_sentence_and_asks_for_no_turn(tmp_path, monkeypatch):
    monkeypatch.setenv("CRIBO_REQUEUE", str(tmp_path / "again"))
    with pytest.raises(SystemExit, match=r"^stopped by Ctrl-C; the same command goes on"), resumable_command():
        os.kill(os.getpid(), signal.SIGINT)
    assert not (tmp_path / "again").exists()


def test_ctrl_c_in_a_loop_is_noted_asks_for_no_turn_and_a_third_one_ends_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv("CRIBO_REQUEUE", str(tmp_path / "again"))
    with pytest.raises(SystemExit, match="stopped by Ctrl-C"), resumable_command(), stop_flag() as flag:
        for _ in range(2):  # a key that is held, say
            os.kill(os.getpid(), signal.SIGINT)
        assert len(flag) == 2 and asked_by(flag) == "Ctrl-C"
        os.kill(os.getpid(), signal.SIGINT)
        pytest.fail("goes on")
    assert not (tmp_path / "again").exists()


def test_a_run_that_another_process_has_ends_the_command_in_failure_with_a_sentence_and_asks_for_no_turn(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("CRIBO_REQUEUE", str(tmp_path / "again"))
    says = rf"/run is in use by process {os.getpid()}: wait for it or stop it$"
    other, same = (checkpoint.sole_owner(tmp_path / "run") for _ in range(2))
    with other, pytest.raises(SystemExit, match=says), resumable_command(), same:
        pytest.fail("goes on")
    assert not (tmp_path / "again").exists()


def test_a_loop_that_stopped_ends_its_command_in_failure_with_its_sentence_and_asks_for_another_turn(tmp_path, monkeypatch):
    monkeypatch.setenv("CRIBO_REQUEUE", str(tmp_path / "again"))
    with pytest.raises(SystemExit, match=r"^stopped by SIGTERM after step 3$"), resumable_command(), stop_flag() as flag:
        terminated()
        raise Interrupted(f"stopped by {asked_by(flag)} after step 3")
    assert (tmp_path / "again").exists()


def test_in_a_shells_background_ctrl_c_stays_unheard():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with stop_flag() as flag:
        os.kill(os.getpid(), signal.SIGINT)
        assert not flag


def test_a_command_that_ends_by_itself_leaves_the_process_as_it_was_and_asks_for_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("CRIBO_REQUEUE", str(tmp_path / "again"))
    before = signal.getsignal(signal.SIGTERM)
    with resumable_command():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before and not (tmp_path / "again").exists()


@pytest.mark.parametrize("mine", [True, False])
def test_a_finished_command_has_no_run_directory_and_is_deaf(tmp_path, mine):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "state").touch()
    with resumable_command():
        finish(folder if mine else None)
        terminated()
        os.kill(os.getpid(), signal.SIGINT)
    terminated()
    os.kill(os.getpid(), signal.SIGINT)
    assert folder.exists() != mine


def test_after_ctrl_c_no_turn_is_asked_for_to_write_the_results_of_several_processes(tmp_path, monkeypatch):
    monkeypatch.setenv("CRIBO_REQUEUE", str(tmp_path / "again"))
    monkeypatch.setenv("WORLD_SIZE", "2")
    (tmp_path / "run").mkdir()
    with resumable_command():
        with stop_flag():
            os.kill(os.getpid(), signal.SIGINT)
        finish(tmp_path / "run")
    assert (tmp_path / "run").exists() and not (tmp_path / "again").exists()


def test_the_run_directory_stays_for_another_turn_where_torchrun_was_asked_to_stop(tmp_path, monkeypatch):
    monkeypatch.setenv("CRIBO_REQUEUE", str(tmp_path / "again"))
    monkeypatch.setenv("WORLD_SIZE", "2")
    (tmp_path / "run").mkdir()
    with resumable_command():
        with stop_flag():  # in the last step, say
            terminated()
        finish(tmp_path / "run")
    assert (tmp_path / "run").exists() and (tmp_path / "again").exists()
    with resumable_command():
        finish(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_run_directory_stays_where_torchrun_was_asked_to_stop_when_the_result_was_written(tmp_path, monkeypatch):
    monkeypatch.setenv("CRIBO_REQUEUE", str(tmp_path / "again"))
    monkeypatch.setenv("WORLD_SIZE", "2")
    (tmp_path / "run").mkdir()
    with resumable_command():
        ignore_signals()
        terminated()
        finish(tmp_path / "run")
    assert (tmp_path / "run").exists() and (tmp_path / "again").exists()


def test_a_process_alone_that_was_asked_to_stop_in_its_last_step_has_ended_well(tmp_path, monkeypatch):
    monkeypatch.setenv("CRIBO_REQUEUE", str(tmp_path / "again"))
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    (tmp_path / "run").mkdir()
    with resumable_command():
        with stop_flag():
            terminated()
        finish(tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_a_run_directory_that_stays_is_named_and_the_result_counts(tmp_path, capsys):
    finish(tmp_path / "run")
    assert f"{tmp_path / 'run'} is needed no more and could not be removed (No such file" in capsys.readouterr().err
