"""The projection head (App. A.1): one MLP for images and objects, then a prototype layer for each.

`d → hidden → hidden → bottleneck` with GELU in between, then scaled to length one: the bottleneck vector. Its products with
a layer's L prototypes are the logits. The head stops at the bottleneck; the losses compute the logits block by block.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from cribo.method.losses import Prototypes


class PrototypeLayer(nn.Module):
    """L prototypes as direction and gain, W = gain · direction / ‖direction‖ (weight normalisation), without bias."""

    def __init__(self, bottleneck: int, count: int, trainable_gain: bool):
        super().__init__()
        self.direction = nn.Parameter(torch.empty(count, bottleneck))
        self.gain = nn.Parameter(torch.ones(count, 1), requires_grad=trainable_gain)
        nn.init.kaiming_uniform_(self.direction, a=5**0.5)

    def forward(self) -> Prototypes:
        """W in factors, fp32: each pass takes the norms once, and all blocks of logits share them."""
        norm = self.direction.norm(dim=1).clamp_min(1e-12)
        return Prototypes(self.direction, self.gain[:, 0] / norm)


class Head(nn.Module):
    """Projection head of student or teacher. Linear layers start with truncated normal weights (std 0.02), zero biases."""

    def __init__(
        self,
        width: int,
        hidden: int,
        bottleneck: int,
        prototypes: int,
        norm_last_layer: bool,
        *,
        images: bool,
        objects: bool,
    ):
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, bottleneck)
        )
        for layer in self.mlp:
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)
        self.image_prototypes = PrototypeLayer(bottleneck, prototypes, not norm_last_layer) if images else None
        self.object_prototypes = PrototypeLayer(bottleneck, prototypes, not norm_last_layer) if objects else None

    def forward(self, features: Float[Tensor, "... d"]) -> Float[Tensor, "... h"]:
        """The bottleneck vector, of length one, in fp32."""
        return F.normalize(self.mlp(features).float(), dim=-1, eps=1e-12)
