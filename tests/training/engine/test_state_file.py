"""One state file: whole or not there; damage is told from a disk that does not answer, and a full disk from other errors."""

import errno
import os
import zipfile
from pathlib import Path

import pytest
import torch

from cribo.training.engine import state_file
from cribo.training.engine.state_file import Damaged
from tests.training.runs import same

STATE = {"step": 3, "x": torch.arange(20.0), "optimiser": {"groups": [1, 2], "moment": torch.ones(3)}}


def test_what_was_written_is_read(tmp_path):
    state_file.write(tmp_path / "a.pt", STATE)
    same(state_file.read(tmp_path / "a.pt"), STATE)
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt"]


def test_a_state_is_on_the_disk_as_a_whole_before_it_has_its_name_and_its_name_before_the_write_ends(tmp_path, monkeypatch):
    done, fsync, replace = [], os.fsync, os.replace

    def synced(file):
        path = Path(os.readlink(f"/proc/self/fd/{file}"))
        done.append((path.name, path.stat().st_size if path.is_file() else None))
        fsync(file)

    def renamed(old, new):
        done.append("renamed")
        replace(old, new)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    folder = tmp_path / "run"
    folder.mkdir()
    state_file.write(folder / "a.pt", STATE)
    assert done == [("a.partial", (folder / "a.pt").stat().st_size), "renamed", ("run", None)]


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_flipped_bit_in_a_record_is_found_or_changes_nothing_and_none_is_taken_for_an_error_of_the_system(tmp_path):
    path, found = tmp_path / "a.pt", 0
    state_file.write(path, STATE)
    whole = path.read_bytes()
    table = whole.index(b"PK\x01\x02")
    for place in range(0, len(whole), 3):
        data = bytearray(whole)
        data[place] ^= 1 << place % 8
        path.write_bytes(data)
        try:
            read = state_file.read(path)
            if place < table:
                same(read, STATE)
        except Damaged:
            found += 1
    assert found > len(whole) / 3 / 3


def test_a_state_that_a_gpu_wrote_is_read_into_the_hosts_memory_and_checked_without_a_gpu(tmp_path):
    state_file.write(tmp_path / "host.pt", STATE)
    with zipfile.ZipFile(tmp_path / "host.pt") as host, zipfile.ZipFile(tmp_path / "gpu.pt", "w") as gpu:
        for name in host.namelist():
            data = host.read(name)  # in the pickle stands where a tensor was, as a string with its length before it
            gpu.writestr(name, data.replace(b"X\3\0\0\0cpu", b"X\6\0\0\0cuda:0") if name.endswith("data.pkl") else data)
    assert b"cuda:0" in (tmp_path / "gpu.pt").read_bytes()
    state_file.check(tmp_path / "gpu.pt")
    same(read := state_file.read(tmp_path / "gpu.pt"), STATE)
    assert read["x"].device.type == "cpu"


def test_a_check_holds_nothing_in_memory(tmp_path, monkeypatch):
    state_file.write(tmp_path / "a.pt", STATE)
    loaded, load = [], torch.load
    monkeypatch.setattr(torch, "load", lambda *args, **more: loaded.append(load(*args, **more)))
    state_file.check(tmp_path / "a.pt")
    assert loaded[0]["x"].is_meta and loaded[0]["optimiser"]["moment"].is_meta


@pytest.mark.parametrize("length", [0, 10, 500, -1])
def test_a_file_that_is_too_short_is_damaged(tmp_path, length):
    state_file.write(tmp_path / "a.pt", STATE)
    (tmp_path / "a.pt").write_bytes((tmp_path / "a.pt").read_bytes()[:length])
    with pytest.raises(Damaged):
        state_file.check(tmp_path / "a.pt")


def test_a_disk_that_does_not_answer_says_nothing_of_the_file(tmp_path, monkeypatch):
    state_file.write(tmp_path / "a.pt", STATE)

    def fails(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(zipfile.ZipFile, "testzip", fails)
    with pytest.raises(OSError, match="Input/output error") as error:
        state_file.read(tmp_path / "a.pt")
    assert error.value.errno == errno.EIO


def test_a_write_that_the_disk_does_not_take_raises_the_systems_error_and_leaves_nothing(tmp_path):
    (tmp_path / "a.partial").symlink_to("/dev/full")
    with pytest.raises(OSError) as error:
        state_file.write(tmp_path / "a.pt", {"x": torch.zeros(1_000_000)})
    assert error.value.errno == errno.ENOSPC and not list(tmp_path.iterdir())


class OnABrokenDevice:
    """Cannot be brought to the host."""

    def __reduce__(self):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")


def test_an_error_of_the_device_while_a_state_is_written_stays_what_it_is(tmp_path):
    with pytest.raises(RuntimeError, match="CUDA error"):
        state_file.write(tmp_path / "a.pt", {"x": OnABrokenDevice()})
    assert not list(tmp_path.iterdir())


class OnAFullDisk:
    """What torch's writer says as it closes a file that the disk did not take whole."""

    def __init__(self, said: bool):
        self.said = said

    def __reduce__(self):
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as error:
            if self.said:
                raise RuntimeError("unexpected pos 704 vs 598") from error
            raise RuntimeError("unexpected pos 704 vs 598")  # noqa: B904


@pytest.mark.parametrize("said", [True, False])
def test_an_error_that_stands_for_the_systems_is_told_as_the_systems(tmp_path, said):
    with pytest.raises(OSError, match="No space left") as error:
        state_file.write(tmp_path / "a.pt", {"x": OnAFullDisk(said)})
    assert error.value.errno == errno.ENOSPC and not list(tmp_path.iterdir())
