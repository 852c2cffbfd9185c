"""Collectives, alone and between two processes."""

import os
import socket
import weakref
from contextlib import suppress
from functools import partial

import pytest
import torch
import torch.distributed as dist
from torch import nn

from cribo.training.engine.distributed import AllStop, World, data_parallel, join_world, pick_device
from tests.processes import Forks


def agree():
    with join_world("cpu") as world:
        r = world.rank
        x = torch.tensor([float(r + 1)])
        assert world.sum(x).item() == 3.0 and x.item() == r + 1
        assert world.gather(torch.full((2, 1, 3), r), dim=1)[:, :, 0].tolist() == [[0, 1], [0, 1]]
        flags = world.gather(torch.tensor([r == 0, False]), dim=0)
        assert flags.dtype == torch.bool and flags.tolist() == [True, False, False, False]
        assert world.any(r == 1) and not world.any(False)
        ids, marks = world.gather_all([torch.tensor([r, 9]), torch.tensor([[r == 0], [True], [False]])], [0, 1])
        assert ids.tolist() == [0, 9, 1, 9] and marks.tolist() == [[True, False], [True, True], [False, False]]
        assert world.broadcast(torch.tensor([r, 5]), source=1).tolist() == [1, 5]
        assert world.gather_objects({"rank": r}) == [{"rank": 0}, {"rank": 1}]
        world.barrier()
        if world.main:
            print("fine")


def test_two_processes_sum_gather_and_agree():
    processes = Forks(agree, 2)
    out, err = processes.communicate()
    assert processes.returncode == 0 and out == "fine\n", err


class Crossed(nn.Module):
    """Gradients come in another order than DDP expects from that of the parameters."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList(nn.Linear(17, 17) for _ in range(8))

    def forward(self, x):
        for n in (3, 0, 6, 1, 7, 2, 5, 4):
            x = self.layers[n](x).tanh()
        return x


def gradients(parallel, world):
    x = torch.randn(5, 17, generator=torch.Generator().manual_seed(world.rank))
    parallel(x).square().sum().backward()
    found = torch.cat([p.grad.flatten() for p in parallel.parameters()])
    parallel.zero_grad(set_to_none=True)
    return found


def restart():
    with join_world("cpu") as world:
        going, started = (data_parallel(Crossed(), world) for _ in range(2))
        first, second, third = (gradients(going, world) for _ in range(3))
        assert torch.equal(first, second) and torch.equal(first, third) and torch.equal(first, gradients(started, world))
        assert torch.allclose(first, world.sum(gradients(Crossed(), world)) / 3) and first.abs().max() > 0
        world.barrier()


def test_three_processes_sum_gradients_to_the_same_bits_in_the_first_step_after_a_start_as_in_any_other():
    forks = Forks(restart, 3)
    _, err = forks.communicate()
    assert forks.returncode == 0, err


def leave(stop: bool):
    held = []  # as a traceback holds what a training that stops was working with
    with pytest.raises(AllStop) if stop and os.environ["RANK"] == "0" else suppress(SystemExit), join_world("cpu") as world:
        held += [data_parallel(nn.Linear(3, 3), world), dist.group.WORLD]
        of_ddp = weakref.ref(held[0].reducer), weakref.ref(held[0].logger)
        if world.any(stop):
            raise AllStop
    assert not dist.is_initialized() and [x() for x in of_ddp] == [None, None]


@pytest.mark.parametrize("stop", [False, True])
def test_ddp_holds_the_group_no_longer_when_it_is_left(stop):
    """It would free it with Python's lock in hand, and one process in ten would wait for ever on a busy machine."""
    forks = Forks(partial(leave, stop), 2)
    _, err = forks.communicate()
    assert forks.returncode == 0, err


def fail(error):
    with join_world("cpu") as world:
        world.barrier()  # both have joined
        if world.main:
            raise error
        world.barrier()


@pytest.mark.parametrize("error", [ConnectionResetError(104, "Connection reset by peer"), ValueError("no such thing")])
def test_the_process_that_fails_says_why_and_the_other_that_it_has_lost_it(error):
    forks = Forks(partial(fail, error), 2)
    _, said = forks.communicate()
    assert forks.returncode and f"process 0 of 2 on {socket.gethostname()} stops: {type(error).__name__}: {error}" in said
    assert "process 1 of 2" in said and "process 0 of 2 has lost" not in said


def test_alone_collectives_give_back_what_they_get():
    world, x = World(0, 1, torch.device("cpu")), torch.randn(3)
    assert world.sum(x) is x and world.gather(x, 0) is x
    assert world.gather_all([x], [0])[0] is x and world.broadcast(x, 0) is x and world.gather_objects("a") == ["a"]
    world.barrier()


def test_a_wished_gpu_that_is_not_there_is_one_sentence(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto") == pick_device("cpu") == torch.device("cpu")
    with pytest.raises(ValueError, match="torch sees no GPU"):
        pick_device("cuda")


@pytest.mark.parametrize(("given", "index"), [({}, 0), ({"LOCAL_RANK": "3"}, 3)])
def test_each_process_of_a_machine_has_a_gpu_of_its_own_and_none_where_that_is_asked_for(monkeypatch, given, index):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    for key, value in given.items():
        monkeypatch.setenv(key, value)
    assert pick_device("auto") == pick_device("cuda") == torch.device("cuda", index)
    assert pick_device("cpu") == torch.device("cpu")
