"""The kernels' outputs and gradients beside exact ones, for sequences that fill their tiles and that do not."""

import json

import torch

from cribo.model.networks.attention import attend, attention_gradient
from cribo.model.networks.fused_attention import ATTEND, OUTER, fused_attend, fused_attention_gradient
from tests.model.networks.kernels import reference

# images, tokens, heads, width of a head
CASES = [(1, 5, 1, 16), (2, 2 * OUTER, 2, 32), (1, OUTER + ATTEND[0] + 5, 3, 64), (2, ATTEND[0] + 1, 1, 128)]


def problem(B, n, heads, D, dtype, device):
    """Packed queries, keys and values, and what comes from above."""
    generator = torch.Generator().manual_seed(n)
    packed, upstream = (torch.randn(B, n, k * heads * D, generator=generator) for k in (3, 1))
    return (1.5 * packed).to(dtype).to(device), upstream.to(dtype).to(device)


def exactly(packed, upstream, heads):
    """Output and gradient by autograd in float64, and the gradient's sum over tokens."""
    x = packed.double().cpu().requires_grad_()
    out = reference.attention(x, heads)
    (gradient,) = torch.autograd.grad(out, x, upstream.double().cpu())
    return out.detach(), gradient, gradient.sum(dim=(0, 1))


def found(packed, upstream, heads, functions=(fused_attend, fused_attention_gradient)):
    forward, backward = functions
    out, log_sums = forward(packed, heads)
    return out, *backward(packed, out, log_sums, upstream, heads)


def off(a, b):
    return ((a.double().cpu() - b).norm() / b.norm()).item()


def differences(dtype, device):
    """Of each case: how far output, gradient and sums are off, relative to their norms; ours first, then plain PyTorch's."""
    out = []
    for B, n, heads, D in CASES:
        packed, upstream = problem(B, n, heads, D, dtype, device)
        exact = exactly(packed, upstream, heads)
        for functions in ((fused_attend, fused_attention_gradient), (attend._init_fn, attention_gradient._init_fn)):
            ours = found(packed, upstream, heads, functions)
            assert ours[0].dtype == ours[1].dtype == dtype and ours[2].dtype == torch.float32
            out.append([off(a, b) for a, b in zip(ours, exact, strict=True)])
    return out


def low(dtype, device):
    """How far ours are off where all scores are near −144, so that exp(−score) exceeds the range of fp32."""
    packed, upstream = problem(1, 37, 2, 16, dtype, device)
    queries, keys, _values = packed.chunk(3, dim=2)
    queries += 6
    keys -= 6
    return [off(a, b) for a, b in zip(found(packed, upstream, 2), exactly(packed, upstream, 2), strict=True)]


def faults(dtype, device):
    """Whether output, gradients and sums are all numbers, if a value, or what comes from above, is none."""
    out = []
    for argument, wrong in ((0, torch.nan), (1, torch.nan), (1, torch.inf)):
        tensors = problem(1, 37, 2, 16, dtype, device)
        tensors[argument][0, 36, -1] = wrong
        output, gradient, sums = found(*tensors, 2)
        out.append([bool(x.isfinite().all()) for x in ((output, gradient, sums) if argument == 0 else (gradient, sums))])
    return out


if __name__ == "__main__":
    dtype = torch.half  # the interpreter cannot multiply bf16
    print(json.dumps([f(dtype, "cpu") for f in (differences, low, faults)]))
