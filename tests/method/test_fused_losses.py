"""The kernel computes what the plain form does: through Triton's interpreter without a GPU, compiled where there is one."""

import math

import pytest
import torch

from tests.interpreted import interpreted
from tests.method.kernels import losses

# fp32 sums in another order; half precision rounds factors to 11 bits, of logits up to 25 (the teacher's) and gradients.
TOLERANCE = {False: 5e-6, True: 3e-3}


def judge(found, faults):
    *wrong, unweighted = faults
    assert wrong and not any(math.isfinite(sum(losses)) for losses in wrong) and unweighted == [0, 0]
    assert len(found) == 2 * len(losses.CASES)
    for tf32, *differences in found:
        assert len(differences) == 4 and all(x < TOLERANCE[tf32] for x in differences)


@pytest.mark.skipif(torch.cuda.is_available(), reason="the compiled kernel is tested here")
def test_the_interpreted_kernel_computes_losses_and_gradients_and_hides_no_number_that_is_none():
    judge(*interpreted("method.kernels.losses"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_kernel_computes_losses_and_gradients_and_hides_no_number_that_is_none():
    judge(losses.differences("cuda"), losses.faults("cuda"))
