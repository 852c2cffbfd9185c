"""A bank spread over processes answers like one bank, however it is filled and whoever saved it."""

from dataclasses import fields

import pytest
import torch

from cribo.method import sharded_bank
from cribo.method.memory_bank import MemoryBank, Neighbours, push, retrieve
from cribo.method.oracle import WORDS
from cribo.method.sharded_bank import SLOTS, ShardedBank, push_sharded, retrieve_sharded
from tests.method.ranks import on_ranks

S, K, D, G = 12, 3, 5, 6


def batches(count):
    """Objects along the axes: similarities of −1, 0 and 1 without rounding, so that most are exact ties."""
    generator = torch.Generator().manual_seed(0)
    for step in range(count):
        axis = torch.randint(0, D, (2, G, K), generator=generator)
        length = torch.tensor([-2.0, 1.0, 3.0])[torch.randint(0, 3, (2, G, K), generator=generator)]
        objects = torch.nn.functional.one_hot(axis, D) * length[..., None]
        yield objects, torch.rand(G, K, generator=generator) > 0.3, torch.arange(G) + G * step


def own(ids):
    """Queries of images that the bank holds under the same id, now and then."""
    return ids - G * (ids % 3 == 0)


def classes(ids):
    return (ids[:, None] * torch.arange(1, K + 1) % 7)[..., None] - torch.arange(WORDS)


def one_bank(steps):
    bank, answers = MemoryBank.empty(S, K, D), []
    for objects, valid, ids in batches(steps):
        answers.append(retrieve(bank, objects, valid, own(ids)))
        push(bank, objects, valid, ids, classes(ids))
    return bank, answers


def shards(steps):
    def work(world):
        bank, share = ShardedBank.empty(S, K, D, world), G // world.size
        ours, answers = slice(world.rank * share, (world.rank + 1) * share), []
        for objects, valid, ids in batches(steps):
            answers.append(retrieve_sharded(bank, objects, valid, ours, own(ids)))
            push_sharded(bank, objects, valid, ids, classes(ids))
        return bank, answers, sharded_bank.whole(bank)

    return work


@pytest.mark.parametrize("size", [1, 2, 3])
def test_neighbours_and_contents_are_those_of_one_bank_while_it_fills_and_after_it_wraps(size):
    bank, answers = one_bank(steps=5)  # 30 images through 12 slots
    results = on_ranks(size, shards(steps=5))
    for step, expected in enumerate(answers):
        for field in fields(Neighbours):
            got = torch.cat([getattr(result[1][step], field.name) for result in results], dim=1)
            assert torch.equal(got, getattr(expected, field.name)), (step, field.name)
    saved = results[0][2]  # process 0's alone
    assert saved["pushed"] == bank.pushed and not any(result[2] for result in results[1:])
    assert all(torch.equal(saved[name], getattr(bank, name)) for name in SLOTS)


def test_every_tensor_of_a_bank_is_spread_and_saved():
    tensors = {name for name, value in vars(MemoryBank.empty(S, K, D)).items() if torch.is_tensor(value)}
    assert tensors == set(SLOTS)


@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 2), (2, 1)])
def test_a_bank_saved_by_some_processes_goes_on_on_others(before, after):
    saved = on_ranks(before, shards(steps=3))[0][2]

    def work(world):
        bank = ShardedBank.empty(S, K, D, world)
        sharded_bank.restore(bank, saved)
        for objects, valid, ids in list(batches(4))[3:]:  # half of the slots still hold what was restored
            push_sharded(bank, objects, valid, ids, classes(ids))
        return sharded_bank.whole(bank)

    bank, _ = one_bank(steps=4)
    result = on_ranks(after, work)[0]
    assert all(torch.equal(result[name], getattr(bank, name)) for name in SLOTS) and result["pushed"] == bank.pushed


def test_slots_that_the_processes_do_not_divide_are_refused_with_the_key_to_change():
    with pytest.raises(ValueError, match=r"memory_bank.images.*compute.shard_bank"):
        on_ranks(5, lambda world: ShardedBank.empty(S, K, D, world))
