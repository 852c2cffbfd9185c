"""The oracles against loops over patches and objects."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cribo.method.memory_bank import MemoryBank, push, retrieve
from cribo.method.objects import pool_objects, seen_in_both
from cribo.method.oracle import VOID, label_clusters, object_classes, same_class


def patches(g, images, n, classes):
    drawn = torch.randint(0, classes + 1, (images, n), generator=g)
    return torch.where(drawn == classes, VOID, drawn).to(torch.uint8)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 3), st.integers(1, 5), st.integers(1, 4), st.integers(0, 50))
def test_a_class_is_one_object_and_void_is_in_none(images, N, classes, seed):
    g = torch.Generator().manual_seed(seed)
    ids, tokens = patches(g, images, 2 * N, classes), torch.randn(images, 2 * N, 3, generator=g)
    labels = label_clusters(ids, classes)
    objects, valid = pool_objects(tokens, labels, classes), seen_in_both(labels, classes)
    for b in range(images):
        for k in range(classes):
            members = [[tokens[b, v * N + i] for i in range(N) if ids[b, v * N + i] == k] for v in range(2)]
            assert valid[b, k] == all(members)
            for v in range(2):
                mean = torch.stack(members[v]).mean(0) if members[v] else torch.zeros(3)
                torch.testing.assert_close(objects[v, b, k], mean)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3), st.integers(1, 10), st.integers(1, 4), st.integers(1, 4), st.integers(0, 50))
def test_the_class_of_an_object_is_that_of_most_of_its_patches(images, n, K, classes, seed):
    g = torch.Generator().manual_seed(seed)
    ids, labels = patches(g, images, n, classes), torch.randint(0, K + 1, (images, n), generator=g)
    found = object_classes(labels, ids, K)
    for b in range(images):
        for k in range(K):
            seen = [int(c) for c, label in zip(ids[b], labels[b], strict=True) if label == k and c != VOID]
            expected = min(set(seen), key=lambda c, seen=seen: (-seen.count(c), c)) if seen else VOID
            assert found[b, k] == expected


def test_two_objects_without_a_class_are_not_of_the_same_class():
    objects, neighbours = torch.tensor([[1, VOID, 2]]), torch.tensor([[[1, VOID, 3]], [[2, 1, 2]]])
    assert same_class(objects.to(torch.uint8), neighbours.to(torch.uint8)).tolist() == [
        [[True, False, False]],
        [[False, False, True]],
    ]


def test_the_bank_gives_back_the_class_of_the_neighbour_it_found():
    g = torch.Generator().manual_seed(0)
    bank, kept = MemoryBank.empty(5, 3, 8), {}
    for start in (0, 3, 6):  # wraps around
        objects, everything = torch.randn(2, 3, 3, 8, generator=g), torch.ones(3, 3, dtype=torch.bool)
        ids = torch.randint(0, 9, (3, 3), generator=g).to(torch.uint8)
        push(bank, objects, everything, torch.arange(start, start + 3), ids)
        kept |= {start + i: (objects[:, i], ids[i]) for i in range(3)}
    for objects, ids in list(kept.values())[-5:]:
        found = retrieve(bank, objects[:, None], torch.ones(1, 3, dtype=torch.bool))
        assert torch.equal(found.classes, ids.expand(2, 1, 3))
