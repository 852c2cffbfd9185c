"""The cross-entropies of Eqs. 5, 7 and 9 with their gradients, one block of rows after another, on any device."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class LossesAndGradients(NamedTuple):
    """Of all rows: for each target the loss and the teacher's entropy; the gradients of the losses' sum."""

    losses: Float[Tensor, " T"]
    entropies: Float[Tensor, " T"]
    by_rows: Float[Tensor, "n h"]
    by_prototypes: Float[Tensor, "L h"]  # by W = scale · direction


def losses_and_gradients(
    x: Float[Tensor, "n h"],
    direction: Float[Tensor, "L h"],
    scale: Float[Tensor, " L"],
    targets: Float[Tensor, "T n h"],
    teacher_direction: Float[Tensor, "L h"],
    teacher_scale: Float[Tensor, " L"],
    centre: Float[Tensor, " L"],
    weights: Float[Tensor, "T n"],
    per_block: int,
) -> LossesAndGradients:
    """One block of rows after another; scales and centre are divided by the temperatures already."""
    by_x, by_w = torch.zeros_like(x), torch.zeros_like(direction)
    loss, entropy = x.new_zeros(len(targets)), x.new_zeros(len(targets))
    for i in range(0, len(x), per_block):
        part = slice(i, i + per_block)
        s = (x[part] @ direction.T).mul_(scale)
        lse = s.logsumexp(dim=1)
        grad = (s - lse[:, None]).exp_().mul_(weights[:, part].sum(dim=0)[:, None])
        losses, entropies = [], []
        for target, w in zip(targets[:, part], weights[:, part], strict=True):
            t = (target @ teacher_direction.T).mul_(teacher_scale).sub_(centre)
            t_lse = t.logsumexp(dim=1)
            q = (t - t_lse[:, None]).exp_()
            losses.append((w * (lse - dots(q, s))).sum())
            entropies.append((w * (t_lse - dots(q, t))).sum())
            grad.sub_(q.mul_(w[:, None]))
        loss, entropy = loss + torch.stack(losses), entropy + torch.stack(entropies)
        by_w.addmm_(grad.T, x[part])
        by_x[part] = grad.mul_(scale) @ direction
    return LossesAndGradients(loss, entropy, by_x, by_w)


def dots(a: Float[Tensor, "n m"], b: Float[Tensor, "n m"]) -> Float[Tensor, " n"]:
    """Products of equal rows; on a CPU without a tensor of all products, where a GPU is five times slower that way."""
    if a.is_cuda:
        return (a * b).sum(dim=1)
    return torch.bmm(a[:, None], b[..., None])[:, 0, 0]
