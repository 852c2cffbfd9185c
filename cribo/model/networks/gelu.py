"""GELU without erf, which on a GPU takes longer than loading and storing the numbers.

x·Φ(x) = max(x, 0) − |x|·Φ(−|x|), and the logarithm of Φ(−a) is so smooth that a polynomial of degree 7 approximates it: one
power of two and a dozen sums and products. In profiles of a ViT-B/16 step on H200s, a pass with erf took 278 µs and a pass
of this form 145 µs, which is the time of the memory accesses alone.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

# log₂ Φ(−a) = Σ c_i aⁱ for 0 ≤ a ≤ 6, a minimax fit: Φ(−a) has a relative error of at most 6e-6 in fp32, and bf16 resolves
# only 4e-3. Beyond 6, where Φ(−a) is below 1e-9, the polynomial falls to −∞ faster than the logarithm.
LOG_TAIL = (
    -0.999995293, -1.15125106, -0.458464369, -0.0539600903, 0.00850789982, -0.000930526773, 6.15984981e-05, -1.83481977e-06
)  # fmt: skip
LOG_DENSITY = -0.5 / math.log(2)  # log₂ of the normal density at x relative to 0, divided by x² …
DENSITY = 1 / math.sqrt(2 * math.pi)  # … and the density at 0


def tail(x: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Φ(−|x|), the smaller of the two tails into which x cuts a normal distribution."""
    a = x.abs()
    power = torch.full_like(a, LOG_TAIL[-1])
    for coefficient in LOG_TAIL[-2::-1]:
        power = power * a + coefficient
    return torch.exp2(power)


def gelu(x: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """x·Φ(x), in the dtype of x, computed in fp32."""
    wide = x.float()
    return (wide.relu() - wide.abs() * tail(wide)).to(x.dtype)


def slope(x: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """The derivative, Φ(x) + x·φ(x), in fp32."""
    wide = x.float()
    below = tail(wide)
    return torch.where(wide > 0, 1 - below, below) + wide * torch.exp2(wide * wide * LOG_DENSITY) * DENSITY
