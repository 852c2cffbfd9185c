"""Where each patch of a view lies in the original image, in closed form (App. B, positional cost), and what is there.

Five numbers of a crop (left, top, width, height, flipped) replace a map of coordinates: resizing a crop to a view maps
patch column c of g to x = left + (c + ½)·width/g − ½, in pixels whose centres are integers.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, UInt8
from torch import Tensor


def patch_positions(boxes: Float[Tensor, "B 2 5"], grid: int) -> Float[Tensor, "B n 2"]:
    """(x, y) of each patch centre of both views, n = 2·grid², row by row, view 1 first; pixels of the original image."""
    left, top, width, height, flipped = boxes.unbind(-1)
    step = (torch.arange(grid, device=boxes.device, dtype=boxes.dtype) + 0.5) / grid
    x = left[..., None] + width[..., None] * step - 0.5
    x = torch.where(flipped[..., None] > 0, x.flip(-1), x)
    y = top[..., None] + height[..., None] * step - 0.5
    shape = (*x.shape[:-1], grid, grid)
    xy = torch.stack([x[..., None, :].expand(shape), y[..., :, None].expand(shape)], dim=-1)
    return xy.flatten(2, 3).flatten(1, 2)


def patch_classes(mask: UInt8[Tensor, "H W"], positions: Float[Tensor, "n 2"]) -> UInt8[Tensor, " n"]:
    """The mask's value at the pixel nearest to each patch centre: crop and flip are in the positions already."""
    x, y = (positions + 0.5).floor().long().unbind(-1)
    return mask[y, x]
