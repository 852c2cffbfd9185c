"""The cross-entropies of a block of rows in two passes over its logits, in one GPU kernel.

Written out as tensor operations the softmaxes, their products and the gradient read the [rows, L] logits a dozen times, and
that is most of what the losses cost. Here the first pass takes maxima, sums and products as they run, the second writes the
gradient. Imported on a GPU alone, and by the test, which runs it through Triton's interpreter.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from cribo.method.losses_by_block import LossesAndGradients
from cribo.method.precision import products

WIDTH = 1024  # logits of a row that one program looks at at a time
GRADIENT_UNIT = 2.0**-15  # differences of probabilities lie in [−1, 1]: in this unit half precision holds all that matters


def fused_losses_and_gradients(
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
    """What `losses_by_block.losses_and_gradients` computes.

    Where TF32 is allowed the factors of the products are rounded to half precision, which has TF32's precision and twice its
    speed; the sums are fp32. Vectors are of length one, and the prototypes' entries of the size of a gain over a
    temperature: a gain of some thousands would leave half precision's range, and then loss or entropy is no finite number.
    """
    dtype = torch.half if torch.backends.cuda.matmul.allow_tf32 else torch.float32
    prototypes, teachers = ((s[:, None] * w).to(dtype) for w, s in ((direction, scale), (teacher_direction, teacher_scale)))
    # A row's gradient is total · Σ share · (p − q), and total, some 1/Z, is too small for half precision: the sum alone,
    # which lies in [−1, 1], is written, and what it is multiplied by is scaled to at most 1.
    weights, tiny = weights.contiguous(), torch.finfo(weights.dtype).tiny
    total = weights.sum(dim=0)
    largest = torch.cat([total, total.new_full((1,), tiny)]).amax()
    shares, relative = weights / total.clamp_min(tiny), (total / largest)[:, None]
    inputs, weighted, goals = (v.to(dtype) for v in (x, x * relative, targets))
    grad_x, grad_w, loss, entropy = (torch.zeros_like(v) for v in (x, direction, weights, weights))
    for i in range(0, len(x), per_block):
        part = slice(i, i + per_block)
        grad = cross_entropies(
            products(inputs[part], prototypes.T), products(goals[:, part].flatten(0, 1), teachers.T),
            centre, shares[:, part], loss[:, part], entropy[:, part], dtype,
        )  # fmt: skip
        add_products(grad_w, grad.T, weighted[part])
        grad_x[part] = products(grad, prototypes)
    grad_x *= total[:, None] * GRADIENT_UNIT
    grad_w *= largest * GRADIENT_UNIT
    return LossesAndGradients((weights * loss).sum(dim=1), (weights * entropy).sum(dim=1), grad_x, grad_w)


def add_products(total: Float[Tensor, "n k"], a: Float[Tensor, "n m"], b: Float[Tensor, "m k"]) -> None:
    """total += a @ b."""
    if a.dtype == torch.half and a.is_cuda:
        torch.addmm(total, a, b, out_dtype=torch.float32, out=total)
    else:
        total.addmm_(a.float(), b.float())


def cross_entropies(
    student: Float[Tensor, "n L"],
    teacher: Float[Tensor, "Tn L"],
    centre: Float[Tensor, " L"],
    shares: Float[Tensor, "T n"],
    loss: Float[Tensor, "T n"],
    entropy: Float[Tensor, "T n"],
    dtype: torch.dtype,
) -> Float[Tensor, "n L"]:
    """Writes H(q_j, p) and H(q_j) of each row and target; returns Σ_j share_j · (p − q_j), in units of `GRADIENT_UNIT`.

    p is the softmax of the student's logits, q_j that of the teacher's less the centre.
    """
    n, L = student.shape
    grad = torch.empty(n, L, dtype=dtype, device=student.device)
    targets = triton.next_power_of_2(len(shares))
    _cross_entropies[(n,)](
        student, teacher, centre, shares, loss, entropy, grad, n, L, shares.stride(0), loss.stride(0),
        len(shares), targets, min(WIDTH, triton.next_power_of_2(L)), 1 / GRADIENT_UNIT, num_warps=8,
    )  # fmt: skip
    return grad


@triton.jit
def _running(value, top, total):
    """Of each lane: the maximum, Σ exp(value − maximum), whether this value is the largest yet, exp(−|value − the old|)."""
    larger, decay = value > top, tl.exp(-tl.abs(value - top))
    return tl.maximum(top, value), tl.where(larger, total * decay + 1, total + decay), larger, decay


# Strides and numbers of rows change from step to step: a kernel made for each would be made in the middle of a training.
@triton.jit(
    do_not_specialize=["n", "shares_stride", "loss_stride"],
    do_not_specialize_on_alignment=["shares", "loss", "entropy"],
)
def _cross_entropies(
    student, teacher, centre, shares, loss, entropy, grad, n, L, shares_stride, loss_stride,
    T: tl.constexpr, TARGETS: tl.constexpr, WIDTH: tl.constexpr, UNITS: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    target = tl.arange(0, TARGETS)[:, None]
    there = target < T
    student += row.to(tl.int64) * L
    teacher += (target * n + row).to(tl.int64) * L
    s_top = tl.full((1, WIDTH), -1e30, tl.float32)
    t_top = tl.full((TARGETS, WIDTH), -1e30, tl.float32)
    s_sum = tl.zeros((1, WIDTH), tl.float32)
    t_sum = tl.zeros((TARGETS, WIDTH), tl.float32)
    t_dot_s = tl.zeros((TARGETS, WIDTH), tl.float32)  # Σ exp(t − maximum) · s
    t_dot_t = tl.zeros((TARGETS, WIDTH), tl.float32)
    for start in range(0, L, WIDTH):
        column = start + tl.arange(0, WIDTH)[None, :]
        inside = column < L
        s = tl.load(student + column, mask=inside, other=0.0)
        t = tl.load(teacher + column, mask=inside & there, other=0.0) - tl.load(centre + column, mask=inside, other=0.0)
        s_top, s_sum, _s_larger, _s_decay = _running(tl.where(inside, s, float("-inf")), s_top, s_sum)
        t_top, t_sum, larger, decay = _running(tl.where(inside, t, float("-inf")), t_top, t_sum)
        t_dot_s = tl.where(larger, t_dot_s * decay + s, t_dot_s + decay * s)
        t_dot_t = tl.where(larger, t_dot_t * decay + t, t_dot_t + decay * t)

    s_max = tl.max(s_top, axis=1, keep_dims=True)
    s_lse = s_max + tl.log(tl.sum(s_sum * tl.exp(s_top - s_max), axis=1, keep_dims=True))
    t_max = tl.max(t_top, axis=1, keep_dims=True)
    scale = tl.exp(t_top - t_max)
    total = tl.sum(t_sum * scale, axis=1, keep_dims=True)
    t_lse = t_max + tl.log(total)
    place = target * loss_stride + row
    tl.store(loss + place, s_lse - tl.sum(t_dot_s * scale, axis=1, keep_dims=True) / total, mask=there)
    tl.store(entropy + place, t_lse - tl.sum(t_dot_t * scale, axis=1, keep_dims=True) / total, mask=there)

    share = tl.load(shares + target * shares_stride + row, mask=there, other=0.0) * UNITS
    every = tl.sum(share, axis=0, keep_dims=True)
    grad += row.to(tl.int64) * L
    for start in range(0, L, WIDTH):
        column = start + tl.arange(0, WIDTH)[None, :]
        inside = column < L
        s = tl.load(student + column, mask=inside, other=0.0)
        t = tl.load(teacher + column, mask=inside & there, other=0.0) - tl.load(centre + column, mask=inside, other=0.0)
        gradient = every * tl.exp(s - s_lse) - tl.sum(share * tl.exp(t - t_lse), axis=0, keep_dims=True)
        tl.store(grad + column, gradient.to(grad.dtype.element_ty), mask=inside)
