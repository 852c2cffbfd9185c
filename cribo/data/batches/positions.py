"""Position of each patch of a view in the original image, in closed form (App. B, positional cost), and its class.

Five numbers per crop (left, top, width, height, flipped) replace a map of coordinates: resizing a crop to a view puts
patch column c of g at x = left + (c + ½)·width/g − ½, where pixel centres have integer coordinates.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, UInt8
from torch import Tensor


def patch_positions(boxes: Float[Tensor, "B 2 5"], grid: int) -> Float[Tensor, "B n 2"]:
    """(x, y) of each patch centre in pixels of the original image: n = 2·grid² patches, view 1 first, row by row."""
    left, top, width, height, flipped = boxes.unbind(-1)
    step = (torch.arange(grid, device=boxes.device, dtype=boxes.dtype) + 0.5) / grid
    x = left[..., None] + width[..., None] * step - 0.5
    x = torch.where(flipped[..., None] > 0, x.flip(-1), x)
    y = top[..., None] + height[..., None] * step - 0.5
    shape = (*x.shape[:-1], grid, grid)
    xy = torch.stack([x[..., None, :].expand(shape), y[..., :, None].expand(shape)], dim=-1)
    return xy.flatten(2, 3).flatten(1, 2)


def patch_classes(mask: UInt8[Tensor, "H W"], positions: Float[Tensor, "n 2"]) -> UInt8[Tensor, " n"]:
    """The mask's value at the pixel nearest to each patch centre; positions already account for crop and flip."""
    x, y = (positions + 0.5).floor().long().unbind(-1)
    return mask[y, x]
