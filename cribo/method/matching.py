"""Which neighbours may be learnt from: the cycle-consistency criterion (§3.2.2, Eqs. 3–4)."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cribo.method.precision import unit
from cribo.method.world import World


@torch.no_grad()
def accept(
    objects: Float[Tensor, "2 B K d"],
    valid: Bool[Tensor, "B K"],
    partners: Float[Tensor, "2 B K d"],
    found: Bool[Tensor, "2 B K"],
    criterion: Literal["cycle", "none", "labels"],
    pool_images: int,
    same_classes: Bool[Tensor, "2 B K"] | None = None,
    world: World | None = None,
    batch: tuple[Float[Tensor, "2 G K d"], Bool[Tensor, "G K"]] | None = None,
) -> Bool[Tensor, "2 B K"]:
    """Whether object k of view m may be matched with its neighbour (Tables 8 and 11 compare the criteria).

    `none` accepts every neighbour, `cycle` those that are `cycle_consistent`, `labels` those with the object's own classes.
    """
    usable = found & valid
    match criterion:
        case "none":
            return usable
        case "cycle":
            return usable & cycle_consistent(objects, valid, partners, pool_images, world, batch)
        case "labels":
            return usable & same_classes
    raise ValueError(f"matching.criterion {criterion} has no case in cribo/method/matching.py: add one")


def cycle_consistent(
    objects: Float[Tensor, "2 B K d"],
    valid: Bool[Tensor, "B K"],
    partners: Float[Tensor, "2 B K d"],
    pool_images: int,
    world: World | None = None,
    batch: tuple[Float[Tensor, "2 G K d"], Bool[Tensor, "G K"]] | None = None,
) -> Bool[Tensor, "2 B K"]:
    """Whether the cycle from object k of view m through its neighbour leads back to it; arbitrary for invalid objects.

    Eq. 4 requires c_i = jump(nn(jump(nn(c_i, M_i)), B_j)) with j ≠ i: from the object to its neighbour, to that neighbour
    in the other view (`partners`), to the closest object of the other view in the batch, and back by jump. As jump keeps
    the index, this means equality of indices. B_j consists of the `pool_images` consecutive images that include the
    object's own. B must be a multiple of `pool_images` or divide it; if it divides it, several processes hold the pool.
    `batch` holds objects and validity of all processes' images, if the caller has already gathered them.
    """
    images, K = valid.shape
    first = world.rank * images if world else 0  # index of this process's first image in the whole batch
    if pool_images > images:
        objects, valid = batch or (world.gather(objects, dim=1), world.gather(valid, dim=0))
        start = first // pool_images * pool_images
        objects, valid = objects[:, start : start + pool_images], valid[start : start + pool_images]
    candidates = unit(objects).flip(0)  # objects of view 2 for view 1, because its partners are in view 2; and vice versa
    returned = torch.stack([_closest(partners[m], candidates[m], valid, pool_images) for m in range(2)])
    home = (torch.arange(images * K, device=valid.device) + first * K) % (pool_images * K)  # own index within the pool
    return (returned.flatten(1) == home).view(2, images, K)


def _closest(
    queries: Float[Tensor, "B K d"], candidates: Float[Tensor, "C K d"], valid: Bool[Tensor, "C K"], pool: int
) -> Int[Tensor, "pools n"]:
    """For each of the n queries of a pool, the index within the pool of the most similar valid candidate."""
    pools = len(candidates) // pool
    queries, candidates, valid = (x.reshape(pools, -1, *x.shape[2:]) for x in (queries, candidates, valid))
    similarity = queries @ candidates.transpose(1, 2)
    return similarity.masked_fill(~valid[:, None, :], -torch.inf).argmax(dim=2)
