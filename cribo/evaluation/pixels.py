"""From class shares of patches to a class for every pixel of the photo."""

from __future__ import annotations

import torch
from jaxtyping import Float, UInt8
from torch import Tensor


def pixel_classes(shares: Float[Tensor, "h w C"], size: tuple[int, int]) -> UInt8[Tensor, "H W"]:
    """Return the class with the largest share at each pixel after bilinear enlargement to `size` (H, W); among shares that
    are equal after rounding to fp32, the lowest id.

    Classes without a vote anywhere in the photo are dropped first. They cannot win, since shares sum to 1. Most of ADE20K's
    150 classes have no vote in a photo, so this saves most of the work.
    """
    voted = shares.flatten(0, 1).any(dim=0).nonzero().flatten()
    planes = shares[..., voted].permute(2, 0, 1).float().unsqueeze(0)
    planes = torch.nn.functional.interpolate(planes, size=size, mode="bilinear", align_corners=False)[0]
    best, winner = planes[0], torch.full(size, int(voted[0]), dtype=torch.uint8, device=shares.device)
    for plane, label in zip(planes[1:], voted[1:].tolist(), strict=True):
        winner.masked_fill_(plane > best, label)
        best = torch.maximum(best, plane)
    return winner
