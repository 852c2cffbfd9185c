"""Signals of health: scalars that tell a run that learns from one that collapses (docs/method.md explains each)."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@torch.no_grad()
def object_signals(labels: Int[Tensor, "B n"], valid: Bool[Tensor, "B K"]) -> dict[str, Float[Tensor, ""]]:
    """Mean number per image of clusters that hold a token, and of clusters that both views show."""
    images, K = valid.shape
    live = valid.new_zeros(images, K + 1).scatter_(1, labels, True)[:, :K]  # label K means no cluster
    return {"live_clusters": live.sum(dim=1).float().mean(), "valid_objects": valid.sum(dim=1).float().mean()}


@torch.no_grad()
def neighbour_signals(
    accepted: Bool[Tensor, "2 B K"], found: Bool[Tensor, "2 B K"], ages: Int[Tensor, "2 B K"]
) -> dict[str, Float[Tensor, ""]]:
    """Bootstrapping ratio of each direction, Z_m / (B·K) (App. C.6), and mean age of the entries found, in steps.

    All are 0 if nothing was found.
    """
    ratios = {f"bootstrapping_{m + 1}": accepted[m].float().mean() for m in range(2)}
    return ratios | {"bank_age": (ages * found).sum() / found.sum().clamp_min(1)}


@torch.no_grad()
def centre_entropy(centre: Float[Tensor, " L"], temperature: float) -> Float[Tensor, ""]:
    """Entropy in nats of softmax(centre / τ_t), the teacher's output for its own mean logits without centring."""
    log_p = (centre / temperature).log_softmax(dim=0)
    return -(log_p.exp() * log_p).sum()
