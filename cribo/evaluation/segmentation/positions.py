"""Position embeddings for another grid of patches, resampled as mmsegmentation does: by plain bicubic interpolation.

timm antialiases, which takes another bicubic kernel even where the grid grows and nothing could alias: from 14 × 14 to
32 × 32 a smooth embedding, as trained ones are, differs by some 3 %.
"""

from __future__ import annotations

from types import MethodType

import torch
from jaxtyping import Float
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from cribo.model.networks.backbone import resampled


def resample_plainly(vit: nn.Module, side: int) -> None:
    """Make `vit` one of photos of `side` px, and let it resample its positions plainly from there at every other size.

    A ViT of timm that does the second in a way of its own keeps to that.
    """
    own, old = vit.pos_embed, vit.patch_embed.grid_size
    vit.set_input_size((side, side))
    if own is not None:
        vit.pos_embed = nn.Parameter(resampled(own.detach(), old, vit.patch_embed.grid_size))
    if type(vit) is VisionTransformer and vit.dynamic_img_size:
        vit._pos_embed = MethodType(_embedded, vit)


def _embedded(vit: VisionTransformer, patches: Float[Tensor, "B h w d"]) -> Float[Tensor, "B T d"]:
    """In place of timm's `_pos_embed`: CLS, registers and patches in a row, with their positions."""
    positions = vit.pos_embed
    if positions is not None:
        positions = resampled(positions, vit.patch_embed.grid_size, tuple(patches.shape[1:3]))
    prefix = [token.expand(len(patches), -1, -1) for token in (vit.cls_token, vit.reg_token) if token is not None]
    patches = patches.flatten(1, 2)
    if positions is not None and vit.no_embed_class:
        patches, positions = patches + positions, None
    tokens = torch.cat([*prefix, patches], dim=1)
    return vit.pos_drop(tokens if positions is None else tokens + positions)
