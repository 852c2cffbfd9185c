"""The kernel finds the nearest tokens: through Triton's interpreter without a GPU, compiled where there is one."""

import pytest
import torch

from cribo.method.clustering import ClusteringSettings, joint_space_clustering
from tests.interpreted import interpreted
from tests.method.kernels import clustering


def judge(found):
    assert len(found) == 2 * len(clustering.CASES) and all(x < 1e-6 for x in found)


@pytest.mark.skipif(torch.cuda.is_available(), reason="the compiled kernel is tested here")
def test_the_interpreted_kernel_finds_the_nearest_tokens():
    judge(interpreted("method.kernels.clustering"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_kernel_finds_the_nearest_tokens():
    judge(clustering.differences("cuda"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_generated_kernels_find_the_same_clusters():
    tokens, positions = torch.randn(8, 98, 32, device="cuda"), 200 * torch.rand(8, 98, 2, device="cuda")
    seeds = torch.stack([torch.randperm(98, device="cuda")[:6] for _ in range(8)])
    how = ClusteringSettings(6, 1.0, 20.0, 5, 5, "histogram", True, "unit", 4)
    plain, generated = (joint_space_clustering(tokens, positions, seeds, how, None, fused) for fused in (False, True))
    assert (plain == generated).float().mean() > 0.99  # sums in another order may turn a near-tie
