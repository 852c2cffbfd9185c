"""The kernel's gradients beside exact ones, for sizes that fill its tiles and that do not."""

import json

import torch
from torch.nn import functional as F

from cribo.model.networks.fused_gelu import COLUMNS, PARTS, ROWS, fused_gelu_gradient

CASES = [(3, 40), (PARTS * ROWS + 5, COLUMNS + 8), (2 * PARTS * ROWS, 2 * COLUMNS)]  # rows, width of the hidden layer


def problem(M, width, device):
    """A hidden layer and what comes from above, in bf16."""
    generator = torch.Generator().manual_seed(M)
    hidden, upstream = (torch.randn(M, width, generator=generator) for _ in range(2))
    return (2 * hidden).bfloat16().to(device), upstream.bfloat16().to(device)


def differences(device):
    """Of each case: the largest difference of the gradient and of its sums, as a share of the largest entry."""
    out = []
    for M, width in CASES:
        hidden, upstream = problem(M, width, device)
        exact = hidden.double().requires_grad_()
        (gradient,) = torch.autograd.grad(F.gelu(exact), exact, upstream.double())
        expected = gradient, gradient.sum(dim=0)
        found = fused_gelu_gradient(hidden, upstream)
        out.append([((a - b).abs().max() / b.abs().max()).item() for a, b in zip(found, expected, strict=True)])
    return out


def faults(device):
    """Sum of all gradients where the hidden layer, or what comes from above, holds no number."""
    out = []
    for argument, wrong in ((0, torch.nan), (1, torch.nan), (1, torch.inf)):
        tensors = problem(5, 40, device)
        tensors[argument][4, 39] = wrong
        out.append(fused_gelu_gradient(*tensors)[1].sum().item())
    return out


if __name__ == "__main__":
    print(json.dumps([differences("cpu"), faults("cpu")]))
