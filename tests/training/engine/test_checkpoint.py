"""Saved states: whole or not there, verified, the one before kept, damaged ones out of the count."""

import errno
import os
import resource
import signal
import subprocess
import sys
import threading
import time

import pytest
import torch

from cribo.training.engine import checkpoint, state_file


def state(n):
    return {"step": n, "x": torch.full((1000,), float(n))}


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def cut(path):
    """Take the end of a file away, as a crash of the machine may."""
    path.write_bytes(path.read_bytes()[:-100])


def test_the_newest_two_are_kept_and_the_newest_is_loaded(tmp_path):
    for n in (1, 2, 3):
        checkpoint.save(tmp_path, n, state(n))
    assert sorted(p.name for p in tmp_path.glob("*.pt")) == ["state-00000002.pt", "state-00000003.pt"]
    assert checkpoint.load_newest(tmp_path, pytest.fail)["step"] == 3


@pytest.mark.parametrize("harm", ["truncate", "flip", "empty"])
def test_a_damaged_newest_state_is_named_and_the_one_before_is_used(tmp_path, harm):
    for n in (1, 2):
        path = checkpoint.save(tmp_path, n, state(n))
    data = bytearray(path.read_bytes())
    if harm == "flip":
        data[len(data) // 2] ^= 1
    path.write_bytes({"truncate": data[: len(data) // 2], "empty": b""}.get(harm, data))
    said = []
    assert checkpoint.load_newest(tmp_path, said.append)["step"] == 1
    assert len(said) == 1 and path.name in said[0] and "damaged" in said[0]
    assert checkpoint.load_newest(tmp_path, pytest.fail)["step"] == 1  # and is not read again
    assert names(tmp_path) == ["state-00000001.pt", "state-00000002.damaged"]


def test_the_next_save_keeps_the_whole_state_and_removes_the_damaged_one(tmp_path):
    checkpoint.save(tmp_path, 69000, state(69000))
    cut(checkpoint.save(tmp_path, 69123, state(69123)))
    assert checkpoint.load_newest(tmp_path, lambda _: None)["step"] == 69000
    checkpoint.save(tmp_path, 69500, state(69500))
    assert names(tmp_path) == ["state-00069000.pt", "state-00069500.pt"]


def test_a_save_never_removes_itself_whatever_lies_there(tmp_path):
    for n in (68500, 69000):
        checkpoint.save(tmp_path, n, state(n))
    assert checkpoint.save(tmp_path, 500, state(500)).exists()


def test_states_of_which_none_is_whole_are_one_sentence_as_often_as_they_are_asked_for(tmp_path):
    for n in (68500, 69000):
        checkpoint.save(tmp_path, n, state(n))
    for path in tmp_path.iterdir():
        cut(path)
    for _ in range(2):
        with pytest.raises(
            OSError, match=r"no state in .* is intact .*state-00069000.damaged.* remove the folder to start"
        ) as e:
            checkpoint.load_newest(tmp_path, lambda _: None)
        assert len(str(e.value).splitlines()) == 1 and str(tmp_path) in str(e.value)
    state_file.write(checkpoint.state_path(tmp_path, 69000), state(69000))  # from a copy elsewhere
    assert checkpoint.load_newest(tmp_path, pytest.fail)["step"] == 69000


def test_a_state_that_cannot_be_read_just_now_is_one_sentence_and_stays_a_state(tmp_path, monkeypatch):
    checkpoint.save(tmp_path, 1, state(1))

    def fails(_):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(state_file, "check", fails)
        with pytest.raises(OSError, match=r"^/.*state-00000001.pt cannot be read \(Input/output error\): give the same"):
            checkpoint.load_newest(tmp_path, pytest.fail)
    assert checkpoint.load_newest(tmp_path, pytest.fail)["step"] == 1


def test_a_state_that_reads_back_damaged_is_set_aside_and_takes_no_room_twice(tmp_path, monkeypatch):
    checkpoint.save(tmp_path, 1, state(1))
    write = state_file.write

    def badly(path, state):
        write(path, state)
        cut(path)

    monkeypatch.setattr(state_file, "write", badly)
    for n in (2, 3):
        with pytest.raises(OSError, match=rf"state-0000000{n}.pt reads back damaged .*state-0000000{n}.damaged: check the"):
            checkpoint.save(tmp_path, n, state(n))
        assert names(tmp_path) == ["state-00000001.pt", f"state-0000000{n}.damaged"]


def test_a_write_that_was_cut_off_is_not_taken_for_a_state(tmp_path):
    checkpoint.save(tmp_path, 1, state(1))
    (tmp_path / "state-00000002.partial").write_bytes(b"PK half a file")
    said = []
    assert checkpoint.load_newest(tmp_path, said.append)["step"] == 1
    assert "state-00000002.partial was cut off" in said[0] and not list(tmp_path.glob("*.partial"))


def test_a_process_killed_while_it_writes_leaves_the_state_before(tmp_path):
    checkpoint.save(tmp_path, 1, state(1))
    code = (
        "import os, signal, torch; from pathlib import Path; from cribo.training.engine import checkpoint\n"
        "def write(state, file):\n    file.write(b'PK' * 1000); file.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
        f"torch.save = write; checkpoint.save(Path({str(tmp_path)!r}), 2, {{}})"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL
    assert (tmp_path / "state-00000002.partial").stat().st_size == 2000
    said = []
    assert checkpoint.load_newest(tmp_path, said.append)["step"] == 1 and len(said) == 1


@pytest.mark.parametrize("background", [False, True])
def test_a_disk_that_does_not_take_a_state_is_one_sentence_and_leaves_the_state_before(tmp_path, background):
    checkpoint.save(tmp_path, 1, state(1))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    saver = checkpoint.Saver(tmp_path, 2, background)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))  # as the kernel sees it, a file that cannot grow
        with pytest.raises(
            OSError, match=r"after step 2 .*\(File too large\): see to the disk .* goes on from state-00000001.pt"
        ):
            saver.save(2, state(2))
            saver.wait()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        saver.close()
    assert names(tmp_path) == ["state-00000001.pt"]
    assert checkpoint.load_newest(tmp_path, pytest.fail)["step"] == 1


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_room_is_asked_for_only_where_it_is_missing(tmp_path, monkeypatch, number):
    def fails(*_):
        raise OSError(number, "in the system's words")

    monkeypatch.setattr(torch, "save", fails)
    with pytest.raises(OSError, match=r"after step 1 .*in the system's words.* goes on from the first step") as error:
        checkpoint.save(tmp_path, 1, state(1))
    assert ("make room" in str(error.value)) == ("MiB free" in str(error.value)) == (number != errno.EIO)


@pytest.mark.parametrize("keep", [2, 3])
def test_as_many_states_are_kept_as_asked_for(tmp_path, keep):
    saver = checkpoint.Saver(tmp_path, keep, background=True)
    for n in range(1, 6):
        saver.save(n, state(n))
    saver.wait()
    assert names(tmp_path) == [f"state-{n:08d}.pt" for n in range(6 - keep, 6)]


def test_what_is_saved_in_the_background_is_the_state_as_it_was(tmp_path):
    saver, more = checkpoint.Saver(tmp_path, 2, background=True), [torch.ones(2), (torch.ones(3),)]
    now = state(1) | {"more": more}
    saver.pool.submit(time.sleep, 0.2)  # the disk is slow
    saver.save(1, now)
    for tensor in (now["x"], more[0], more[1][0]):
        tensor.zero_()
    saver.wait()
    saved = checkpoint.load_newest(tmp_path, pytest.fail)
    assert all(tensor.eq(1).all() for tensor in (saved["x"], saved["more"][0], saved["more"][1][0]))


@pytest.mark.parametrize("background", [False, True])
def test_a_training_goes_on_before_its_state_is_saved_only_where_that_is_asked_for(tmp_path, background):
    saver, free = checkpoint.Saver(tmp_path, 2, background), threading.Event()
    saver.pool.submit(free.wait, 60)  # the disk is slow
    saver.save(1, state(1))
    assert names(tmp_path) == ([] if background else ["state-00000001.pt"])
    for path in tmp_path.iterdir():
        path.unlink()
    free.set()
    saver.close()
    assert names(tmp_path) == (["state-00000001.pt"] if background else [])  # once


def test_a_save_in_the_background_that_fails_is_told_when_the_next_is_asked_for_and_only_once(tmp_path, monkeypatch):
    saver = checkpoint.Saver(tmp_path, 2, background=True)

    def fails(*_):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(state_file, "write", fails)
        saver.save(1, state(1))
        with pytest.raises(OSError, match="after step 1 could not be saved"):
            saver.save(2, state(2))
    saver.save(3, state(3))
    saver.close()
    assert names(tmp_path) == ["state-00000003.pt"]


def test_a_saver_that_is_closed_has_ended_the_save_that_was_under_way(tmp_path):
    saver = checkpoint.Saver(tmp_path, 2, background=True)
    saver.pool.submit(time.sleep, 0.2)  # the disk is slow
    saver.save(1, state(1))
    saver.close()
    assert names(tmp_path) == ["state-00000001.pt"]


def test_nothing_saved_means_nothing_loaded(tmp_path):
    assert checkpoint.load_newest(tmp_path, pytest.fail) is None


def test_a_second_process_in_the_same_run_directory_is_refused_and_a_dead_one_does_not_block(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from cribo.training.engine.checkpoint import sole_owner\n"
        f"with sole_owner(Path({str(tmp_path)!r})):\n    print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(checkpoint.RunInUse, match=f"process {holder.pid}"), checkpoint.sole_owner(tmp_path):
            pass
        holder.kill()
        holder.wait()
    with checkpoint.sole_owner(tmp_path):
        pass


def test_what_a_dead_process_has_forked_does_not_hold_its_run_directory(tmp_path):
    code = (
        "import os, time; from pathlib import Path; from cribo.training.engine.checkpoint import sole_owner\n"
        f"with sole_owner(Path({str(tmp_path)!r})):\n"
        "    child = os.fork()\n"
        "    if child: time.sleep(0.2); print(child, flush=True)\n"  # as a loading process it lives on for a while
        "    time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as holder:
        child = int(holder.stdout.readline())
        holder.kill()
        holder.wait()
        with checkpoint.sole_owner(tmp_path):
            os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK])
def test_a_disk_without_locks_is_said_and_a_training_runs_there(tmp_path, monkeypatch, capsys, number):
    def refused(*_):
        raise OSError(number, "refused")

    monkeypatch.setattr(checkpoint.fcntl, "flock", refused)
    with checkpoint.sole_owner(tmp_path):
        assert "on a disk without file locks: see to it that no other process" in capsys.readouterr().err


@pytest.mark.parametrize(("made", "says"), [("link", "a link to .*scratch, where no folder is"), ("file", "no folder")])
def test_a_place_for_states_that_is_no_folder_is_one_sentence(tmp_path, made, says):
    place = tmp_path / ".resume"
    place.symlink_to(tmp_path / "scratch") if made == "link" else place.touch()
    with pytest.raises(ValueError, match=rf"\.resume is {says}, and states"), checkpoint.sole_owner(place / "run"):
        pass
