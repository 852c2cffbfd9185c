"""What the neighbours of a query say: shares of their votes by class."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor


def vote(
    similarities: Float[Tensor, "Q k"], labels: Int[Tensor, "Q k"], classes: int, temperature: float | None
) -> Float[Tensor, "Q C"]:
    """Shares of the votes by class, each row summing to 1, in float64.

    A neighbour's vote weighs exp(similarity / temperature), or 1 with no temperature. Weights are taken relative to the
    row's best neighbour, which changes no share and cannot overflow at any temperature.
    """
    weights = torch.ones_like(similarities, dtype=torch.float64)
    if temperature is not None:
        relative = similarities.double() - similarities.amax(dim=1, keepdim=True).double()
        weights = (relative / temperature).exp_()
    shares = weights.new_zeros(len(similarities), classes).scatter_add_(1, labels.long(), weights)
    return shares / weights.sum(dim=1, keepdim=True)


def winners(shares: Float[Tensor, "Q C"]) -> Int[Tensor, " Q"]:
    """The class with the largest share; of equal shares the lowest class id."""
    best = shares.amax(dim=1, keepdim=True)
    return (shares == best).int().argmax(dim=1)
