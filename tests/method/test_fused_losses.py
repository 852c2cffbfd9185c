"""The kernel computes what the plain sweep does: through Triton's interpreter without a GPU, compiled where there is one."""

import pytest
import torch

from tests.method.interpreted import interpreted
from tests.method.kernels import losses

# fp32 sums in another order; half precision rounds factors to 11 bits, of logits up to 25 (the teacher's) and gradients.
TOLERANCE = {False: 5e-6, True: 3e-3}


def judge(found):
    assert len(found) == 2 * len(losses.CASES)
    for tf32, *differences in found:
        assert len(differences) == 4 and max(differences) < TOLERANCE[tf32]


@pytest.mark.skipif(torch.cuda.is_available(), reason="the compiled kernel is tested here")
def test_the_interpreted_kernel_computes_losses_entropies_and_gradients():
    judge(interpreted("losses"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_kernel_computes_losses_entropies_and_gradients():
    judge(losses.differences("cuda"))
