"""The cross-entropies between teacher and student (Eqs. 5–11) and the centres that keep the teacher from collapsing.

All three losses of Eq. 11 have one form: for row i, H(q_i, p_i) with the teacher's q = softmax((logits − centre) / τ_t) and
the student's p = softmax(logits / τ_s), where logits are the products of a bottleneck vector and the L prototypes. They
differ in the rows and in their weights, so one function serves them all.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from cribo.method.objects import exact
from cribo.method.rows import Rows

# Entries of a block of logits; three or four such blocks are alive at a time (in fp32 16 MiB each on a CPU, 256 on a GPU).
BLOCKS = {"cpu": 1 << 22, "cuda": 1 << 26}


class Prototypes(NamedTuple):
    """The L prototypes of a layer, W = scale · direction row by row, kept apart so that W is never written out."""

    direction: Float[Tensor, "L h"]
    scale: Float[Tensor, " L"]

    def matrix(self) -> Float[Tensor, "L h"]:
        """W, for those who need it whole."""
        return self.scale[:, None] * self.direction


class Softmax(NamedTuple):
    """How a network turns a bottleneck vector x into probabilities: softmax((W x − centre) / temperature)."""

    prototypes: Prototypes
    temperature: float
    centre: Float[Tensor, " L"] | None = None  # the teacher's


class CrossEntropies(NamedTuple):
    """In nats, each a weighted sum over rows; `total` carries the gradient, the others none."""

    total: Float[Tensor, ""]
    of_target: Float[Tensor, " T"]  # what `total` is the sum of
    entropy: Float[Tensor, " T"]  # the teacher's, a sign of collapse


def soft_cross_entropy(
    student: Float[Tensor, "n h"],
    p: Softmax,
    targets: Float[Tensor, "T n h"],
    q: Softmax,
    weights: Float[Tensor, "T n"],
    rows: Rows | None = None,
    block: int | None = None,
    compiled: bool = False,
) -> CrossEntropies:
    """Σ_j Σ_i weights[j, i] · H(q(targets_ji), p(student_i)); the [n, L] logits are never held whole.

    The gradient is for `student` and the student's prototypes. `rows` are those with a weight that is not zero, if not all
    have one: the others are left out.

    The T targets of a row share the student's logits s and one pass. As Σ_j w_j H(q_j, p) = W·lse(s) − Σ_l Σ_j w_j q_jl s_l
    with W = Σ_j w_j, the gradient by s is (W·p − Σ_j w_j q_j), known as soon as the block of logits is: it is turned at once
    into the gradients of the small factors. Nothing of size L per row survives the block, and backward recomputes nothing.
    """
    generated = compiled and student.is_cuda
    per_block = max(1, (block or BLOCKS[student.device.type]) // len(p.prototypes.scale))
    vectors, goals = exact(student), exact(targets)
    if rows is not None:
        chosen = rows.indices(per_block if generated else 1)  # a generated kernel is made for one shape
        vectors, goals, weights = vectors[chosen], goals[:, chosen], weights[:, chosen]
    of_block = _compiled_block() if generated else _block
    taus = p.temperature, q.temperature
    sums = _SoftCrossEntropy.apply(
        vectors, *p.prototypes, goals, *q.prototypes, q.centre, weights, taus, per_block, of_block
    )
    return CrossEntropies(*sums)


class _SoftCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, direction, scale, targets, teacher_direction, teacher_scale, centre, weights, taus, rows, of_block):
        grad_x, grad_direction = torch.zeros_like(x), torch.zeros_like(direction)
        loss, entropy = x.new_zeros(len(targets)), x.new_zeros(len(targets))
        scale, teacher_scale, centre = scale / taus[0], teacher_scale / taus[1], centre / taus[1]
        for i in range(0, len(x), rows):
            part = slice(i, i + rows)
            teacher = targets[:, part], teacher_direction, teacher_scale, centre
            grad, losses, entropies = of_block(x[part], direction, scale, *teacher, weights[:, part])
            loss, entropy = loss + losses, entropy + entropies
            grad_direction.addmm_(grad.T, x[part])  # by W = scale · direction so far; both follow below
            grad_x[part] = grad.mul_(scale) @ direction
        grad_scale = _dots(grad_direction, direction) / taus[0]
        ctx.save_for_backward(grad_x, grad_direction.mul_(scale[:, None]), grad_scale)
        ctx.mark_non_differentiable(loss, entropy)
        return loss.sum(), loss, entropy

    @staticmethod
    @once_differentiable
    def backward(ctx, upstream, _loss, _entropy):
        return (*(upstream * grad for grad in ctx.saved_tensors), *[None] * 8)


def _block(
    x: Float[Tensor, "n h"],
    direction: Float[Tensor, "L h"],
    scale: Float[Tensor, " L"],
    targets: Float[Tensor, "T n h"],
    teacher_direction: Float[Tensor, "L h"],
    teacher_scale: Float[Tensor, " L"],
    centre: Float[Tensor, " L"],
    weights: Float[Tensor, "T n"],
) -> tuple[Float[Tensor, "n L"], Float[Tensor, " T"], Float[Tensor, " T"]]:
    """Of a block of rows: gradient by the student's logits, and for each target the loss and the teacher's entropy.

    Both scales and the centre are those of logits that were divided by the temperature already.
    """
    s = (x @ direction.T).mul_(scale)
    lse = s.logsumexp(dim=1)
    grad = (s - lse[:, None]).exp_().mul_(weights.sum(dim=0)[:, None])
    losses, entropies = [], []
    for target, w in zip(targets, weights, strict=True):
        t = (target @ teacher_direction.T).mul_(teacher_scale).sub_(centre)
        t_lse = t.logsumexp(dim=1)
        q = (t - t_lse[:, None]).exp_()
        losses.append((w * (lse - _dots(q, s))).sum())
        entropies.append((w * (t_lse - _dots(q, t))).sum())
        grad.sub_(q.mul_(w[:, None]))
    return grad, torch.stack(losses), torch.stack(entropies)


@cache
def _compiled_block():
    """`_block` with its dozen passes over the logits fused into a few; for a GPU, where every step has the same shapes."""
    return torch.compile(_block, dynamic=False)


def _dots(a: Float[Tensor, "n m"], b: Float[Tensor, "n m"]) -> Float[Tensor, " n"]:
    """Products of equal rows; on a CPU without a tensor of all products, where a GPU is five times slower that way."""
    if a.is_cuda:
        return (a * b).sum(dim=1)
    return torch.bmm(a[:, None], b[..., None])[:, 0, 0]


@torch.no_grad()
def mean_logits(
    bottleneck_sum: Float[Tensor, " h"], count: Float[Tensor, ""], prototypes: Prototypes
) -> Float[Tensor, " L"]:
    """Mean teacher logits of `count` rows from the sum of their bottleneck vectors: the prototype layer is linear."""
    return prototypes.direction @ (exact(bottleneck_sum) / count.clamp_min(1)) * prototypes.scale


@torch.no_grad()
def update_centre(centre: Float[Tensor, " L"], mean: Float[Tensor, " L"], count: Float[Tensor, ""], momentum: float) -> None:
    """DINO's centring, in place, after the losses of the step were taken; a step without any row leaves it as it is."""
    centre.copy_(torch.where(count > 0, torch.lerp(mean, centre, momentum), centre))
