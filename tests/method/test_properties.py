"""What holds for any batch: shapes, order of images, ties, one image, no object at all."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cribo.method.clustering import joint_space_clustering
from cribo.method.kmeans import KMeansSettings, kmeans
from cribo.method.matching import accept
from cribo.method.objects import pool_objects, seen_in_both
from tests.method.test_clustering import how

SEED = st.integers(0, 1000)


def drawn(images, N, K, seed, tied):
    """Tokens, positions and seeds; tied: few different tokens, patches of both views in the same places."""
    g = torch.Generator().manual_seed(seed)
    tokens, positions = torch.randn(images, 2 * N, 4, generator=g), torch.rand(images, 2 * N, 2, generator=g) * 50
    if tied:
        tokens, positions = tokens.sign(), positions.div(10, rounding_mode="floor").repeat_interleave(2, dim=1)[:, : 2 * N]
    seeds = torch.stack([torch.randperm(2 * N, generator=g)[:K] for _ in range(images)])
    return tokens.double(), positions.double(), seeds


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 4),
    st.integers(2, 6),
    st.integers(2, 4),
    st.sampled_from(["histogram", "uniform"]),
    st.booleans(),
    st.booleans(),
    SEED,
)
def test_clusters_of_any_batch_are_labels_that_follow_the_order_of_the_images(images, N, K, marginals, exclude, tied, seed):
    tokens, positions, seeds = drawn(images, N, K, seed, tied)
    s = how(K=K, marginals=marginals, exclude_self=exclude, normalise_images=images)
    order = torch.randperm(images, generator=torch.Generator().manual_seed(seed))
    for cluster in (
        lambda t, p, i: joint_space_clustering(t, p, i, s),
        lambda t, p, i: kmeans(t, i, KMeansSettings(K, 3)),
    ):
        labels = cluster(tokens, positions, seeds)
        assert labels.shape == (images, 2 * N) and labels.min() >= 0 and labels.max() < K
        assert torch.equal(cluster(tokens[order], positions[order], seeds[order]), labels[order])


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 4), SEED)
def test_objects_of_any_labels_keep_the_sum_of_the_tokens_that_are_in_a_cluster(images, N, K, seed):
    g = torch.Generator().manual_seed(seed)
    tokens = torch.randn(images, 2 * N, 3, generator=g, dtype=torch.double)
    labels = torch.randint(0, K + 1, (images, 2 * N), generator=g)  # K: in no cluster
    objects, both = pool_objects(tokens, labels, K), seen_in_both(labels, K)
    assert objects.shape == (2, images, K, 3) and both.shape == (images, K)
    for view in range(2):
        own = labels[:, view * N : (view + 1) * N]
        count = torch.nn.functional.one_hot(own, K + 1)[..., :K].sum(1)
        kept = (tokens[:, view * N : (view + 1) * N] * (own < K)[..., None]).sum(1)
        torch.testing.assert_close((objects[view] * count[..., None]).sum(1), kept)
        assert not both[count == 0].any()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 4), st.integers(1, 4), st.sampled_from(["cycle", "none", "labels"]), st.floats(0, 1), SEED)
def test_acceptance_follows_the_order_of_the_images_and_never_takes_what_is_no_object(images, K, criterion, share, seed):
    g = torch.Generator().manual_seed(seed)
    objects = torch.randn(2, images, K, 5, generator=g, dtype=torch.double)
    partners = torch.nn.functional.normalize(objects.flip(0) + torch.randn(objects.shape, generator=g), dim=-1)
    valid, found = torch.rand(images, K, generator=g) < share, torch.rand(2, images, K, generator=g) < 0.8
    same = torch.rand(2, images, K, generator=g) < 0.5
    accepted = accept(objects, valid, partners, found, criterion, images, same)
    order = torch.randperm(images, generator=g)
    reordered = (objects[:, order], valid[order], partners[:, order], found[:, order], criterion, images, same[:, order])
    assert torch.equal(accept(*reordered), accepted[:, order])
    assert not accepted[~(valid & found)].any()
    assert not (criterion == "labels" and accepted[~same].any())
