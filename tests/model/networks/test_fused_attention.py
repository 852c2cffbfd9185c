"""The kernels compute exact attention and its gradients: through Triton's interpreter, or compiled where there is a GPU."""

import pytest
import torch

from tests.interpreted import interpreted
from tests.model.networks.kernels import attention


def judge(differences, low, finite, rounding):
    assert len(differences) == 2 * len(attention.CASES)
    for ours, plain in zip(differences[::2], differences[1::2], strict=True):
        # p and the gradient of the scores are rounded too, as factors of products.
        assert all(x < rounding for x in (*ours, *plain))  # `max` would pass over what is no number
    assert len(low) == 3 and all(x < 8 * rounding for x in low)  # nearly equal keys, whose parts cancel
    assert finite and not any(any(case) for case in finite)


@pytest.mark.skipif(torch.cuda.is_available(), reason="the compiled kernels are tested here")
def test_the_interpreted_kernels_compute_attention_and_gradients_and_hide_no_number_that_is_none():
    judge(*interpreted("model.networks.kernels.attention"), 2.0**-10)


def test_many_local_crops_fit_a_grid_whose_second_and_third_side_a_gpu_limits():
    pytest.importorskip("triton")
    from cribo.model.networks.fused_attention import ATTEND, _tiled

    crops = torch.empty(60_000, 37, 3 * 384, device="meta")
    assert max(_tiled(crops, 6, *ATTEND)[0][1:]) < 1 << 16


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize(("dtype", "rounding"), [(torch.half, 2.0**-10), (torch.bfloat16, 2.0**-7)])
def test_the_kernels_compute_attention_and_gradients_and_hide_no_number_that_is_none(dtype, rounding):
    judge(*(f(dtype, "cuda") for f in (attention.differences, attention.low, attention.faults)), rounding)
