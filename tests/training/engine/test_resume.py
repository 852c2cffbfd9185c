"""A training that is stopped goes on, on all processes from one state, and ends like an undisturbed one, bit for bit."""

import json
import os
import signal
import time
import weakref
from functools import partial

import pytest
import torch

from cribo.training import loop
from cribo.training.engine import checkpoint, resume
from cribo.training.engine.distributed import join_world
from cribo.training.engine.log import PACE
from cribo.training.engine.resume import CannotResume
from cribo.training.loop import train
from cribo.training.optimiser import set_hyperparameters
from cribo.training.state import TrainingState, initial_state
from tests.processes import Forks
from tests.training.runs import ALONE, finish, flat, made, result, same, start


@pytest.fixture
def long(settings, compute):
    """60 steps, and a state every fifth."""
    settings["optimisation"]["epochs"] = 20
    return settings, compute.model_copy(update={"checkpoint_steps": 5})


@pytest.fixture(scope="module")
def whole():
    """Undisturbed runs by number of processes, made once."""
    return {}


def wait_for_step(folder, step, process):
    while not (folder / f"state-{step:08d}.pt").exists():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("processes", "workers", "stop"),
    [(1, 0, signal.SIGKILL), (1, 2, signal.SIGTERM), (2, 0, signal.SIGTERM), (2, 2, signal.SIGKILL)],
)
def test_stopping_at_step_25_of_60_changes_no_bit(tmp_path, long, photos, whole, processes, workers, stop):
    settings, compute = long
    if processes not in whole:
        finish(start(tmp_path, {"whole": (settings, compute)}, photos, processes))
        whole[processes] = result(tmp_path, "whole"), journal(tmp_path / "whole")
    expected, lines = whole[processes]

    folder, job = tmp_path / "cut", {"cut": (settings, compute.model_copy(update={"workers": workers}))}
    lone_death = stop == signal.SIGKILL and processes > 1
    process = start(tmp_path, job, photos, processes, torchrun=lone_death)
    wait_for_step(folder, 25, process)
    if lone_death:
        os.kill(int((folder / "pid-1").read_text()), stop)  # torchrun must end the others with it
    else:
        process.send_signal(stop)
    killed = time.monotonic()
    _, said = process.communicate(timeout=60)
    assert time.monotonic() - killed < 60 and process.returncode != 0 and not (tmp_path / "cut.pt").exists()
    assert ("stopped by SIGTERM after step" in said) == (stop == signal.SIGTERM)
    if lone_death:
        assert "Signal 9 (SIGKILL)" in said and "rank      : 1" in said  # torchrun names the first to fail
        assert "has lost its peers" in said

    assert "resuming after step" in finish(start(tmp_path, job, photos, processes))
    same(result(tmp_path, "cut") | {"accepted": []}, expected | {"accepted": []})
    assert journal(folder) == lines and len(lines) == 60


def journal(folder):
    """metrics.jsonl without the speed."""
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [{key: value for key, value in line.items() if key != PACE} for line in lines]


def test_a_truncated_newest_state_is_named_and_the_one_before_leads_to_the_same_end(
    tmp_path, settings, photos, compute, capfd
):
    records, folder = list(photos.splits["train"]), made(tmp_path / "run")
    expected = train(settings, records, folder, compute, ALONE).to_dict()
    newest = sorted(folder.glob("state-*.pt"))[-1]
    newest.write_bytes(newest.read_bytes()[:-1000])
    again = train(settings, records, folder, compute, ALONE).to_dict()
    said = capfd.readouterr().err
    assert f"{newest.name} is damaged" in said and "resuming after step 8 of 9" in said
    same(again, expected)


def test_a_training_of_whose_states_none_is_whole_does_not_begin_anew(tmp_path, settings, photos, compute):
    records, folder = list(photos.splits["train"]), made(tmp_path / "run")
    train(settings, records, folder, compute, ALONE)
    for path in folder.glob("state-*.pt"):
        path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(CannotResume, match=r"no state in .* is intact .* remove the folder to start from scratch"):
        train(settings, records, folder, compute, ALONE)


def go_on(folders, only_main=False):
    """Resume from the folder of this process; the step that it reaches comes into reached-RANK there."""
    with join_world("cpu") as world:
        if only_main and not world.main:
            checkpoint.load_newest = None  # nobody else tidies up or chooses
        folder, reached = folders[world.rank], []
        resume.resume(folder, world, reached.append)
        (folder / f"reached-{world.rank}").write_text(str([saved["step"] for saved in reached]))


def test_the_main_process_alone_tidies_up_and_chooses_what_all_load(tmp_path):
    for step in (4, 6):
        path = checkpoint.save(tmp_path, step, {"step": step})
    path.write_bytes(path.read_bytes()[:-100])
    (tmp_path / "state-00000008.partial").touch()
    processes = Forks(partial(go_on, [tmp_path] * 2, only_main=True), 2)
    _, said = processes.communicate()
    assert processes.returncode == 0 and said.count("was cut off") == said.count("is damaged") == 1, said
    assert [(tmp_path / f"reached-{rank}").read_text() for rank in range(2)] == ["[4]", "[4]"]


@pytest.mark.parametrize(("other", "what"), [(None, "No such file"), (0, "finds step 0 in it"), ("cut", "cannot read it (")])
def test_processes_that_do_not_find_the_same_state_end_with_one_sentence(tmp_path, other, what):
    folders = [made(tmp_path / f"disk{rank}") for rank in range(2)]
    checkpoint.save(folders[0], 6, {"step": 6})
    if other is not None:
        path = checkpoint.save(folders[1], 6, {"step": 6 if other == "cut" else other})
    if other == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    processes = Forks(partial(go_on, folders), 2)
    _, said = processes.communicate()
    assert processes.poll() and not list(tmp_path.glob("*/reached-*"))
    assert said.count("the folder must be on a disk that all processes share") == 1 and what in said, said
    assert f"goes on from {folders[0]}/state-00000006.pt and process 1 of 2" in said


def test_processes_that_find_no_whole_state_end_with_one_sentence(tmp_path):
    checkpoint.save(tmp_path, 6, {"step": 6}).write_bytes(b"")
    processes = Forks(partial(go_on, [tmp_path] * 2), 2)
    _, said = processes.communicate()
    assert processes.poll() and said.count("no state in") == 1 and "lost its peers" not in said, said


def test_neither_a_loaded_nor_a_saved_state_stays_in_memory_beside_that_of_the_training(
    tmp_path, settings, photos, compute, monkeypatch
):
    records, folder = list(photos.splits["train"]), made(tmp_path / "run")
    train(settings, records, folder, compute.model_copy(update={"keep_states": 9}), ALONE)
    for path in folder.glob("state-*[!2].pt"):
        path.unlink()
    passed, alive = [], []
    restore, to_dict, advance = TrainingState.restore, TrainingState.to_dict, loop.advance

    def noting_restore(self, saved):
        passed.append(weakref.ref(saved["student"]["head.mlp.0.weight"]))
        restore(self, saved)

    def noting_to_dict(self):
        put_together = to_dict(self) | {"gathered": torch.zeros(3)}  # as a bank spread over processes is
        passed.append(weakref.ref(put_together["gathered"]))
        return put_together

    def noting_advance(*args):
        alive.append(sum(reference() is not None for reference in passed))
        return advance(*args)

    monkeypatch.setattr(TrainingState, "restore", noting_restore)
    monkeypatch.setattr(TrainingState, "to_dict", noting_to_dict)
    monkeypatch.setattr(loop, "advance", noting_advance)
    train(settings, records, folder, compute, ALONE)
    assert len(passed) == 5 and alive == [0] * 7  # step 2 was loaded; 4, 6, 8 and 9 are saved


def test_the_state_holds_every_tensor_that_a_training_carries_from_step_to_step(tmp_path, settings, photos, compute):
    state = train(settings, list(photos.splits["train"]), made(tmp_path / "run"), compute, ALONE)
    held = flat(state.to_dict())
    carried = {
        **{f"{role}.{name}.": x for role in ("student", "teacher") for name, x in everything(getattr(state, role))},
        **{f"centres.{name}.": x for name, x in vars(state.centres).items()},
        **{f"bank.{name}.": x for name, x in vars(state.bank).items() if torch.is_tensor(x)},
    }
    moments = [x for moments in state.optimiser.state.values() for x in moments.values()]
    tensors = {key: x for key, x in held.items() if torch.is_tensor(x)}
    assert {x.data_ptr() for x in tensors.values()} == {x.data_ptr() for x in [*carried.values(), *moments]}
    assert carried.keys() == {key for key in tensors if not key.startswith("optimiser.")}
    numbers = {key for key, x in held.items() if not torch.is_tensor(x) and not key.startswith("optimiser.param_groups")}
    assert numbers == {"bank.pushed.", "step."}


def everything(module):
    """All parameters and buffers, those left out of a state_dict included."""
    return [*module.named_parameters(), *module.named_buffers()]


def test_a_restored_state_is_the_saved_one(tmp_path, settings, photos, compute):
    state = train(settings, list(photos.splits["train"]), made(tmp_path / "run"), compute, ALONE)
    other = initial_state(settings, ALONE.device)
    set_hyperparameters(other.optimiser, 1.0, 1.0)
    other.restore(checkpoint.load_newest(tmp_path / "run", pytest.fail))
    same(other.to_dict(), state.to_dict())
