"""The kernel's losses and gradients beside those of the plain form, for sizes that fill its tiles and that do not."""

import json

import torch
from torch.nn import functional as F

from cribo.method.fused_losses import fused_losses_and_gradients
from cribo.method.losses_by_block import losses_and_gradients
from cribo.training.acceleration import tensor_cores

CASES = [(5, 70, 1, 2), (9, 2500, 2, 4), (3, 1024, 3, 3)]  # rows, prototypes, targets, rows at a time


def problem(n, L, T, device):
    """Bottleneck vectors, prototypes of length one over the temperatures, weights of a mean."""
    generator = torch.Generator().manual_seed(n)
    r = lambda *shape: torch.randn(*shape, generator=generator)  # noqa: E731
    direction, teacher = r(L, 16), r(L, 16)
    weights = torch.rand(T, n, generator=generator) / n
    weights[:, 0] = 0  # a row without a loss
    weights[0, 1] = 0
    scales = 10 / direction.norm(dim=1), 25 / teacher.norm(dim=1)
    parts = F.normalize(r(n, 16), dim=-1), direction, scales[0], F.normalize(r(T, n, 16), dim=-1), teacher, scales[1]
    return [x.to(device) for x in (*parts, r(L), weights)]


def differences(device):
    """Of each case and way of multiplying: the largest difference of each result, as a share of its largest entry."""
    out = []
    for n, L, T, rows in CASES:
        arguments = problem(n, L, T, device)
        exact = losses_and_gradients(*(x.double() for x in arguments), rows)
        for tf32 in (False, True):
            with tensor_cores(tf32):
                found = fused_losses_and_gradients(*arguments, rows)
            assert not found.by_rows[0].any()
            off = [((a - b).abs().max() / b.abs().max()).item() for a, b in zip(found, exact, strict=True)]
            out.append([tf32, *off])
    return out


def faults(device):
    """Losses of each target where an argument holds no number, or one beyond half precision; then without weights."""
    out = []
    for argument, value in ((0, torch.nan), (0, torch.inf), (3, torch.nan), (6, -torch.inf), (2, torch.inf)):
        arguments = problem(4, 70, 2, device)
        arguments[argument].view(-1)[-1] = value
        out.append(fused_losses_and_gradients(*arguments, 2).losses.tolist())
    for scale in (2, 5):
        arguments = problem(4, 70, 2, device)
        arguments[scale] *= 1e5
        with tensor_cores(True):
            out.append(fused_losses_and_gradients(*arguments, 2).losses.tolist())
    *arguments, weights = problem(4, 70, 2, device)
    out.append(fused_losses_and_gradients(*arguments, weights * 0, 2).losses.tolist())
    return out


if __name__ == "__main__":
    print(json.dumps([differences("cpu"), faults("cpu")]))
