"""Position embeddings for another grid of patches, resampled as in mmsegmentation: by plain bicubic interpolation.

timm antialiases, which uses a different bicubic kernel even if the grid grows and nothing could alias. From 14 × 14 to
32 × 32, a smooth embedding, such as a trained one, differs by some 3 %.
"""

from __future__ import annotations

from types import MethodType

import torch
from jaxtyping import Float
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from cribo.model.networks.backbone import resampled


def resample_plainly(vit: nn.Module, side: int) -> None:
    """Resample the positions of `vit` plainly for photos of `side` px, and make it resample them plainly at other sizes too.

    A timm ViT class with its own way of embedding positions keeps that way at other sizes.
    """
    own, old = vit.pos_embed, vit.patch_embed.grid_size
    vit.set_input_size((side, side))
    if own is not None:
        vit.pos_embed = nn.Parameter(resampled(own.detach(), old, vit.patch_embed.grid_size))
    if type(vit) is VisionTransformer and vit.dynamic_img_size:
        vit._pos_embed = MethodType(_embedded, vit)


def _embedded(vit: VisionTransformer, patches: Float[Tensor, "B h w d"]) -> Float[Tensor, "B T d"]:
    """Replace timm's `_pos_embed`: return CLS, register and patch tokens in one sequence, with their positions."""
    positions = vit.pos_embed
    if positions is not None:
        positions = resampled(positions, vit.patch_embed.grid_size, tuple(patches.shape[1:3]))
    prefix = [token.expand(len(patches), -1, -1) for token in (vit.cls_token, vit.reg_token) if token is not None]
    patches = patches.flatten(1, 2)
    if positions is not None and vit.no_embed_class:
        patches, positions = patches + positions, None
    tokens = torch.cat([*prefix, patches], dim=1)
    return vit.pos_drop(tokens if positions is None else tokens + positions)
