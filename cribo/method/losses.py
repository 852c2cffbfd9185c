"""The cross-entropies between teacher and student (Eqs. 5, 7, 9) and the centres that keep the teacher from collapsing.

All three losses of Eq. 11 have one form: for row i, H(q_i, p_i) with the teacher's q = softmax((logits − centre) / τ_t) and
the student's p = softmax(logits / τ_s), where logits are the products of a bottleneck vector and the L prototypes. They
differ only in the rows and their weights (Eqs. 6, 8, 10: student.py), so one function computes all three.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from cribo.method.generated import generated
from cribo.method.losses_by_block import dots, losses_and_gradients
from cribo.method.precision import exact
from cribo.method.rows import Rows

# Entries of a block of logits. Three or four blocks are alive at a time (in fp32, 16 MiB each on a CPU, 256 MiB on a GPU).
BLOCKS = {"cpu": 1 << 22, "cuda": 1 << 26}


class Prototypes(NamedTuple):
    """The L prototypes of a layer, W = scale · direction for each row. Only the GPU kernel multiplies the two into W."""

    direction: Float[Tensor, "L h"]
    scale: Float[Tensor, " L"]

    def matrix(self) -> Float[Tensor, "L h"]:
        """W as one matrix."""
        return self.scale[:, None] * self.direction


class Softmax(NamedTuple):
    """How a network turns a bottleneck vector x into probabilities: softmax((W x − centre) / temperature)."""

    prototypes: Prototypes
    temperature: float
    centre: Float[Tensor, " L"] | None = None  # only the teacher has one


class CrossEntropies(NamedTuple):
    """Cross-entropies in nats, each a weighted sum over rows. Only `total` carries a gradient."""

    total: Float[Tensor, ""]
    of_target: Float[Tensor, " T"]  # the terms whose sum is `total`
    entropy: Float[Tensor, " T"]  # of the teacher's probabilities, a sign of collapse


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
    """Σ_j Σ_i weights[j, i] · H(q(targets_ji), p(student_i)), without ever holding all [n, L] logits.

    The gradient flows to `student` and the student's prototypes. `rows`, if given, names the rows with a non-zero weight;
    the others are left out.

    The T targets of a row share the student's logits s and one pass. As Σ_j w_j H(q_j, p) = W·lse(s) − Σ_l Σ_j w_j q_jl s_l
    with W = Σ_j w_j, the gradient with respect to s is (W·p − Σ_j w_j q_j). It is known as soon as the block of logits is,
    and is turned at once into the gradients of the small factors. Nothing of size L per row outlives the block, and backward
    recomputes nothing. `fused` computes a block in one kernel on a GPU.
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
        ctx.save_for_backward(found.by_rows, found.by_prototypes, direction, scale)
        ctx.by_factors = generated(by_factors) if fused else by_factors
        ctx.mark_non_differentiable(found.losses, found.entropies)
        return found.losses.sum(), found.losses, found.entropies

    @staticmethod
    @once_differentiable
    def backward(ctx, upstream, _loss, _entropy):
        by_rows, *prototypes = ctx.saved_tensors
        return upstream * by_rows, *ctx.by_factors(*prototypes, upstream), *[None] * 7


def by_factors(
    by_prototypes: Float[Tensor, "L h"],
    direction: Float[Tensor, "L h"],
    scale: Float[Tensor, " L"],
    upstream: Float[Tensor, ""],
) -> tuple[Float[Tensor, "L h"], Float[Tensor, " L"]]:
    """The gradients with respect to direction and scale, from that with respect to W = scale · direction."""
    return (by_prototypes * scale[:, None]).mul_(upstream), upstream * dots(by_prototypes, direction)


def _fused():
    """`losses_and_gradients` for a GPU."""
    from cribo.method.fused_losses import fused_losses_and_gradients  # needs Triton, often missing on machines without a GPU

    return fused_losses_and_gradients


@torch.no_grad()
def mean_logits(
    bottleneck_sum: Float[Tensor, " h"], count: Float[Tensor, ""], prototypes: Prototypes
) -> Float[Tensor, " L"]:
    """Mean teacher logits of `count` rows, from the sum of their bottleneck vectors (the prototype layer is linear)."""
    return prototypes.direction @ (exact(bottleneck_sum) / count.clamp_min(1)) * prototypes.scale


@torch.no_grad()
def update_centre(centre: Float[Tensor, " L"], mean: Float[Tensor, " L"], count: Float[Tensor, ""], momentum: float) -> None:
    """Update the centre in place as in DINO, after the losses of the step; a step without any rows leaves it unchanged."""
    centre.copy_(torch.where(count > 0, torch.lerp(mean, centre, momentum), centre))
