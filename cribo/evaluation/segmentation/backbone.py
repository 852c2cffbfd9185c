"""An encoder as a backbone of mmsegmentation."""

from __future__ import annotations

import torch
from jaxtyping import Float
from timm.layers import DropPath
from torch import Tensor, nn

from cribo.evaluation.harness.errors import EvaluationError
from cribo.evaluation.segmentation.positions import resample_plainly
from cribo.model.encoder import Encoder
from cribo.model.networks.backbone import norm_comes_late

HALF = (0.5, 0.5, 0.5)


class Backbone(nn.Module):
    """A ViT: normalised images → feature maps of its last blocks, the last map after the final norm.

    Attributes:
        frozen: its parameters get no gradient, and it stays in evaluation mode while the decoder trains, except for its
            drop path if that is above 0.
    """

    def __init__(
        self,
        encoder: Encoder,
        side: int,
        layers: int = 1,
        norm_each: bool = False,
        frozen: bool = True,
        drop_path: float = 0.0,
    ):
        """`side`: px of the training crop, to whose grid the position embedding is resampled once, as mmsegmentation does.

        `drop_path`: rate of stochastic depth at the last block; it grows linearly from 0 and acts on MLP branches only.
        """
        super().__init__()
        vit, depth = encoder.net, len(getattr(encoder.net, "blocks", ()))
        if not depth:
            raise EvaluationError(
                f"{encoder.name} is not a ViT: segmentation by a trained decoder reads a ViT's patch tokens"
            )
        if layers > depth:
            raise EvaluationError(f"{encoder.name} has {depth} blocks, and the last {layers} are asked for: lower `layers`")
        if side % encoder.patch_size:
            raise EvaluationError(f"a crop of {side} px is not a multiple of {encoder.name}'s {encoder.patch_size} px patch")
        if not (hasattr(vit, "pos_embed") and hasattr(vit, "set_input_size")):
            raise EvaluationError(f"{encoder.name} has no grid of positions that can be made another: decoders need one")
        if norm_comes_late(vit):
            vit.norm, vit.fc_norm = vit.fc_norm, nn.Identity()
        resample_plainly(vit, side)
        for block, rate in zip(vit.blocks, torch.linspace(0, drop_path, depth).tolist(), strict=True):
            block.drop_path1, block.drop_path2 = nn.Identity(), DropPath(rate) if rate else nn.Identity()
        self.vit, self.layers, self.norm_each, self.frozen = vit, layers, norm_each, frozen
        self.patch_size, self.bf16 = encoder.patch_size, encoder.autocast
        vit.requires_grad_(not frozen)
        self.train()

    def train(self, mode: bool = True) -> Backbone:
        """Keep a frozen backbone in evaluation mode, except for its drop path."""
        super().train(mode and not self.frozen)
        for module in self.vit.modules():
            if isinstance(module, DropPath):
                module.train(mode)
        self.training = mode
        return self

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> tuple[Float[Tensor, "B d h w"], ...]:
        """Return the maps of the last blocks, in order. Images whose sides are not multiples of the patch are padded on the
        right and below with zeros, the colour that normalisation maps to zero."""
        below, right = (-side % self.patch_size for side in images.shape[2:])
        images = nn.functional.pad(images, (0, right, 0, below))
        with (
            torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen),
            torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=self.bf16),
        ):
            final, maps = self.vit.forward_intermediates(images, indices=self.layers, norm=self.norm_each)
        last = final[:, self.vit.num_prefix_tokens :].transpose(1, 2).unflatten(2, maps[-1].shape[2:])
        return tuple(x.float() for x in (*maps[:-1], last))


def statistics(encoder: Encoder, which: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of the input in [0, 1]: the encoder's, or 0.5, mmsegmentation's for Segmenter."""
    return (encoder.mean, encoder.std) if which == "encoder" else (HALF, HALF)
