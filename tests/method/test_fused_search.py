"""The kernel answers like the plain search: through Triton's interpreter without a GPU, compiled where there is one."""

import pytest
import torch

from tests.interpreted import interpreted
from tests.method.kernels import search


def judge(found):
    assert len(found) == len(search.CASES) - 1  # the last has no valid key: it was seen that nothing is found
    for short, off, others in found:
        assert short < 2e-3 and off < 1e-6 and others < 0.05  # near-ties of half precision


@pytest.mark.skipif(torch.cuda.is_available(), reason="the compiled kernel is tested here")
def test_the_interpreted_kernel_finds_the_nearest_valid_key_of_another_id():
    judge(interpreted("method.kernels.search"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_kernel_finds_the_nearest_valid_key_of_another_id():
    judge(search.differences("cuda"))
