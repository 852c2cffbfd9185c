"""A bank spread over processes answers like one bank, however it is filled and whoever saved it."""

from dataclasses import fields

import pytest
import torch

from cribo.method import sharded_bank
from cribo.method.memory_bank import MemoryBank, Neighbours, push, retrieve
from cribo.method.sharded_bank import SLOTS, ShardedBank, push_sharded, retrieve_sharded
from tests.threads import together

S, K, D, G = 12, 3, 5, 6


def batches(count):
    """Objects with many exact ties: few distinct directions."""
    generator = torch.Generator().manual_seed(0)
    for step in range(count):
        objects = torch.randint(-1, 2, (2, G, K, D), generator=generator).float()
        yield objects, torch.rand(G, K, generator=generator) > 0.3, torch.arange(G) + G * step


def one_bank(steps):
    bank, answers = MemoryBank.empty(S, K, D), []
    for objects, valid, ids in batches(steps):
        answers.append(retrieve(bank, objects))
        push(bank, objects, valid, ids)
    return bank, answers


def shards(steps):
    def work(world):
        bank, share = ShardedBank.empty(S, K, D, world), G // world.size
        ours, answers = slice(world.rank * share, (world.rank + 1) * share), []
        for objects, valid, ids in batches(steps):
            answers.append(retrieve_sharded(bank, objects, ours, world))
            push_sharded(bank, objects, valid, ids, world)
        return bank, answers, sharded_bank.whole(bank, world, keep=True)

    return work


@pytest.mark.parametrize("size", [1, 2, 3])
def test_neighbours_and_contents_are_those_of_one_bank_while_it_fills_and_after_it_wraps(size):
    bank, answers = one_bank(steps=5)  # 30 images through 12 slots
    results = together(size, shards(steps=5))
    for step, expected in enumerate(answers):
        for field in fields(Neighbours):
            got = torch.cat([result[1][step].__getattribute__(field.name) for result in results], dim=1)
            assert torch.equal(got, getattr(expected, field.name)), (step, field.name)
    for *_, saved in results:
        assert saved["pushed"] == bank.pushed
        assert all(torch.equal(saved[name], getattr(bank, name)) for name in SLOTS)


def test_every_tensor_of_a_bank_is_spread_and_saved():
    tensors = {name for name, value in vars(MemoryBank.empty(S, K, D)).items() if torch.is_tensor(value)}
    assert tensors == set(SLOTS)


@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 2), (2, 1)])
def test_a_bank_saved_by_some_processes_goes_on_on_others(before, after):
    saved = together(before, shards(steps=3))[0][2]

    def work(world):
        bank = ShardedBank.empty(S, K, D, world)
        sharded_bank.restore(bank, saved, world)
        for objects, valid, ids in list(batches(5))[3:]:
            push_sharded(bank, objects, valid, ids, world)
        return sharded_bank.whole(bank, world, keep=True)

    bank, _ = one_bank(steps=5)
    for result in together(after, work):
        assert all(torch.equal(result[name], getattr(bank, name)) for name in SLOTS) and result["pushed"] == bank.pushed


def test_slots_that_the_processes_do_not_divide_are_refused_with_the_key_to_change():
    with pytest.raises(ValueError, match=r"memory_bank.images.*compute.shard_bank"):
        together(5, lambda world: ShardedBank.empty(S, K, D, world))
