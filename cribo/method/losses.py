"""The cross-entropies between teacher and student (Eqs. 5, 7, 9) and the centres that keep the teacher from collapsing.

All three losses of Eq. 11 have one form: for row i, H(q_i, p_i) with the teacher's q = softmax((logits − centre) / τ_t) and
the student's p = softmax(logits / τ_s), where logits are the products of a bottleneck vector and the L prototypes. They
differ in the rows and in their weights (Eqs. 6, 8, 10: student.py), so one function serves them all.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from cribo.method.losses_by_block import dots, losses_and_gradients
from cribo.method.precision import exact
from cribo.method.rows import Rows

# Entries of a block of logits; three or four such blocks are alive at a time (in fp32 16 MiB each on a CPU, 256 on a GPU).
BLOCKS = {"cpu": 1 << 22, "cuda": 1 << 26}


class Prototypes(NamedTuple):
    """The L prototypes of a layer, W = scale · direction row by row, kept apart: only a GPU's kernel writes W out."""

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
    fused: bool = False,
) -> CrossEntropies:
    """Σ_j Σ_i weights[j, i] · H(q(targets_ji), p(student_i)); the [n, L] logits are never held whole.

    The gradient is for `student` and the student's prototypes. `rows` are those with a weight that is not zero, if not all
    have one: the others are left out.

    The T targets of a row share the student's logits s and one pass. As Σ_j w_j H(q_j, p) = W·lse(s) − Σ_l Σ_j w_j q_jl s_l
    with W = Σ_j w_j, the gradient by s is (W·p − Σ_j w_j q_j), known as soon as the block of logits is: it is turned at once
    into the gradients of the small factors. Nothing of size L per row survives the block, and backward recomputes nothing.
    `fused` does a block in one kernel on a GPU.
    """
    per_block = max(1, (block or BLOCKS[student.device.type]) // len(p.prototypes.scale))
    vectors, goals = exact(student), exact(targets)
    if rows is not None:
        chosen = rows.indices()
        vectors, goals, weights = vectors[chosen], goals[:, chosen], weights[:, chosen]
    (w, scale), (v, teacher_scale) = p.prototypes, q.prototypes
    factors = w, scale / p.temperature, goals, v, teacher_scale / q.temperature, q.centre / q.temperature
    return CrossEntropies(*_SoftCrossEntropy.apply(vectors, *factors, weights, per_block, fused and student.is_cuda))


class _SoftCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, direction, scale, targets, teacher_direction, teacher_scale, centre, weights, per_block, fused):
        compute = _fused() if fused else losses_and_gradients
        found = compute(x, direction, scale, targets, teacher_direction, teacher_scale, centre, weights, per_block)
        by_scale = dots(found.by_prototypes, direction)
        ctx.save_for_backward(found.by_rows, found.by_prototypes.mul_(scale[:, None]), by_scale)
        ctx.mark_non_differentiable(found.losses, found.entropies)
        return found.losses.sum(), found.losses, found.entropies

    @staticmethod
    @once_differentiable
    def backward(ctx, upstream, _loss, _entropy):
        return (*(upstream * grad for grad in ctx.saved_tensors), *[None] * 7)


def _fused():
    """`losses_and_gradients` for a GPU."""
    from cribo.method.fused_losses import fused_losses_and_gradients  # needs Triton, often missing where no GPU is

    return fused_losses_and_gradients


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
