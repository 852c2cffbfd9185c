"""Stochastic depth with draws from outside: a number that belongs to image i decides whether its residual branch is skipped.

timm draws from the global random state, so its masks depend on how a batch is split. Here one table for the whole batch, a
function of (seed, step) alone, is cut like the batch itself, so processes and micro-batches change nothing.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from timm.layers import DropPath as TimmDropPath
from torch import Tensor, nn


class DropPath(nn.Module):
    """Scales each row of its input by the value set with `hand_in`: 0, or 1 over the probability of keeping the branch."""

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate
        self.scale: Tensor | None = None

    def forward(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """The scaled rows of `x`, or `x` unchanged if no scales were handed in."""
        if self.scale is None:
            return x
        return x * self.scale.to(x.dtype).view(-1, *[1] * (x.ndim - 1))


def replace_drop_paths(vit: nn.Module) -> None:
    """Replace timm's modules by ours; branches that are never skipped keep their identity module."""
    for module in list(vit.modules()):
        for name, child in module.named_children():
            if isinstance(child, TimmDropPath):
                setattr(module, name, DropPath(child.drop_prob))


def drop_paths(vit: nn.Module) -> list[DropPath]:
    """The DropPath modules of a network, from the first block to the last."""
    return [m for block in vit.blocks for m in (block.drop_path1, block.drop_path2) if isinstance(m, DropPath)]


def draw(paths: list[DropPath], images: int, seed: int, views: int = 2) -> Float[Tensor, "V B P"]:
    """The scales of P branches for V `views` of each of the B `images` in the whole batch, on the CPU."""
    stay = 1 - torch.tensor([path.rate for path in paths])
    numbers = torch.rand(views, images, len(paths), generator=torch.Generator().manual_seed(seed))
    return (numbers < stay) / stay


def hand_in(paths: list[DropPath], scales: Float[Tensor, "V b P"]) -> None:
    """Give every branch its column for the next forward pass, in which images come view by view: all first views, …"""
    columns = scales.flatten(0, 1).T.contiguous()  # strided columns would cost compiled code another pass
    for path, column in zip(paths, columns, strict=True):
        path.scale = column
