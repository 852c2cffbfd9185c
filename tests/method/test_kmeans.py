"""K-means against Lloyd's rounds with Python loops."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cribo.method.kmeans import KMeansSettings, kmeans
from tests.method.test_clustering import batch


def slow(tokens, seeds, K, rounds):
    out = []
    for x, start in zip(tokens, seeds, strict=True):
        z = [t / t.norm() for t in x]
        centroids = [z[i].clone() for i in start]
        for _ in range(rounds):
            labels = []
            for t in z:
                distances = [float((t - c).norm()) for c in centroids]
                labels.append(distances.index(min(distances)))
            for k in range(K):
                members = [t for t, label in zip(z, labels, strict=True) if label == k]
                if members:
                    centroids[k] = sum(members) / len(members)
        out.append(labels)
    return torch.tensor(out)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 3), st.integers(2, 9), st.integers(2, 6), st.integers(1, 4), st.integers(0, 50))
def test_labels_equal_lloyds_rounds_written_out(images, n, K, rounds, seed):
    g = torch.Generator().manual_seed(seed)
    K = min(K, n)
    tokens = torch.randn(images, n, 5, generator=g, dtype=torch.double)
    seeds = torch.stack([torch.randperm(n, generator=g)[:K] for _ in range(images)])
    assert torch.equal(kmeans(tokens, seeds, KMeansSettings(K, rounds)), slow(tokens, seeds, K, rounds))


def test_on_smooth_features_in_fp32_too():
    tokens, _, seeds = batch(images=2, K=8)
    assert (kmeans(tokens, seeds, KMeansSettings(8, 5)) == slow(tokens.double(), seeds, 8, 5)).float().mean() > 0.99


def test_views_of_an_image_share_clusters_and_images_do_not():
    tokens, _, seeds = batch(images=3)
    together = kmeans(tokens, seeds, KMeansSettings(6, 5))
    for i in range(3):
        assert torch.equal(kmeans(tokens[i : i + 1], seeds[i : i + 1], KMeansSettings(6, 5))[0], together[i])
    views = together.unflatten(1, (2, -1))
    assert all(set(one.tolist()) & set(two.tolist()) for one, two in views)


def test_a_cluster_that_loses_all_its_tokens_stays_where_it_was_and_ties_go_to_the_first():
    tokens = torch.tensor([[[-1.0, 0], [-2, 1], [1, -1], [-1, -2], [-1, -2]]])
    seeds = torch.tensor([[3, 4, 1]])  # the second starts where the first does, and takes over when that has moved away
    labels = [kmeans(tokens, seeds, KMeansSettings(3, rounds)).tolist() for rounds in (1, 4)]
    assert labels == [[[2, 2, 0, 0, 0]], [[2, 2, 0, 1, 1]]] == [slow(tokens, seeds, 3, n).tolist() for n in (1, 4)]


def test_a_cluster_of_one_token_moves_to_it():
    tokens, seeds = torch.tensor([[[1.0, 2], [1, 2], [2, 2], [2, 0], [1, 1]]]), torch.tensor([[4, 2]])
    assert kmeans(tokens, seeds, KMeansSettings(2, 4)).tolist() == slow(tokens, seeds, 2, 4).tolist() == [[1, 1, 1, 0, 1]]
