"""Checkpoints as files: whole or not at all, and a disk that refuses is named in Python's own words."""

import errno
import os

import pytest
import torch

from cribo.model.checkpoint_file import header, read_checkpoint, write_checkpoint

TENSORS = {"teacher.w": torch.arange(6.0).reshape(2, 3).T, "teacher.n": torch.tensor(3)}


def test_what_is_written_is_read_and_twice_the_same_bytes(tmp_path):
    for name in "ab":
        write_checkpoint(tmp_path / name, TENSORS, {"steps": 3, "dataset": "scenes"})
    tensors, described = read_checkpoint(tmp_path / "a")
    assert described == {"steps": 3, "dataset": "scenes"} and tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[key], value) for key, value in TENSORS.items())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.safetensors"
    write_checkpoint(path, TENSORS, {"steps": 1})
    before = path.read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left") as error:
        write_checkpoint(path, TENSORS, {"steps": 2})
    assert error.value.filename == str(path) and error.value.errno == errno.ENOSPC
    assert list(tmp_path.iterdir()) == [path] and path.read_bytes() == before


def test_a_folder_that_is_not_there_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError, match="missing"):
        write_checkpoint(tmp_path / "missing" / "c", TENSORS, {})


def test_a_checkpoint_that_names_its_backbone_only_is_of_an_earlier_version(tmp_path):
    write_checkpoint(tmp_path / "old.safetensors", TENSORS, {"settings": {"backbone": "vit_small_16"}})
    for read in (read_checkpoint, header):
        with pytest.raises(ValueError, match=r"old\.safetensors is of an earlier version"):
            read(tmp_path / "old.safetensors")
