"""Collectives, alone and between two processes."""

import pytest
import torch

from cribo.training.distributed import World, join_world, pick_device
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
        world.barrier()
        if world.main:
            print("fine")


def test_two_processes_sum_gather_and_agree():
    processes = Forks(agree, 2)
    out, err = processes.communicate()
    assert processes.returncode == 0 and out == "fine\n", err


def test_alone_collectives_give_back_what_they_get():
    world, x = World(0, 1, torch.device("cpu")), torch.randn(3)
    assert world.sum(x) is x and world.gather(x, 0) is x
    assert world.gather_all([x], [0])[0] is x


def test_a_wished_gpu_that_is_not_there_is_one_sentence(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto") == pick_device("cpu") == torch.device("cpu")
    with pytest.raises(ValueError, match="torch sees no GPU"):
        pick_device("cuda")
