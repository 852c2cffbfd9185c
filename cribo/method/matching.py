"""Which neighbours may be learnt from: the cycle-consistency criterion (§3.2.2, Eqs. 3–4)."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cribo.method.objects import unit


class Pool(NamedTuple):
    """The objects that a cycle may come back to, when a batch is spread more thinly than its pools are wide."""

    objects: Float[Tensor, "2 P K d"]
    valid: Bool[Tensor, "P K"]
    first: int  # place of this process's first image among them


@torch.no_grad()
def accept(
    objects: Float[Tensor, "2 B K d"],
    valid: Bool[Tensor, "B K"],
    partners: Float[Tensor, "2 B K d"],
    found: Bool[Tensor, "2 B K"],
    criterion: Literal["cycle", "none"],
    pool_images: int,
    pool: Pool | None = None,
) -> Bool[Tensor, "2 B K"]:
    """Whether object k of view m may be matched with its neighbour.

    Eq. 4 asks that c_i = jump(nn(jump(nn(c_i, M_i)), B_j)) with j ≠ i: from the object to its neighbour, to that
    neighbour in the other view (`partners`), to the closest object of the other view in the batch, and by jump back home.
    As jump keeps the index, this is equality of indices. The batch B_j is the `pool_images` consecutive images that the
    object's own image belongs to; B must be a multiple of it, or `pool` must give the one pool that all B lie in.
    """
    usable = found & valid
    if criterion == "none":
        return usable
    pool = pool or Pool(objects, valid, 0)
    back = [_returns(partners[m], unit(pool.objects[1 - m]), pool.valid, pool_images, pool.first) for m in range(2)]
    return usable & torch.stack(back)


def _returns(
    partners: Float[Tensor, "B K d"], others: Float[Tensor, "P K d"], valid: Bool[Tensor, "P K"], pool: int, first: int
) -> Bool[Tensor, "B K"]:
    """Whether the object of the other view closest to each partner, within its pool, is the one it started from."""
    B, K, _ = partners.shape
    start = partners.reshape(-1, min(pool, B) * K, partners.shape[2])
    candidates, live = (x.reshape(-1, pool * K, *x.shape[2:]) for x in (others, valid))
    similarity = (start @ candidates.transpose(1, 2)).masked_fill_(~live[:, None, :], -torch.inf)
    home = first * K + torch.arange(start.shape[1], device=valid.device)
    return (similarity.argmax(dim=2) == home).view(B, K)
