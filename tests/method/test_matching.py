"""Cycle consistency against a search object by object."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cribo.method.matching import accept
from cribo.method.memory_bank import MemoryBank, push, retrieve
from tests.method.ranks import on_ranks


def slow_accept(objects, valid, partners, found, pool):
    _, images, K, _ = objects.shape
    out = torch.zeros(2, images, K, dtype=torch.bool)
    for view in range(2):
        for b in range(images):
            for k in range(K):
                if not (valid[b, k] and found[view, b, k]):
                    continue
                group = range(b // pool * pool, b // pool * pool + pool)
                scores = {
                    (i, j): torch.cosine_similarity(partners[view, b, k], objects[1 - view, i, j], dim=0).item()
                    for i in group
                    for j in range(K)
                    if valid[i, j]
                }
                out[view, b, k] = max(scores, key=scores.get) == (b, k)
    return out


@settings(max_examples=25, deadline=None)
@given(st.sampled_from([1, 2, 4]), st.integers(0, 100))
def test_acceptance_equals_the_search_object_by_object(pool, seed):
    g = torch.Generator().manual_seed(seed)
    objects, partners = torch.randn(2, 4, 3, 6, generator=g), torch.randn(2, 4, 3, 6, generator=g)
    partners = torch.nn.functional.normalize(partners + 2 * objects.flip(0), dim=-1)
    valid, found = torch.rand(4, 3, generator=g) < 0.7, torch.rand(2, 4, 3, generator=g) < 0.8
    assert torch.equal(
        accept(objects, valid, partners, found, "cycle", pool), slow_accept(objects, valid, partners, found, pool)
    )


def test_objects_that_are_their_own_neighbours_are_all_accepted():
    g = torch.Generator().manual_seed(0)
    objects = torch.randn(1, 4, 3, 16, generator=g).expand(2, -1, -1, -1)
    valid = torch.rand(4, 3, generator=g) < 0.7
    bank = MemoryBank.empty(4, 3, 16)
    push(bank, objects, valid, torch.arange(4))
    found = retrieve(bank, objects, valid)
    accepted = accept(objects, valid, found.partners, found.found, "cycle", 4)
    assert torch.equal(accepted, valid.expand(2, -1, -1))


def test_a_bank_of_noise_is_rarely_accepted():
    g = torch.Generator().manual_seed(0)
    objects, noise = torch.randn(2, 16, 8, 32, generator=g), torch.rand(2, 64, 8, 32, generator=g)
    everything = torch.ones(16, 8, dtype=torch.bool)
    bank = MemoryBank.empty(64, 8, 32)
    push(bank, noise, torch.ones(64, 8, dtype=torch.bool), torch.arange(64))
    found = retrieve(bank, objects, everything)
    assert accept(objects, everything, found.partners, found.found, "cycle", 16).float().mean() < 0.1


def test_without_a_criterion_every_object_with_a_neighbour_is_accepted():
    valid, found = torch.tensor([[True, False]]), torch.tensor([[[True, True]], [[False, True]]])
    blank = torch.zeros(2, 1, 2, 3)
    assert accept(blank, valid, blank, found, "none", 1).tolist() == [[[True, False]], [[False, False]]]


@pytest.mark.parametrize("criterion", ["cycle", "none"])
def test_nothing_valid_means_nothing_accepted(criterion):
    x = torch.randn(2, 2, 3, 4)
    nothing = torch.zeros(2, 3, dtype=torch.bool)
    assert not accept(x, nothing, x, torch.ones(2, 2, 3, dtype=torch.bool), criterion, 2).any()


@pytest.mark.parametrize(("size", "pool"), [(2, 8), (4, 8), (4, 4)])
def test_a_pool_wider_than_a_process_accepts_what_one_process_does(size, pool):
    torch.manual_seed(3)
    objects, partners = torch.randn(2, 8, 3, 5), torch.nn.functional.normalize(torch.randn(2, 8, 3, 5), dim=-1)
    partners[:, ::2] = torch.nn.functional.normalize(objects.flip(0)[:, ::2], dim=-1)  # these come home
    valid, found = torch.rand(8, 3) > 0.2, torch.rand(2, 8, 3) > 0.1
    expected = accept(objects, valid, partners, found, "cycle", pool)
    assert 0 < expected.sum() < expected.numel()
    share = 8 // size

    def part(world):
        ours = slice(world.rank * share, (world.rank + 1) * share)
        mine = objects[:, ours], valid[ours], partners[:, ours], found[:, ours]
        return accept(*mine, "cycle", pool, world=world)

    assert torch.equal(torch.cat(on_ranks(size, part), dim=1), expected)


def test_a_criterion_without_a_case_is_refused_and_not_taken_for_none():
    x, valid = torch.randn(2, 2, 3, 4), torch.ones(2, 3, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"matching.criterion mutual has no case in cribo/method/matching.py: add one"):
        accept(x, valid, x, valid.expand(2, -1, -1), "mutual", 2)
