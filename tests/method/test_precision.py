"""Where numbers of the method are more than the backbone's."""

import pytest
import torch

from cribo.method.precision import products, unit


def test_a_zero_object_stays_zero_when_scaled_to_length_one():
    assert torch.equal(unit(torch.zeros(2, 3)), torch.zeros(2, 3))


@pytest.mark.parametrize("dtype", [torch.half, torch.bfloat16])
def test_products_of_short_numbers_are_summed_in_fp32(dtype):
    few = torch.tensor([[2.0**-8, *[1.0] * 7]], dtype=dtype)  # whose square is lost beside 7 in either
    assert products(few, few.T).item() == 7 + 2.0**-16
