"""The cross-entropies of Eqs. 5, 7 and 9 and their gradients, one block of rows at a time, on any device."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class LossesAndGradients(NamedTuple):
    """Loss and teacher's entropy for each target, summed over all rows, and the gradients of the sum of the losses."""

    losses: Float[Tensor, " T"]
    entropies: Float[Tensor, " T"]
    by_rows: Float[Tensor, "n h"]
    by_prototypes: Float[Tensor, "L h"]  # with respect to W = scale · direction


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
    """Losses and gradients, one block of rows at a time. Scales and centre are already divided by the temperatures."""
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
    """Dot product of each pair of rows. On a CPU it avoids a tensor of all products; on a GPU that is five times slower."""
    if a.is_cuda:
        return (a * b).sum(dim=1)
    return torch.bmm(a[:, None], b[..., None])[:, 0, 0]
