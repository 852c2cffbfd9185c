"""The votes of a query's neighbours, as shares by class."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor


def vote(
    similarities: Float[Tensor, "Q k"], labels: Int[Tensor, "Q k"], classes: int, temperature: float | None
) -> Float[Tensor, "Q C"]:
    """Return each class's share of the votes, in float64; each row sums to 1.

    A neighbour's vote weighs exp(similarity / temperature), or 1 without a temperature. Weights are taken relative to the
    row's best neighbour, which leaves the shares unchanged and cannot overflow at any temperature.
    """
    weights = torch.ones_like(similarities, dtype=torch.float64)
    if temperature is not None:
        relative = similarities.double() - similarities.amax(dim=1, keepdim=True).double()
        weights = (relative / temperature).exp_()
    shares = weights.new_zeros(len(similarities), classes).scatter_add_(1, labels.long(), weights)
    return shares / weights.sum(dim=1, keepdim=True)


def winners(shares: Float[Tensor, "Q C"]) -> Int[Tensor, " Q"]:
    """Return the class with the largest share; among equal shares, the lowest class id."""
    best = shares.amax(dim=1, keepdim=True)
    return (shares == best).int().argmax(dim=1)
