"""The cross-entropies between teacher and student (Eqs. 5–11) and the centres that keep the teacher from collapsing.

All three losses of Eq. 11 have one form: for row i, H(q_i, p_i) with the teacher's q = softmax((logits − centre) / τ_t) and
the student's p = softmax(logits / τ_s), where logits are the products of a bottleneck vector and the L prototypes. They
differ in the rows and in their weights, so one function serves them all.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

# Entries of a block of logits; three or four such blocks are alive at a time (64 MiB each in fp32).
BLOCK = 1 << 24


def soft_cross_entropy(
    student: Float[Tensor, "n h"],
    student_prototypes: Float[Tensor, "L h"],
    targets: Float[Tensor, "T n h"],
    teacher_prototypes: Float[Tensor, "L h"],
    centre: Float[Tensor, " L"],
    weights: Float[Tensor, "T n"],
    student_temperature: float,
    teacher_temperature: float,
    block: int = BLOCK,
) -> tuple[Float[Tensor, ""], Float[Tensor, " T"], Float[Tensor, " T"]]:
    """Σ_j Σ_i weights[j, i] · H(q_ji, p_i), from bottleneck vectors; the [n, L] logits are never held whole.

    Returns the sum over all targets (with gradient for `student` and `student_prototypes`), the sum of each target j, and
    each target's teacher entropy in nats, weighted alike (a sign of collapse); the last two carry no gradient.

    The T targets of a row share the student's logits and one pass. As Σ_j w_j H(q_j, p) = W·lse(s) − Σ_l (Σ_j w_j q_jl) s_l
    with W = Σ_j w_j, the gradient by s is (W·p − Σ_j w_j q_j), known as soon as the block of logits is: it is turned at once
    into the gradients of the small factors, and nothing of size L per row survives the block.
    """
    return _SoftCrossEntropy.apply(
        student.float(),
        student_prototypes.float(),
        targets.float(),
        teacher_prototypes.float(),
        centre,
        weights,
        student_temperature,
        teacher_temperature,
        block,
    )


class _SoftCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, prototypes, targets, teacher_prototypes, centre, weights, tau_s, tau_t, block):
        grad_x, grad_prototypes = torch.zeros_like(x), torch.zeros_like(prototypes)
        loss, entropy = x.new_zeros(len(targets)), x.new_zeros(len(targets))
        rows = max(1, block // prototypes.shape[0])
        for i in range(0, len(x), rows):
            part, w = slice(i, i + rows), weights[:, i : i + rows]
            s = (x[part] @ prototypes.T).div_(tau_s)
            lse = s.logsumexp(dim=1)
            grad = (s - lse[:, None]).exp_().mul_(w.sum(dim=0)[:, None])
            for j, target in enumerate(targets):
                t = (target[part] @ teacher_prototypes.T).sub_(centre).div_(tau_t)
                t_lse = t.logsumexp(dim=1)
                q = (t - t_lse[:, None]).exp_()
                loss[j] += (w[j] * (lse - (q * s).sum(dim=1))).sum()
                entropy[j] += (w[j] * (t_lse - (q * t).sum(dim=1))).sum()
                grad.sub_(q.mul_(w[j][:, None]))
            grad.div_(tau_s)
            grad_x[part] = grad @ prototypes
            grad_prototypes.addmm_(grad.T, x[part])
        ctx.save_for_backward(grad_x, grad_prototypes)
        ctx.mark_non_differentiable(loss, entropy)
        return loss.sum(), loss, entropy

    @staticmethod
    @once_differentiable
    def backward(ctx, upstream, _loss, _entropy):
        grad_x, grad_prototypes = ctx.saved_tensors
        return (upstream * grad_x, upstream * grad_prototypes, *[None] * 7)


@torch.no_grad()
def mean_logits(
    bottleneck_sum: Float[Tensor, " h"], count: Float[Tensor, ""], prototypes: Float[Tensor, "L h"]
) -> Float[Tensor, " L"]:
    """Mean teacher logits of `count` rows from the sum of their bottleneck vectors: the prototype layer is linear."""
    return prototypes.float() @ (bottleneck_sum.float() / count.clamp_min(1))


@torch.no_grad()
def update_centre(centre: Float[Tensor, " L"], mean: Float[Tensor, " L"], count: Float[Tensor, ""], momentum: float) -> None:
    """DINO's centring, in place, after the losses of the step were taken; a step without any row leaves it as it is."""
    centre.copy_(torch.where(count > 0, torch.lerp(mean, centre, momentum), centre))
