"""The GELU of compiled steps in bf16, without the erf that takes longer than loading and storing the numbers.

x·Φ(x) = max(x, 0) − |x|·Φ(−|x|), and the logarithm of Φ(−a) is so smooth that a polynomial of degree 7 gives it: one power
of two and a dozen sums and products. In a profile of a ViT-B/16's step on an H200 the passes with erf took 278 µs where
those of the memory alone take 145.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import BFloat16, Float
from torch import Tensor, nn

# log₂ Φ(−a) = Σ c_i aⁱ for 0 ≤ a ≤ 6, fitted for the least largest error: Φ(−a) is right to 6e-6 of itself in fp32, and
# bf16 keeps 4e-3. Beyond 6, where less than 1e-9 is left of it, the polynomial falls faster than the logarithm, to −∞.
LOG_TAIL = (
    -0.999995293, -1.15125106, -0.458464369, -0.0539600903, 0.00850789982, -0.000930526773, 6.15984981e-05, -1.83481977e-06
)  # fmt: skip


def tail(x: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Φ(−|x|), the smaller of the two tails that x cuts off a normal distribution."""
    a = x.abs()
    power = torch.full_like(a, LOG_TAIL[-1])
    for coefficient in LOG_TAIL[-2::-1]:
        power = power * a + coefficient
    return torch.exp2(power)


class GeluOfTails(torch.autograd.Function):
    """x·Φ(x) of bf16 numbers, computed in fp32. For the compiler, which makes one pass of it: uncompiled it is twenty."""

    @staticmethod
    def forward(ctx, x: BFloat16[Tensor, "*n"]) -> BFloat16[Tensor, "*n"]:
        """relu(x) − |x|·Φ(−|x|)."""
        ctx.save_for_backward(x)
        wide = x.float()
        return (wide.relu() - wide.abs() * tail(wide)).to(x.dtype)

    @staticmethod
    def backward(ctx, upstream: BFloat16[Tensor, "*n"]) -> BFloat16[Tensor, "*n"]:
        """Φ(x) + x·φ(x), times what comes from above."""
        (x,) = ctx.saved_tensors
        wide = x.float()
        below = tail(wide)
        density = torch.exp2(wide * wide * (-0.5 / math.log(2))) / math.sqrt(2 * math.pi)
        slope = torch.where(wide > 0, 1 - below, below) + wide * density
        return (upstream.float() * slope).to(x.dtype)


class Gelu(nn.GELU):
    """timm's, but in compiled passes of a GPU in bf16."""

    def forward(self, x: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
        """Equal everywhere, but for rounding."""
        if x.is_cuda and x.dtype == torch.bfloat16 and torch.compiler.is_compiling():
            return GeluOfTails.apply(x)
        return super().forward(x)


def replace_gelus(vit: nn.Module) -> None:
    """Put ours in place of timm's."""
    for module in list(vit.modules()):
        for name, child in module.named_children():
            if type(child) is nn.GELU and child.approximate == "none":
                setattr(module, name, Gelu())
