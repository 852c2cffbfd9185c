"""Saved states: whole or not there, verified, the one before kept."""

import subprocess
import sys

import pytest
import torch

from cribo.training import checkpoint


def state(n):
    return {"step": n, "x": torch.full((1000,), float(n))}


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


def test_a_write_that_was_cut_off_is_not_taken_for_a_state(tmp_path):
    checkpoint.save(tmp_path, 1, state(1))
    (tmp_path / "state-00000002.partial").write_bytes(b"PK half a file")
    assert checkpoint.load_newest(tmp_path, pytest.fail)["step"] == 1


def test_nothing_saved_means_nothing_loaded(tmp_path):
    assert checkpoint.load_newest(tmp_path, pytest.fail) is None


def test_a_second_process_in_the_same_run_directory_is_refused_and_a_dead_one_does_not_block(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from cribo.training.checkpoint import sole_owner\n"
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
