"""Masked autoencoding, MAE in the paper's tables: see a quarter of the patches and predict the pixels of the others.

He et al., "Masked Autoencoders Are Scalable Vision Learners", CVPR 2022, sections 3 and A.1.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


class Masking(NamedTuple):
    """Which patches the encoder sees, in its order, and which are masked."""

    seen: Int[Tensor, "B n"]
    masked: Bool[Tensor, "B N"]


def random_masking(noise: Float[Tensor, "B N"], share: float) -> Masking:
    """A masking in which the ⌊N · (1 − share)⌋ patches of least noise are seen and the others masked."""
    seen = noise.argsort(dim=1)[:, : int(noise.shape[1] * (1 - share))]
    masked = torch.ones_like(noise, dtype=torch.bool).scatter_(1, seen, False)
    return Masking(seen, masked)


def patch_pixels(images: Float[Tensor, "B 3 H W"], patch: int) -> Float[Tensor, "B N q"]:
    """The q = 3 · patch² values of each patch: patches row by row, then pixels row by row, colours of a pixel together."""
    rows = images.unflatten(3, (-1, patch)).unflatten(2, (-1, patch))
    return rows.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)


def reconstruction_loss(
    predicted: Float[Tensor, "B N q"], pixels: Float[Tensor, "B N q"], masked: Bool[Tensor, "B N"], normalise: bool
) -> Float[Tensor, ""]:
    """Mean squared error over the pixels of masked patches.

    `normalise` first brings the pixels of each patch to mean 0 and variance 1 (unbiased, + 1e-6).
    """
    predicted, pixels = predicted.float(), pixels.float()
    if normalise:
        mean, variance = pixels.mean(dim=2, keepdim=True), pixels.var(dim=2, keepdim=True)
        pixels = (pixels - mean) / (variance + 1e-6).sqrt()
    error = (predicted - pixels).square().mean(dim=2)
    return (error * masked).sum() / masked.sum()


def sine_positions(grid: int, width: int) -> Float[Tensor, "1 1+N width"]:
    """Fixed position embedding: zeros for the CLS token, then the grid × grid patches.

    The first half of the width encodes the column, the second the row. Each half holds sines, then cosines, of geometric
    frequencies from 1 down to 1/10000.
    """
    quarter = width // 4
    frequencies = 10000.0 ** (-torch.arange(quarter, dtype=torch.float64) / quarter)
    angles = torch.outer(torch.arange(grid, dtype=torch.float64), frequencies)
    waves = torch.cat([angles.sin(), angles.cos()], dim=1)
    column, row = waves.repeat(grid, 1), waves.repeat_interleave(grid, dim=0)
    positions = torch.cat([column, row], dim=1).float()
    return torch.cat([torch.zeros(1, width), positions])[None]
