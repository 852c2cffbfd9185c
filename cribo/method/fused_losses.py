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

from cribo.method.losses import Swept

WIDTH = 1024  # logits of a row that one program looks at at a time
GRADIENT_UNIT = 2.0**-15  # differences of probabilities lie in [−1, 1]: in this unit half precision holds all that matter


def fused_sweep(
    x: Float[Tensor, "n h"],
    direction: Float[Tensor, "L h"],
    scale: Float[Tensor, " L"],
    targets: Float[Tensor, "T n h"],
    teacher_direction: Float[Tensor, "L h"],
    teacher_scale: Float[Tensor, " L"],
    centre: Float[Tensor, " L"],
    weights: Float[Tensor, "T n"],
    rows: int,
) -> Swept:
    """What `losses.sweep` computes, `rows` rows at a time.

    Where TF32 is allowed the factors of the products are rounded to half precision, which has TF32's eleven bits and twice
    its speed; the sums are fp32. Vectors are of length one, and the prototypes' entries of the size of a gain over a
    temperature: neither is beyond half precision's range, and the gradient is written in a unit that is not either.
    """
    dtype = torch.half if torch.backends.cuda.matmul.allow_tf32 else torch.float32
    prototypes, teachers = ((s[:, None] * w).to(dtype) for w, s in ((direction, scale), (teacher_direction, teacher_scale)))
    total, tiny = weights.sum(dim=0), torch.finfo(weights.dtype).tiny
    largest = torch.cat([total, total.new_full((1,), tiny)]).amax()
    shares, sizes = weights / total.clamp_min(tiny), (total / largest)[:, None]
    inputs, weighted, goals = (v.to(dtype) for v in (x, x * sizes, targets))
    grad_x, grad_w, loss, entropy = (torch.zeros_like(v) for v in (x, direction, weights, weights))
    for i in range(0, len(x), rows):
        part = slice(i, i + rows)
        grad = cross_entropies(
            products(inputs[part], prototypes.T), products(goals[:, part].flatten(0, 1), teachers.T),
            centre, shares[:, part], loss[:, part], entropy[:, part], dtype,
        )  # fmt: skip
        add_products(grad_w, grad.T, weighted[part])
        grad_x[part] = products(grad, prototypes)
    grad_x *= total[:, None] * GRADIENT_UNIT
    grad_w *= largest * GRADIENT_UNIT
    return Swept((weights * loss).sum(dim=1), (weights * entropy).sum(dim=1), grad_x, grad_w)


def products(a: Float[Tensor, "n m"], b: Float[Tensor, "m k"]) -> Float[Tensor, "n k"]:
    """a @ b, summed in fp32."""
    if a.dtype == torch.float32:
        return a @ b
    return torch.mm(a, b, out_dtype=torch.float32) if a.is_cuda else a.float() @ b.float()


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
def _seen(value, top, total):
    """Running maximum of each lane, and Σ exp(value − maximum)."""
    decay = tl.exp(-tl.abs(value - top))
    return tl.maximum(top, value), tl.where(value > top, total * decay + 1, total + decay), decay


@triton.jit
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
        live = tl.where(inside, t, float("-inf"))
        larger = live > t_top
        s_top, s_sum, _ = _seen(tl.where(inside, s, float("-inf")), s_top, s_sum)
        t_top, t_sum, decay = _seen(live, t_top, t_sum)
        t_dot_s = tl.where(larger, t_dot_s * decay + s, t_dot_s + decay * s)
        t_dot_t = tl.where(larger, t_dot_t * decay + t, t_dot_t + decay * t)

    top = tl.max(s_top, axis=1, keep_dims=True)
    s_lse = top + tl.log(tl.sum(s_sum * tl.exp(s_top - top), axis=1, keep_dims=True))
    top = tl.max(t_top, axis=1, keep_dims=True)
    scale = tl.exp(t_top - top)
    total = tl.sum(t_sum * scale, axis=1, keep_dims=True)
    t_lse = top + tl.log(total)
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
