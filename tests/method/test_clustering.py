"""Clustering against a restatement with Python loops and the dense (2N)²·K positional cost."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cribo.method.clustering import (
    ClusteringSettings,
    assign,
    centroids_of,
    histogram,
    joint_space_clustering,
    min_max,
    nearest_tokens,
    pairwise_distance,
    positional_cost,
    sinkhorn,
)
from cribo.method.precision import unit
from tests.method.ranks import on_ranks


def how(**changes) -> ClusteringSettings:
    return ClusteringSettings(
        **{
            "K": 6,
            "lambda_pos": 2.0,
            "sharpness": 20.0,
            "outer_iterations": 5,
            "sinkhorn_iterations": 5,
            "marginals": "histogram",
            "exclude_self": True,
            "centroids": "unit",
            "normalise_images": 2,
            **changes,
        }
    )


def batch(images=2, grid=5, width=16, seed=0, K=6):
    """Smooth features and two overlapping crops an image, so that clusters mean something."""
    g = torch.Generator().manual_seed(seed)
    corner = torch.rand(images, 2, 1, 2, generator=g) * 40
    side = 60 + 60 * torch.rand(images, 2, 1, 1, generator=g)
    steps = (torch.arange(grid) + 0.5) / grid
    unit = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), -1).reshape(-1, 2)
    positions = (corner + side * unit).flatten(1, 2)
    waves = torch.randn(2, width, generator=g) / 25
    tokens = torch.sin(positions @ waves + torch.rand(width, generator=g) * 6) + 0.1 * torch.randn(
        images, positions.shape[1], width, generator=g
    )
    seeds = torch.stack([torch.randperm(positions.shape[1], generator=g)[:K] for _ in range(images)])
    return tokens, positions, seeds


def slow_labels(tokens, positions, seeds, s):
    """The released procedure, image by image, written from its description with dense tensors."""
    z = [t / t.norm(dim=1, keepdim=True) for t in tokens.double()]
    averaged = z if s.centroids == "unit" else tokens.double()
    B, n, K = len(z), tokens.shape[1], s.K
    D = [(p[:, None] - p[None]).norm(dim=-1) for p in positions.double()]
    mu = [z[b][seeds[b]] for b in range(B)]
    member = [torch.zeros(n, K, dtype=torch.bool) for _ in range(B)]
    for b in range(B):
        for k, i in enumerate(seeds[b]):
            member[b][i, k] = True
    c = [torch.full((K,), 1 / K, dtype=torch.double) for _ in range(B)]
    for _ in range(s.outer_iterations):
        costs = []
        for b in range(B):
            dense = D[b][:, :, None].expand(n, n, K).clone()
            allowed = member[b][None].expand(n, n, K).clone()
            if s.exclude_self:
                allowed &= (D[b] > 0)[:, :, None]
            t = dense.masked_fill(~allowed, math.inf).amin(dim=1)
            none = t.isinf()
            t[none] = 0
            average = t.mean()
            t[none] = average
            costs.append(-(z[b] @ mu[b].T) + s.lambda_pos * t / t.max())
        for b in range(B):
            group = costs[b // s.normalise_images * s.normalise_images :][: s.normalise_images]
            low, high = min(x.min() for x in group), max(x.max() for x in group)
            P = torch.exp(-s.sharpness * (costs[b] - low) / (high - low))
            P /= P.sum()
            for _ in range(s.sinkhorn_iterations):
                P = torch.stack([row / row.sum() / n for row in P])
                P = torch.stack([column / column.sum() * c[b][k] for k, column in enumerate(P.T)], dim=1)
            label = P.argmax(dim=1)
            member[b] = label[:, None] == torch.arange(K)
            if s.marginals == "histogram":
                count = torch.tensor([(label == k).sum() for k in range(K)], dtype=torch.double) + 0.01
                c[b] = count / count.sum()
            for k in range(K):
                total = averaged[b][label == k].sum(dim=0)
                mu[b][k] = total / total.norm() if (label == k).any() else 0
    return torch.stack([m.long().argmax(dim=1) for m in member])


@pytest.mark.parametrize("marginals", ["histogram", "uniform"])
@pytest.mark.parametrize("exclude_self", [True, False])
@pytest.mark.parametrize("centroids", ["unit", "raw"])
@pytest.mark.parametrize(("K", "lambda_pos"), [(6, 2.0), (12, 1.0), (3, 0.0), (20, 4.0)])
def test_labels_equal_the_dense_restatement(K, lambda_pos, centroids, exclude_self, marginals):
    s = how(K=K, lambda_pos=lambda_pos, exclude_self=exclude_self, marginals=marginals, centroids=centroids)
    tokens, positions, seeds = batch(images=4, K=K)
    tokens = tokens * torch.linspace(0.5, 2, tokens.shape[1])[:, None]  # lengths differ, so that raw is not unit
    ours = joint_space_clustering(tokens, positions, seeds, s)
    assert (ours == slow_labels(tokens, positions, seeds, s)).float().mean() > 0.995  # fp32 against fp64


def test_raw_centroids_are_drawn_to_long_tokens_and_unit_ones_are_not():
    tokens, positions, seeds = batch(images=4)
    lengths = torch.linspace(0.5, 8, tokens.shape[1])[:, None]
    unit, raw = (
        [joint_space_clustering(t, positions, seeds, how(centroids=c)) for t in (tokens, tokens * lengths)]
        for c in ("unit", "raw")
    )
    assert (unit[0] == unit[1]).float().mean() > 0.999  # up to rounding
    assert (raw[0] == raw[1]).float().mean() < 0.95


def test_every_image_of_a_group_shares_one_normalisation_and_no_other():
    tokens, positions, seeds = batch(images=4)
    grouped = joint_space_clustering(tokens, positions, seeds, how(normalise_images=2))
    apart = torch.cat(
        [joint_space_clustering(tokens[i : i + 2], positions[i : i + 2], seeds[i : i + 2], how()) for i in (0, 2)]
    )
    assert torch.equal(grouped, apart)


def test_permuting_images_permutes_labels_when_each_is_normalised_alone():
    tokens, positions, seeds = batch(images=4)
    order = torch.tensor([2, 0, 3, 1])
    s = how(normalise_images=1)
    assert torch.equal(
        joint_space_clustering(tokens, positions, seeds, s)[order],
        joint_space_clustering(tokens[order], positions[order], seeds[order], s),
    )


def test_without_positional_weight_positions_do_not_matter():
    tokens, positions, seeds = batch()
    s = how(lambda_pos=0.0)
    assert torch.equal(
        joint_space_clustering(tokens, positions, seeds, s),
        joint_space_clustering(tokens, torch.rand_like(positions), seeds, s),
    )
    other = how(lambda_pos=0.0, exclude_self=False)
    assert torch.equal(
        joint_space_clustering(tokens, positions, seeds, s), joint_space_clustering(tokens, positions, seeds, other)
    )


def test_a_common_scale_of_positions_does_not_matter():
    tokens, positions, seeds = batch()
    assert torch.equal(
        joint_space_clustering(tokens, positions, seeds, how()), joint_space_clustering(tokens, positions * 4, seeds, how())
    )


def test_following_the_histogram_kills_clusters_and_uniform_marginals_never_do():
    tokens, positions, seeds = batch(images=4, grid=14, width=64, K=64)
    alive = {
        m: [row.unique().numel() for row in joint_space_clustering(tokens, positions, seeds, how(K=64, marginals=m))]
        for m in ("histogram", "uniform")
    }
    assert min(alive["uniform"]) == 64
    assert max(alive["histogram"]) < 64


@pytest.mark.parametrize("exclude_self", [True, False])
def test_positional_cost_of_empty_and_singleton_clusters(exclude_self):
    positions = torch.tensor([[[0.0, 0], [3, 0], [0, 4], [3, 4]]])
    labels = torch.tensor([[0, 0, 1, 3]])  # cluster 1 and 3 have one token, 2 has none; label 3 of K = 3 is "in no cluster"
    cost = positional_cost(nearest_tokens(pairwise_distance(positions, exclude_self), labels, 3))[0]
    if exclude_self:
        raw = torch.tensor([[3.0, 4, 0], [3, 5, 0], [4, 0, 0], [5 - 1, 3, 0]])
    else:
        raw = torch.tensor([[0.0, 4, 0], [0, 5, 0], [4, 0, 0], [4, 3, 0]])
    blank = torch.tensor([[False, False, True], [False, False, True], [False, exclude_self, True], [False, False, True]])
    raw[blank] = raw.mean()
    torch.testing.assert_close(cost, raw / raw.max())


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 12), st.integers(2, 8), st.integers(0, 100))
def test_transport_plan_has_exact_columns_and_settles_on_the_rows(n, K, seed):
    g = torch.Generator().manual_seed(seed)
    cost, marginal = torch.rand(3, n, K, generator=g), torch.rand(3, K, generator=g) + 0.1
    marginal = marginal / marginal.sum(1, keepdim=True)
    torch.testing.assert_close(sinkhorn(cost, marginal, 20, 5).sum(1), marginal)
    torch.testing.assert_close(sinkhorn(cost, marginal, 2, 200).sum(2), torch.full((3, n), 1 / n))


def test_a_constant_cost_stays_finite():
    assert min_max(torch.ones(2, 3, 4), 1).isfinite().all()
    tokens, positions, seeds = batch()
    labels = joint_space_clustering(torch.ones_like(tokens), positions, seeds, how(lambda_pos=0.0))
    assert ((labels >= 0) & (labels < 6)).all()
    together = positional_cost(nearest_tokens(pairwise_distance(torch.ones_like(positions), False), labels, 6))
    assert together.eq(0).all()  # patches that are all in one place


def test_a_batch_of_one_keeps_its_axis():
    tokens, positions, seeds = batch(images=1)
    assert joint_space_clustering(tokens, positions, seeds, how(normalise_images=1)).shape == tokens.shape[:2]


@pytest.mark.parametrize("size", [2, 4])
def test_one_normalisation_over_the_images_of_several_processes_is_that_of_one(size):
    cost = torch.randn(8, 6, 3) + 9 * torch.arange(8)[:, None, None]  # each group would be another with the other's images
    expected = min_max(cost, 4)
    parts = on_ranks(size, lambda world: min_max(cost.chunk(size)[world.rank], 4, world))
    assert torch.equal(torch.cat(parts), expected)


def test_a_round_that_a_gpu_compiles_traces_whole_and_computes_the_same():
    tokens, positions, _ = batch(images=4)
    labels = torch.randint(0, 4, tokens.shape[:2])
    nearest = nearest_tokens(pairwise_distance(positions, True), labels, 4)
    cosines, marginal = tokens @ tokens[:, :4].mT, torch.full((4, 4), 0.25)
    settings = how(K=4, normalise_images=2)
    for function, *arguments in (
        (assign, cosines, nearest, marginal, settings),
        (centroids_of, tokens, labels, 4),
        (histogram, labels, 4, torch.float32),
        (unit, tokens),
    ):
        traced = torch.compile(function, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(traced(*arguments), function(*arguments))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("exclude_self", [True, False])
def test_a_gpu_finds_the_same_nearest_tokens(exclude_self):
    positions, labels = torch.randint(0, 20, (3, 50, 2)).float(), torch.randint(0, 7, (3, 50))
    nearest = [
        nearest_tokens(pairwise_distance(positions.to(device), exclude_self), labels.to(device), 6).cpu()
        for device in ("cpu", "cuda")
    ]
    torch.testing.assert_close(*nearest)
