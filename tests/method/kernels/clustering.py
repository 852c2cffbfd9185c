"""The kernel's nearest tokens beside those of whole distances, for sizes that are no multiple of its tiles."""

import json

import torch

from cribo.method.clustering import nearest_tokens, pairwise_distance
from cribo.method.fused_clustering import fused_nearest_tokens

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


if __name__ == "__main__":
    print(json.dumps(differences("cpu")))
