"""The cross-entropies of a block of rows in two passes over its logits, in one GPU kernel.

Written as tensor operations, the softmaxes, their products and the gradient read the [rows, L] logits a dozen times, which
is most of the cost of the losses. Here the first pass keeps running maxima, sums and products, and the second writes the
gradient. This module is imported only on a GPU, and by the test, which runs it through Triton's interpreter.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from cribo.method.generated import generated
from cribo.method.losses_by_block import LossesAndGradients
from cribo.method.precision import products

WIDTH = 1024  # logits of a row that a program reads at a time
GRADIENT_UNIT = 2.0**-15  # differences of probabilities lie in [−1, 1]; in this unit, half precision holds all that matters


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
    """Same result as `losses_by_block.losses_and_gradients`.

    Where TF32 is allowed, the factors of the products are rounded to half precision, which is as precise as TF32 and twice
    as fast; sums are in fp32. Vectors have length one, and entries of the prototypes are about a gain divided by a
    temperature. A gain of several thousand would exceed the range of half precision and make a loss or entropy non-finite.
    """
    dtype = torch.half if torch.backends.cuda.matmul.allow_tf32 else torch.float32
    pairs = (direction, scale), (teacher_direction, teacher_scale)
    prototypes, teachers = (generated(scaled_rows)(*pair, dtype) for pair in pairs)
    # A row's gradient is total · Σ share · (p − q). The total, of the order of 1/Z, is too small for half precision. So the
    # kernel writes only the sum, which lies in [−1, 1], and its multiplier is scaled to at most 1.
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


def scaled_rows(x: Float[Tensor, "L h"], scale: Float[Tensor, " L"], dtype: torch.dtype) -> Float[Tensor, "L h"]:
    """The rows of x, each times its number."""
    return (scale[:, None] * x).to(dtype)


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
    """Write H(q_j, p) and H(q_j) of each row and target; return Σ_j share_j · (p − q_j), in units of `GRADIENT_UNIT`.

    p is the softmax of the student's logits, q_j that of the teacher's logits minus the centre.
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
    """For each lane: new maximum, Σ exp(value − maximum), whether `value` exceeds the old maximum, exp(−|value − old|)."""
    larger, decay = value > top, tl.exp(-tl.abs(value - top))
    return tl.maximum(top, value), tl.where(larger, total * decay + 1, total + decay), larger, decay


# Strides and row counts change from step to step. A kernel specialised to each would be compiled in the middle of training.
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
