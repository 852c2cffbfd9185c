"""The oracles against loops over patches and objects."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cribo.method.memory_bank import MemoryBank, push, retrieve
from cribo.method.objects import pool_objects, seen_in_both
from cribo.method.oracle import VOID, WORDS, label_clusters, object_classes, same_classes


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
@given(st.integers(1, 3), st.integers(1, 10), st.integers(1, 4), st.sampled_from([1, 4, 80, VOID]), st.integers(0, 50))
def test_the_classes_of_an_object_are_the_union_of_those_of_its_patches(images, n, K, classes, seed):
    g = torch.Generator().manual_seed(seed)
    ids, labels = patches(g, images, n, classes), torch.randint(0, K + 1, (images, n), generator=g)
    found = object_classes(labels, ids, K)
    for b in range(images):
        for k in range(K):
            expected = {int(c) for c, label in zip(ids[b], labels[b], strict=True) if label == k and c != VOID}
            assert members(found[b, k]) == expected


def members(words):
    """The numbers of the bits that are set."""
    return {64 * i + bit for i, word in enumerate(words.tolist()) for bit in range(64) if word >> bit & 1}


def sets(*given):
    """Objects of one image with the given sets of classes."""
    labels = torch.tensor([[k for k, classes in enumerate(given) for _ in classes]])
    return object_classes(labels, torch.tensor([[c for classes in given for c in classes]], dtype=torch.uint8), len(given))


def test_a_neighbour_matches_with_all_classes_of_the_object_and_no_other_and_never_without_any():
    objects = sets([1, 254], [VOID], [2], [3, 64])
    neighbours = torch.stack([sets([254, 1, 1, VOID], [VOID], [2, 1], [3]), sets([1], [2], [2], [64, 3])])
    assert same_classes(objects, neighbours).tolist() == [[[True, False, False, False]], [[False, False, True, True]]]


def test_the_bank_gives_back_the_class_of_the_neighbour_it_found():
    g = torch.Generator().manual_seed(0)
    bank, kept = MemoryBank.empty(5, 3, 8), {}
    for start in (0, 3, 6):  # wraps around
        objects, everything = torch.randn(2, 3, 3, 8, generator=g), torch.ones(3, 3, dtype=torch.bool)
        ids = torch.randint(-9, 9, (3, 3, WORDS), generator=g)
        push(bank, objects, everything, torch.arange(start, start + 3), ids)
        kept |= {start + i: (objects[:, i], ids[i]) for i in range(3)}
    for objects, ids in list(kept.values())[-5:]:
        found = retrieve(bank, objects[:, None], torch.ones(1, 3, dtype=torch.bool))
        assert torch.equal(found.classes, ids.expand(2, 1, 3, WORDS))
