"""K-means in place of the Sinkhorn clustering (Table 12), to show what the positional cost and equal shares are worth."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from cribo.method.precision import unit


@dataclass(frozen=True)
class KMeansSettings:
    """The part of `pretrain.clustering` that K-means reads; params.yaml documents each value and its source."""

    K: int
    outer_iterations: int


@torch.no_grad()
def kmeans(tokens: Float[Tensor, "B n d"], seeds: Int[Tensor, "B K"], settings: KMeansSettings) -> Int[Tensor, "B n"]:
    """Hard cluster label of every token of both views, in [0, K), by Lloyd's algorithm starting from the seed tokens.

    K-means sees the same input as the Sinkhorn clustering (the 2N unit tokens of both views and the same seeds), except for
    the positions: Table 12 has no λ_pos for it. Centroids are plain means; a centroid without tokens stays where it was.
    """
    z = unit(tokens)
    centroids = z.gather(1, seeds[..., None].expand(-1, -1, z.shape[-1]))
    labels = seeds.new_zeros(z.shape[:2])
    for _ in range(settings.outer_iterations):
        # ‖z − μ‖² without ‖z‖², which is the same for every centroid
        distance = centroids.square().sum(dim=-1)[:, None] - 2 * z @ centroids.transpose(1, 2)
        labels = distance.argmin(dim=-1)
        members = F.one_hot(labels, settings.K).to(z.dtype)
        count = members.sum(dim=1)[..., None]
        centroids = torch.where(count > 0, members.transpose(1, 2) @ z / count.clamp_min(1), centroids)
    return labels
