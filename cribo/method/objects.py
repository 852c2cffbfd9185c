"""Object representations: the mean of a cluster's tokens in one view (Eq. 1), and which objects both views show."""

from __future__ import annotations

from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F


def pool_objects(tokens: Float[Tensor, "B n d"], labels: Int[Tensor, "B n"], K: int) -> Float[Tensor, "2 B K d"]:
    """Eq. 1: c_m^k, the mean of view m's tokens with label k; zero where the view has none.

    Student and teacher are pooled with the same labels, the teacher's; label K means no cluster. Shapes are static: invalid
    objects are masked by `seen_in_both`, never removed. n = 2N, with the tokens of view 1 first.
    """
    membership = _membership(labels, K).to(tokens.dtype)
    pooled = membership.transpose(2, 3) @ tokens.unflatten(1, (2, -1))
    return (pooled / membership.sum(dim=2)[..., None].clamp_min(1)).transpose(0, 1)


def seen_in_both(labels: Int[Tensor, "B n"], K: int) -> Bool[Tensor, "B K"]:
    """Whether cluster k has tokens in both view 1 and view 2 (§3.2.1: an object seen in only one view is discarded)."""
    return _membership(labels, K).any(dim=2).all(dim=1)


def _membership(labels: Int[Tensor, "B n"], K: int) -> Int[Tensor, "B 2 N K"]:
    return F.one_hot(labels.unflatten(1, (2, -1)), K + 1)[..., :K]
