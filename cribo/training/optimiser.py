"""AdamW as in DINO, with no weight decay on biases and one-dimensional tensors; and the teacher's moving average."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cribo.method.generated import generated


def build_optimiser(network: nn.Module, beta2: float = 0.999) -> torch.optim.AdamW:
    """AdamW (β 0.9 and `beta2`; ε 1e-8) with two groups: decayed matrices, and undecayed biases and gains of norms.

    Position embedding, CLS token and the prototypes' gain have more than one dimension, so they are decayed, as in the
    released code. Learning rate and decay are set before every step.
    """
    named = [(n, p) for n, p in network.named_parameters() if p.requires_grad]
    plain = [p for n, p in named if n.endswith(".bias") or p.ndim <= 1]
    decayed = [p for n, p in named if not (n.endswith(".bias") or p.ndim <= 1)]
    return torch.optim.AdamW(
        [{"params": decayed, "decay": True}, {"params": plain, "decay": False}],
        lr=0.0,
        betas=(0.9, beta2),
        weight_decay=0.0,
        fused=True,
    )


def set_hyperparameters(optimiser: torch.optim.Optimizer, lr: float, weight_decay: float) -> None:
    """Set the learning rate of all groups, and the weight decay of the decayed group."""
    for group in optimiser.param_groups:
        group["lr"] = lr
        group["weight_decay"] = weight_decay if group["decay"] else 0.0


@torch.no_grad()
def clip_each(parameters: Iterable[nn.Parameter], max_norm: float, fused: bool = False) -> None:
    """Scale each tensor's own gradient down to `max_norm` (DINO clips per tensor, not the global norm).

    `fused` scales all of them in a few GPU kernels; torch's own function launches one per tensor if the factors differ.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    norms = torch.stack(torch._foreach_norm(gradients))
    scale = generated(scale_each) if fused else scale_each
    scale((max_norm / (norms + 1e-6)).clamp_max(1.0), gradients)


def scale_each(factors: Float[Tensor, " n"], tensors: Sequence[Tensor]) -> None:
    """Multiply each tensor by its own factor, in place."""
    torch._foreach_mul_(tensors, factors.unbind())


def drop_prototype_gradients(network: nn.Module) -> None:
    """Keep the prototypes unchanged in this step: AdamW skips parameters without a gradient, decay included."""
    for layer in (network.head.image_prototypes, network.head.object_prototypes):
        for parameter in layer.parameters() if layer else ():
            parameter.grad = None


@torch.no_grad()
def follow(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    """θ_t ← momentum · θ_t + (1 − momentum) · θ_s, for every parameter."""
    torch._foreach_lerp_(list(teacher.parameters()), list(student.parameters()), 1 - momentum)
