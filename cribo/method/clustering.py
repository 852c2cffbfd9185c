"""Joint-space clustering of the two views of an image (App. B, Eqs. 12–17).

All 2N patch tokens of an image, from both views, share K clusters. In each of a few rounds, a Sinkhorn transport plan
between tokens and centroids minimises a semantic cost (cosine) plus λ_pos times a positional cost (distance in the original
image to the nearest token of the cluster). The tokens are the teacher's; all computation is in fp32 or better, without
gradient.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from cribo.method.generated import generated
from cribo.method.precision import exact, unit
from cribo.method.world import World

# PyTorch warns that index_reduce is in beta. The tests compare its result with plain loops.
warnings.filterwarnings("ignore", message=r"index_reduce\(\) is in beta")

# Added to every count of the histogram, so that the marginal of an empty cluster stays above zero (released code).
HISTOGRAM_FLOOR = 0.01


@dataclass(frozen=True)
class ClusteringSettings:
    """`pretrain.clustering` of params.yaml, which documents each value and its source."""

    K: int
    lambda_pos: float
    sharpness: float
    outer_iterations: int
    sinkhorn_iterations: int
    marginals: Literal["histogram", "uniform"]
    exclude_self: bool
    centroids: Literal["unit", "raw"]
    normalise_images: int


@torch.no_grad()
def joint_space_clustering(
    tokens: Float[Tensor, "B n d"],
    positions: Float[Tensor, "B n 2"],
    seeds: Int[Tensor, "B K"],
    settings: ClusteringSettings,
    world: World | None = None,
    fused: bool = False,
) -> Int[Tensor, "B n"]:
    """Hard cluster label of every token of both views, in [0, K).

    Args:
        tokens: the teacher's patch tokens, n = 2N, view 1 first.
        positions: centre of each patch in pixels of the original image.
        seeds: indices of K distinct tokens, which are the first centroids.

    B must be a multiple of `normalise_images` or divide it. If it divides it, neighbouring processes of `world` hold the
    other images of the group. `fused` uses generated kernels on a GPU, which sum in a different order.
    """
    form = generated if fused else _as_written
    nearest_of = (_kernel_of if fused and tokens.is_cuda else _plain_of)(positions, settings)
    z = form(unit)(tokens)
    batch, n, _ = z.shape
    K = settings.K
    averaged = z if settings.centroids == "unit" else exact(tokens)

    centroids = z.gather(1, seeds[..., None].expand(-1, -1, z.shape[-1]))
    labels = torch.full((batch, n), K, device=z.device)  # K means: not in a cluster yet
    labels.scatter_(1, seeds, torch.arange(K, device=z.device).expand(batch, K))
    marginal = z.new_full((batch, K), 1 / K)
    for number in range(settings.outer_iterations):
        if number:
            centroids = form(centroids_of)(averaged, labels, K)
            if settings.marginals == "histogram":
                marginal = form(histogram)(labels, K, z.dtype)
        cosines = z @ centroids.transpose(1, 2)
        labels = form(assign)(cosines, nearest_of(labels), marginal, settings, world)
    return labels


def _as_written(function: Callable) -> Callable:
    return function


def assign(
    cosines: Float[Tensor, "B n K"],
    nearest: Float[Tensor, "B n K"],
    marginal: Float[Tensor, "B K"],
    settings: ClusteringSettings,
    world: World | None = None,
) -> Int[Tensor, "B n"]:
    """The cluster of every token (Eqs. 12–14 and 16), from its cosines with the centroids and `nearest_tokens`."""
    cost = settings.lambda_pos * positional_cost(nearest) - cosines  # Eqs. 12, 16
    cost = min_max(cost, settings.normalise_images, world)
    return sinkhorn(cost, marginal, settings.sharpness, settings.sinkhorn_iterations).argmax(dim=-1)


def histogram(labels: Int[Tensor, "B n"], K: int, dtype: torch.dtype) -> Float[Tensor, "B K"]:
    """Each cluster's share of the tokens, a little above zero also for an empty one."""
    count = F.one_hot(labels, K).to(dtype).sum(dim=1) + HISTOGRAM_FLOOR
    return count / count.sum(dim=1, keepdim=True)


def centroids_of(averaged: Float[Tensor, "B n d"], labels: Int[Tensor, "B n"], K: int) -> Float[Tensor, "B K d"]:
    """Eq. 15: the mean of each cluster's tokens, scaled to length one; zero for an empty cluster."""
    return F.normalize(F.one_hot(labels, K).to(averaged.dtype).transpose(1, 2) @ averaged, dim=-1)


def _plain_of(positions: Float[Tensor, "B n 2"], settings: ClusteringSettings) -> Callable[[Tensor], Tensor]:
    """Function from labels to distances to the nearest tokens; distances between tokens are computed only once."""
    return partial(nearest_tokens, pairwise_distance(positions, settings.exclude_self), K=settings.K)


def _kernel_of(positions: Float[Tensor, "B n 2"], settings: ClusteringSettings) -> Callable[[Tensor], Tensor]:
    """The same function as one GPU kernel."""
    from cribo.method.fused_clustering import fused_nearest_tokens  # needs Triton, often missing on machines without a GPU

    return partial(fused_nearest_tokens, positions, K=settings.K, exclude_self=settings.exclude_self)


def pairwise_distance(positions: Float[Tensor, "B n 2"], exclude_self: bool) -> Float[Tensor, "B n n"]:
    """Euclidean distance between patch centres in pixels; with `exclude_self`, zero distances become infinite."""
    # Matrix products would lose the exact zeros on the diagonal, and cdist is slow on GPUs.
    x, y = exact(positions).unbind(dim=-1)
    distance = (x[:, :, None] - x[:, None, :]).square_()
    distance = distance.add_((y[:, :, None] - y[:, None, :]).square_()).sqrt_()
    return distance.masked_fill_(distance == 0, torch.inf) if exclude_self else distance


def nearest_tokens(distance: Float[Tensor, "B n n"], labels: Int[Tensor, "B n"], K: int) -> Float[Tensor, "B n K"]:
    """Distance from each token to the nearest token of each cluster; infinite for a cluster without any (other) token.

    Distances are symmetric, so rows can be merged by the label of the first token. This keeps memory at n² + nK instead of
    n²K.
    """
    batch, n, _ = distance.shape
    nearest = distance.new_full((batch * (K + 1), n), torch.inf)
    cluster = labels + (K + 1) * torch.arange(batch, device=labels.device)[:, None]
    _bits(nearest).index_reduce_(0, cluster.flatten(), _bits(distance).flatten(0, 1), "amin")
    return nearest.view(batch, K + 1, n)[:, :K].transpose(1, 2).contiguous()


def positional_cost(nearest: Float[Tensor, "B n K"]) -> Float[Tensor, "B n K"]:
    """Eq. 17: distance to the nearest token of each cluster, divided by the largest such distance in the image.

    A cluster without any (other) token gets the average distance over the image. As in the released code, such clusters
    enter that average as zero.
    """
    unknown = nearest.isinf()
    average = nearest.masked_fill(unknown, 0).mean(dim=(1, 2), keepdim=True)
    nearest = torch.where(unknown, average, nearest)
    return nearest / nearest.amax(dim=(1, 2), keepdim=True).clamp_min(torch.finfo(nearest.dtype).tiny)


def _bits(x: Float[Tensor, "*n"]) -> Int[Tensor, "*n"]:
    """The same memory read as integers. For non-negative floats the order is the same, and a GPU takes the minimum of
    32-bit integers in one instruction but that of floats in a loop."""
    return x.view(torch.int32 if x.dtype == torch.float32 else torch.int64)


def min_max(cost: Float[Tensor, "B n K"], group: int, world: World | None = None) -> Float[Tensor, "B n K"]:
    """The cost scaled to [0, 1], with one minimum and maximum for every `group` consecutive images of the whole batch."""
    here = min(group, len(cost))
    grouped = cost.reshape(-1, here, *cost.shape[1:])
    low, high = grouped.amin(dim=(1, 2, 3), keepdim=True), grouped.amax(dim=(1, 2, 3), keepdim=True)
    if group > here:
        together = group // here  # processes that share a group
        first = world.rank // together * together
        low, high = (world.gather(x, 0)[first : first + together] for x in (low, high))
        low, high = low.amin(dim=0, keepdim=True), high.amax(dim=0, keepdim=True)
    return ((grouped - low) / (high - low).clamp_min(torch.finfo(cost.dtype).tiny)).reshape(cost.shape)


def sinkhorn(
    cost: Float[Tensor, "B n K"], marginal: Float[Tensor, "B K"], sharpness: float, iterations: int
) -> Float[Tensor, "B n K"]:
    """Eqs. 13–14: the entropic transport plan, with rows of mass 1/n and columns of the given mass.

    Each iteration scales rows first and columns last, so column sums are exact and row sums approximate.
    """
    plan = torch.exp(-sharpness * cost)
    for _ in range(iterations):
        plan = plan / (plan.sum(dim=2, keepdim=True) * plan.shape[1])
        plan = plan * (marginal / plan.sum(dim=1))[:, None]
    return plan
