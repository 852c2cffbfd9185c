"""No file runs anything: what a malicious one asks for is named and not done."""

import argparse
import os
import pickle
import re
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from cribo.model.encoder import EncoderError
from cribo.model.foreign.read import read
from tests.model.foreign.published import write_flax


class Malicious:
    """Unpickling it makes a folder."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def test_pickle_itself_would_run_it(tmp_path):
    pickle.loads(pickle.dumps(Malicious(tmp_path / "run")))
    assert (tmp_path / "run").exists()


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("where", ["weights", "args"])
def test_a_malicious_pickle_never_runs_and_is_named(zipped, where, tmp_path):
    evil = Malicious(tmp_path / "run")
    tree = {"teacher": {"w": evil if where == "weights" else torch.zeros(1)}}
    tree["args"] = argparse.Namespace(hidden=evil) if where == "args" else None
    torch.save(tree, tmp_path / "evil.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(EncoderError, match=r"evil\.pth asks for (posix|os)\.mkdir to be called") as error:
        read(tmp_path / "evil.pth")
    assert not (tmp_path / "run").exists() and len(str(error.value).splitlines()) == 1


def test_a_plain_malicious_pickle_never_runs(tmp_path):
    (tmp_path / "evil.bin").write_bytes(pickle.dumps(Malicious(tmp_path / "run"), protocol=2))
    with pytest.raises(EncoderError):
        read(tmp_path / "evil.bin")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("core", ["numpy.core", "numpy._core"])
def test_the_numbers_of_a_numpy_schedule_are_read_as_pythons(core, tmp_path):
    group = {"lr": np.float64(5e-4), "weight_decay": np.float32(0.5), "step": np.int64(7)}
    torch.save({"optimizer": group, "w": torch.ones(2)}, tmp_path / "new.pth", _use_new_zipfile_serialization=False)
    written = (tmp_path / "new.pth").read_bytes()
    assert b"numpy._core.multiarray" in written  # as numpy 2 spells what was numpy.core
    (tmp_path / "old.pth").write_bytes(written.replace(b"numpy._core", core.encode()))
    found = read(tmp_path / "old.pth")["optimizer"]
    assert found == {"lr": 5e-4, "weight_decay": 0.5, "step": 7} and {type(v) for v in found.values()} == {float, int}


class Scalar:
    """Unpickling it calls what makes numpy's scalars, with these arguments."""

    def __init__(self, *arguments):
        self.arguments = arguments

    def __reduce__(self):
        return np.float64(0).__reduce__()[0], self.arguments


@pytest.mark.parametrize("arguments", [(np.dtype("O"), b"12345678"), (np.dtype("f8"), b"1"), ("f8", b"12345678")])
def test_a_scalar_that_is_no_number_is_one_sentence(arguments, tmp_path):
    torch.save({"lr": Scalar(*arguments)}, tmp_path / "odd.pth")
    with pytest.raises(EncoderError, match=r"odd\.pth is damaged or") as error:
        read(tmp_path / "odd.pth")
    assert len(str(error.value).splitlines()) == 1


def test_of_objects_argparses_namespace_alone_is_let_through(tmp_path):
    torch.save({"args": argparse.Namespace(lr=1.0), "w": torch.ones(2)}, tmp_path / "old.pth")
    before = set(torch.serialization.get_safe_globals())
    assert read(tmp_path / "old.pth")["args"].lr == 1.0
    assert set(torch.serialization.get_safe_globals()) == before  # let through for this file alone
    torch.save({"args": re.compile("x")}, tmp_path / "other.pth")
    with pytest.raises(EncoderError, match=r"asks for re\._compile"):
        read(tmp_path / "other.pth")


def test_kinds_are_told_apart_by_content_not_by_name(tmp_path):
    w = {"w": torch.arange(6.0).view(2, 3)}
    torch.save(w, tmp_path / "a.safetensors")
    torch.save(w, tmp_path / "b.npz", _use_new_zipfile_serialization=False)
    save_file(w, tmp_path / "c.pth")
    write_flax({"w": w["w"].numpy()}, tmp_path / "d.pt")
    for name in ("a.safetensors", "b.npz", "c.pth", "d.pt"):
        assert torch.equal(read(tmp_path / name)["w"], w["w"]), name


@pytest.mark.parametrize("write", ["zip", "legacy", "safetensors", "flax"])
def test_a_truncated_file_is_one_sentence(write, tmp_path):
    path, w = tmp_path / "short", {"w": torch.zeros(1000)}
    if write == "safetensors":
        save_file(w, path)
    elif write == "flax":
        write_flax({"w": w["w"].numpy()}, path)
    else:
        torch.save(w, path, _use_new_zipfile_serialization=write == "zip")
    path.write_bytes(path.read_bytes()[:-700])
    with pytest.raises(EncoderError, match="short is damaged") as error:
        read(path)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (pickle.dumps({"a": 1}, 4), "more than tensors and plain values (Unsupported operand 149): not read"),
        (pickle.dumps({"a": list(range(99))}, 2)[:50], "is damaged or not a file of weights ("),
        (b"\x80\x02}q\x00X\x05", "is damaged or not a file of weights (unpack requires a buffer of 4 bytes): fetch it"),
        (b"PK\3\4" + bytes(200), "failed finding central directory): fetch it again"),
    ],
)
def test_of_what_torch_says_its_advice_is_left_out(tmp_path, content, says):
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(EncoderError, match=re.escape(says)) as error:
        read(tmp_path / "w.pth")
    assert len(str(error.value).splitlines()) == 1 and len(str(error.value)) < 200 + len(str(tmp_path))


@pytest.mark.parametrize("zipped", [True, False])
def test_weights_that_a_gpu_saved_are_read_into_the_hosts_memory_where_there_is_none(zipped, tmp_path):
    torch.save({"w": torch.arange(3.0)}, tmp_path / "host.pth", _use_new_zipfile_serialization=zipped)
    place, other = b"X\3\0\0\0cpu", b"X\6\0\0\0cuda:0"  # where a tensor was: a string with its length before it
    if zipped:
        with zipfile.ZipFile(tmp_path / "host.pth") as host, zipfile.ZipFile(tmp_path / "gpu.pth", "w") as gpu:
            for name in host.namelist():
                gpu.writestr(name, host.read(name).replace(place, other))
    else:
        (tmp_path / "gpu.pth").write_bytes((tmp_path / "host.pth").read_bytes().replace(place, other))
    assert b"cuda:0" in (tmp_path / "gpu.pth").read_bytes()
    w = read(tmp_path / "gpu.pth")["w"]
    assert w.device.type == "cpu" and w.tolist() == [0.0, 1.0, 2.0]


@pytest.mark.parametrize("kind", ["e", "f", "d", "b", "h", "i", "q", "B", "H", "I", "?"])
def test_an_array_of_numbers_of_any_width_is_read_from_flaxs_file(kind, tmp_path):
    array = np.array([[0, 1, 100], [7, 0, 3]]).astype(kind)
    write_flax({"w": array, "steps": {0: array[0]}}, tmp_path / "w")  # a key may be a number
    found = read(tmp_path / "w")
    for got, expected in ((found["w"], array), (found["steps"][0], array[0])):
        assert got.numpy().dtype == array.dtype and np.array_equal(got.numpy(), expected)


def test_arrays_that_numpy_would_build_objects_of_are_refused(tmp_path):
    write_flax({"w": np.zeros(3, "datetime64[s]")}, tmp_path / "w")
    with pytest.raises(EncoderError, match="an array of datetime64"):
        read(tmp_path / "w")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot be read: No such file"),
        (b"", "x is empty"),
        (b"GIF89a...", "x is text, not weights"),
        ("<html>é".encode() * 200, "x is text, not weights"),
    ],
)
def test_what_is_no_file_of_weights_is_one_sentence(content, says, tmp_path):
    if content is not None:
        (tmp_path / "x").write_bytes(content)
    with pytest.raises(EncoderError, match=says) as error:
        read(tmp_path / "x")
    assert len(str(error.value).splitlines()) == 1
