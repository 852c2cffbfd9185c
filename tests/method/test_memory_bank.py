"""The ring buffer against a Python list, the tiled search against the whole matrix."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cribo.method.memory_bank import MemoryBank, nearest, push, retrieve


def draw(g, images, K=3, d=5, share=0.7):
    return torch.randn(2, images, K, d, generator=g), torch.rand(images, K, generator=g) < share


@settings(max_examples=30, deadline=None)
@given(st.integers(4, 9), st.lists(st.integers(1, 4), min_size=1, max_size=8), st.integers(0, 20))
def test_after_wrapping_around_the_bank_holds_the_last_images_in_both_views(size, batches, seed):
    g = torch.Generator().manual_seed(seed)
    bank, kept, count = MemoryBank.empty(size, 3, 5), [], 0
    for images in batches:
        objects, valid = draw(g, images)
        push(bank, objects, valid, torch.arange(count, count + images))
        kept += [(count + i, objects[:, i], valid[i]) for i in range(images)]
        count += images
    for image_id, objects, valid in kept[-size:]:
        slot = int((bank.image_ids == image_id).nonzero())
        torch.testing.assert_close(bank.units[:, slot] * bank.norms[:, slot, :, None], objects)
        assert torch.equal(bank.valid[slot], valid)
    assert bank.filled == min(count, size)
    assert (bank.image_ids >= 0).sum() == bank.filled


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 50), st.integers(0, 30))
def test_tiled_search_equals_the_whole_matrix(keys, queries, tile, seed):
    g = torch.Generator().manual_seed(seed)
    k = torch.nn.functional.normalize(torch.randn(keys, 6, generator=g), dim=1)
    q = torch.nn.functional.normalize(torch.randn(queries, 6, generator=g), dim=1)
    valid = torch.rand(keys, generator=g) < 0.6
    similarity, index = nearest(q, k, valid, tile)
    whole = (q @ k.T).masked_fill(~valid, -torch.inf)
    torch.testing.assert_close(similarity, whole.max(dim=1).values)
    if valid.any():
        assert valid[index].all()
        torch.testing.assert_close(whole.gather(1, index[:, None])[:, 0], whole.max(dim=1).values)
    else:
        assert similarity.isneginf().all()


def test_of_equal_keys_the_first_wins_even_across_tiles():
    keys = torch.eye(3)[[1, 0, 0, 0, 2]]
    _, index = nearest(torch.eye(3)[:1], keys, torch.ones(5, dtype=torch.bool), tile=2)
    assert index.item() == 1


def test_neighbours_come_from_the_bank_of_their_own_view_and_partners_from_the_other():
    g = torch.Generator().manual_seed(0)
    bank = MemoryBank.empty(8, 3, 5)
    stored = []
    for start in (0, 4):
        objects, valid = draw(g, 4)
        push(bank, objects, valid, torch.arange(start, start + 4))
        stored.append((objects, valid))
    objects, valid = (torch.cat(x, dim=i) for x, i in zip(zip(*stored, strict=True), (1, 0), strict=True))
    queries, _ = draw(g, 2)
    found = retrieve(bank, queries, torch.ones(2, 3, dtype=torch.bool), tile=5)
    for view in range(2):
        for b in range(2):
            for k in range(3):
                q = queries[view, b, k]
                scores = {
                    (i, j): torch.cosine_similarity(q, objects[view, i, j], dim=0).item()
                    for i in range(8)
                    for j in range(3)
                    if valid[i, j]
                }
                i, j = max(scores, key=scores.get)
                torch.testing.assert_close(found.objects[view, b, k], objects[view, i, j])
                torch.testing.assert_close(
                    found.partners[view, b, k], objects[1 - view, i, j] / objects[1 - view, i, j].norm()
                )
                assert found.slots[view, b, k] == i and found.found[view, b, k]


@pytest.mark.parametrize("spread", [1.0, 0.3, 0.05])
def test_half_precision_search_with_rescored_winners_differs_from_fp32_in_near_ties_only(spread):
    g = torch.Generator().manual_seed(0)
    kinds = torch.randn(10, 64, generator=g)

    def some(count):
        kind = kinds[torch.randint(10, (count,), generator=g)]
        return torch.nn.functional.normalize(kind + spread * torch.randn(count, 64, generator=g), dim=1)

    queries, keys, valid = some(300), some(3000), torch.rand(3000, generator=g) < 0.8
    exact, index = nearest(queries, keys, valid, tile=700)
    score, coarse = nearest(queries, keys, valid, tile=700, search="half")
    torch.testing.assert_close(score, (queries * keys[coarse]).sum(dim=1))  # of the key found, in fp32
    assert valid[coarse].all()
    assert (exact - score).max() < 2e-3  # where another key won, it is this close to the best
    ranked = (queries @ keys.T).masked_fill(~valid, -1).topk(2, dim=1).values
    clear = ranked[:, 0] - ranked[:, 1] > 4e-3
    assert torch.equal(coarse[clear], index[clear])
    assert spread < 1 or ((coarse == index).float().mean() > 0.97 and clear.float().mean() > 0.5)


def test_an_entry_of_the_own_image_is_passed_over_when_ids_are_given():
    g = torch.Generator().manual_seed(0)
    bank = MemoryBank.empty(4, 3, 5)
    objects, valid = torch.randn(2, 4, 3, 5, generator=g), torch.ones(4, 3, dtype=torch.bool)
    push(bank, objects, valid, torch.arange(4))
    assert (retrieve(bank, objects, valid).slots == torch.arange(4)[:, None]).all()
    apart = retrieve(bank, objects, valid, image_ids=torch.arange(4))
    assert apart.found.all() and (apart.slots != torch.arange(4)[:, None]).all()
    alone = MemoryBank.empty(4, 3, 5)
    push(alone, objects[:, :1], valid[:1], torch.zeros(1, dtype=torch.long))
    assert not retrieve(alone, objects[:, :1], valid[:1], image_ids=torch.zeros(1, dtype=torch.long)).found.any()


def test_what_is_no_object_finds_nothing_and_does_not_change_what_the_others_find():
    g = torch.Generator().manual_seed(0)
    bank = MemoryBank.empty(4, 3, 5)
    push(bank, *draw(g, 4, share=1.0), torch.arange(4))
    objects, _ = draw(g, 2)
    valid = torch.tensor([[True, False, True], [False, False, True]])
    some, every = retrieve(bank, objects, valid), retrieve(bank, objects, torch.ones_like(valid))
    assert torch.equal(some.found, valid.expand(2, -1, -1))
    for name in ("objects", "partners", "slots"):
        assert torch.equal(getattr(some, name)[:, valid], getattr(every, name)[:, valid])


def test_an_empty_bank_and_a_bank_without_objects_find_nothing():
    bank = MemoryBank.empty(4, 3, 5)
    objects, valid = draw(torch.Generator().manual_seed(0), 2)
    assert not retrieve(bank, objects, valid).found.any()
    push(bank, objects, torch.zeros_like(valid), torch.arange(2))
    assert not retrieve(bank, objects, valid).found.any()


def test_a_batch_larger_than_the_bank_is_refused_with_the_key_to_change():
    objects, valid = draw(torch.Generator().manual_seed(0), 5)
    with pytest.raises(ValueError, match=r"memory_bank\.images"):
        push(MemoryBank.empty(4, 3, 5), objects, valid, torch.arange(5))
