"""The kernel computes the exact GELU's gradients: through Triton's interpreter, or compiled where there is a GPU."""

import math

import pytest
import torch

from tests.interpreted import interpreted
from tests.model.networks.kernels import gelu

ROUNDING = 2.0**-8  # of a number to bf16; the interpreter cuts the bits off instead, which may be twice as much


def judge(differences, faults, kept=ROUNDING):
    assert len(differences) == len(gelu.CASES)
    for gradient, sums in differences:
        assert gradient < kept
        assert sums < 2e-5  # taken in fp32, before the rounding
    assert faults and not any(map(math.isfinite, faults))


@pytest.mark.skipif(torch.cuda.is_available(), reason="the compiled kernel is tested here")
def test_the_interpreted_kernel_computes_gradients_and_sums_and_hides_no_number_that_is_none():
    judge(*interpreted("model.networks.kernels.gelu"), 2 * ROUNDING)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_kernel_computes_gradients_and_sums_and_hides_no_number_that_is_none():
    judge(gelu.differences("cuda"), gelu.faults("cuda"))
