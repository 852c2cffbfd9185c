"""GELU by the tail of the normal distribution: the exact one to far less than bf16 keeps, and its derivative."""

import torch
from torch.nn import functional as F

from cribo.model.networks.gelu import gelu, slope, tail

EVERY = torch.arange(-(2**15), 2**15, dtype=torch.int16).view(torch.bfloat16)  # all numbers that bf16 has
FINITE = EVERY[EVERY.isfinite() & (EVERY.abs() < 1e30)]
ROUNDING = 2.0**-8  # the most that rounding to bf16 changes a number, relative to it


def test_the_tail_is_right_to_millionths_of_itself_as_far_as_it_is_a_billionth_of_the_whole():
    x = torch.linspace(-6, 6, 200001)
    exact = torch.special.ndtr(-x.double().abs())
    assert ((tail(x) - exact) / exact).abs().max() < 7e-6
    assert tail(torch.tensor([6.0, 9.0, 40.0, 1e10, 3e38])).max() < 1e-9


def test_of_every_number_of_bf16_it_is_the_exact_gelu_up_to_one_rounding():
    ours, exact = gelu(FINITE).double(), F.gelu(FINITE.double())
    assert ((ours - exact).abs() <= (ROUNDING + 1e-5) * exact.abs() + 1e-8).all()


def test_the_slope_is_the_derivative_of_the_exact_gelu():
    wide = FINITE.double().requires_grad_()
    (exact,) = torch.autograd.grad(F.gelu(wide).sum(), wide)
    assert (slope(FINITE) - exact).abs().max() < 5e-6


def test_what_is_no_number_stays_none():
    wrong = torch.tensor([torch.nan, torch.inf, -torch.inf])
    assert not gelu(wrong).isfinite().any() and not slope(wrong).isfinite().any()
