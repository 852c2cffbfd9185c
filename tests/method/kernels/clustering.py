"""The kernels' passes beside those of torch, for sizes that are no multiple of their tiles."""

import json

import torch

from cribo.method.clustering import cosines, nearest_tokens, pairwise_distance, sums
from cribo.method.fused_clustering import fused_cosines, fused_nearest_tokens, fused_sums
from cribo.method.precision import unit

CASES = [(50, 6), (90, 40), (70, 8)]  # tokens, clusters


def differences(device):
    """Of each case, with a token's own distance and without: the largest difference as a share of the distance."""
    generator = torch.Generator().manual_seed(0)
    out = []
    for n, K in CASES:
        positions = torch.randint(0, 20, (3, n, 2), generator=generator).float().to(device)
        labels = torch.randint(0, K + 1, (3, n), generator=generator).to(device)  # label K is no cluster
        labels[0][labels[0] == 1] = 0  # an empty cluster
        for exclude_self in (True, False):
            exact = nearest_tokens(pairwise_distance(positions, exclude_self), labels, K)
            found = fused_nearest_tokens(positions, labels, K, exclude_self)
            assert exact.isinf().any() and torch.equal(found.isinf(), exact.isinf())
            apart = (found - exact).abs() / exact.clamp_min(1)
            out.append(apart[exact.isfinite()].max().item())
    return out


def products(device):
    """Of each case: the largest difference of cosines and of sums from those in float64, as a share of a vector's length."""
    generator = torch.Generator().manual_seed(1)
    out = []
    for (n, K), d in zip([*CASES, (130, 70)], (16, 70, 64, 130), strict=True):
        z = unit(torch.randn(2, n, d, generator=generator)).to(device)
        centroids = unit(torch.randn(2, K, d, generator=generator)).to(device)
        labels = torch.randint(0, K, (2, n), generator=generator).to(device)
        labels[0][labels[0] == 1] = 0
        pairs = (
            (fused_cosines(z, centroids), cosines(z.double(), centroids.double())),
            (fused_sums(z, labels, K), sums(z.double(), labels, K)),
        )
        out.append([(found - exact).abs().max().item() for found, exact in pairs])
        assert found_nothing_in(labels, K, pairs[1][0]) and all(found.dtype == torch.float32 for found, _ in pairs)
    return out


def found_nothing_in(labels, K, sums):
    """Whether the sums of clusters without tokens are zero; some must be."""
    empty = torch.stack([(labels == k).sum(dim=1) == 0 for k in range(K)], dim=1)
    return empty.any() and not sums[empty].any()


if __name__ == "__main__":
    print(json.dumps([differences("cpu"), products("cpu")]))
