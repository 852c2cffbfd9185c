"""MAE's network: an encoder that runs on the visible patches only, and a small decoder that runs on all patches."""

from __future__ import annotations

from contextlib import nullcontext

import torch
from jaxtyping import Float
from timm.models import checkpoint_seq
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from cribo.method.mae import Masking, sine_positions
from cribo.model.networks.backbone import has_cls


class MaskedAutoencoder(nn.Module):
    """A ViT and its decoder. Gradients flow only through calls of `forward`, so that DDP sees all of them."""

    def __init__(self, backbone: nn.Module, width: int, depth: int, heads: int, bf16: bool = False):
        """`width`, `depth` and `heads` describe the decoder.

        Raises ValueError unless the backbone's tokens are CLS and patches only; the decoder has no place for others.
        """
        if not has_cls(backbone) or backbone.num_prefix_tokens != 1:
            raise ValueError("losses: [pixels] needs a ViT with a CLS token and no registers: choose another backbone")
        super().__init__()
        self.backbone, self.bf16 = backbone, bf16
        grid, patch = backbone.patch_embed.grid_size[0], backbone.patch_embed.patch_size[0]
        self.embed = nn.Linear(backbone.num_features, width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.register_buffer("positions", sine_positions(grid, width), persistent=False)
        norm = type(backbone.norm)
        self.blocks = nn.ModuleList(Block(width, heads, qkv_bias=True, norm_layer=norm) for _ in range(depth))
        self.norm = norm(width)
        self.predict = nn.Linear(width, 3 * patch**2)
        self._initialise(grid)

    def _initialise(self, grid: int) -> None:
        """Initialise as in MAE: Xavier-uniform matrices (the patch embedding counts as one), zero biases, tokens of std
        0.02, and fixed positions."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        proj = self.backbone.patch_embed.proj.weight
        nn.init.xavier_uniform_(proj.data.flatten(1))
        for token in (self.backbone.cls_token, self.mask_token):
            nn.init.normal_(token, std=0.02)
        self.backbone.pos_embed.requires_grad_(False).copy_(sine_positions(grid, proj.shape[0]))

    def encode(self, images: Float[Tensor, "B 3 H W"], masking: Masking) -> Float[Tensor, "B 1+n d"]:
        """CLS token and visible patches after the final norm; masked patches do not pass through the blocks."""
        vit = self.backbone
        patches = vit.patch_embed(images).flatten(1, 2) + vit.pos_embed[:, 1:]
        seen = patches.gather(1, masking.seen[..., None].expand(-1, -1, patches.shape[2]))
        cls = (vit.cls_token + vit.pos_embed[:, :1]).expand(len(images), -1, -1)
        x = torch.cat([cls, seen], dim=1)
        x = checkpoint_seq(vit.blocks, x) if vit.grad_checkpointing and x.requires_grad else vit.blocks(x)
        return vit.norm(x)

    def forward(self, images: Float[Tensor, "B 3 H W"], masking: Masking) -> Float[Tensor, "B N q"]:
        """The decoder's prediction of the pixels of all patches."""
        with torch.autocast(images.device.type, torch.bfloat16) if self.bf16 else nullcontext():
            latent = self.embed(self.encode(images, masking))
            batch, patches = masking.masked.shape
            all_tokens = self.mask_token.to(latent.dtype).expand(batch, patches, -1)
            places = masking.seen[..., None].expand(-1, -1, latent.shape[2])
            x = torch.cat([latent[:, :1], all_tokens.scatter(1, places, latent[:, 1:])], dim=1) + self.positions
            for block in self.blocks:
                x = block(x)
            return self.predict(self.norm(x))[:, 1:].float()
