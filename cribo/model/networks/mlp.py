"""The MLP of a transformer block: timm's, with our own passes if it is compiled for a GPU in bf16.

Its hidden layer is four times as wide as a token, so the work between the matrix products is bound by memory. There, GELU
comes from `gelu.py`, and the gradient reads the hidden layer once. Weight gradients are summed and kept in fp32.
"""

from __future__ import annotations

import timm.layers
import torch
from jaxtyping import BFloat16, Float
from torch import Tensor, nn
from torch.nn import functional as F

from cribo.method.precision import products
from cribo.model.networks.gelu import gelu, slope


class Mlp(timm.layers.Mlp):
    """timm's MLP without dropout and norm; weights keep timm's names."""

    recomputed = False  # whether backward recomputes activations; if so, timm's passes run: torch 2.11 would keep ours

    def forward(self, x: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
        """The MLP's output, the same on either path except for rounding."""
        if self.recomputed or not takes_own_passes(x):
            return super().forward(x)
        return TwoLayers.apply(x.bfloat16(), self.fc1.weight, self.fc1.bias, self.fc2.weight, self.fc2.bias)


def takes_own_passes(x: Tensor) -> bool:
    """Whether to use our passes: only compiled on a GPU, as uncompiled GELU by sums and products would take 20 passes."""
    return x.is_cuda and torch.compiler.is_compiling()


class TwoLayers(torch.autograd.Function):
    """Linear, GELU, linear in bf16, with fp32 gradients of the weights. The hidden layer is kept both before and after
    GELU, because computing GELU again takes longer than reading its result."""

    @staticmethod
    def forward(
        ctx,
        x: BFloat16[Tensor, "*n d"],
        w1: Float[Tensor, "h d"],
        b1: Float[Tensor, " h"],
        w2: Float[Tensor, "d h"],
        b2: Float[Tensor, " d"],
    ) -> BFloat16[Tensor, "*n d"]:
        """W₂ gelu(W₁ x + b₁) + b₂."""
        hidden = F.linear(x, w1.to(x.dtype), b1.to(x.dtype))
        value = gelu(hidden)
        ctx.save_for_backward(x, hidden, value, w1, w2)
        return F.linear(value, w2.to(x.dtype), b2.to(x.dtype))

    @staticmethod
    def backward(ctx, upstream: BFloat16[Tensor, "*n d"]):
        """Gradients with respect to x, both weights and both biases."""
        x, hidden, value, w1, w2 = ctx.saved_tensors
        rows, above, value = x.flatten(0, -2), upstream.flatten(0, -2), value.flatten(0, -2)
        by_hidden, by_b1 = gelu_gradient(hidden.flatten(0, -2), above @ w2.to(x.dtype))
        by_x = (by_hidden @ w1.to(x.dtype)).view(x.shape)
        return by_x, products(by_hidden.T, rows), by_b1, products(above.T, value), above.float().sum(dim=0)


SCHEMA = "(Tensor hidden, Tensor upstream) -> (Tensor, Tensor)"


@torch.library.custom_op("cribo::gelu_gradient", mutates_args=(), schema=SCHEMA)
def gelu_gradient(hidden: Tensor, upstream: Tensor) -> tuple[Tensor, Tensor]:
    """upstream · gelu'(hidden), [M, F] in bf16 like both arguments, and its sum over rows, [F] in fp32."""
    gradient = upstream.float() * slope(hidden)
    return gradient.to(hidden.dtype), gradient.sum(dim=0)


@gelu_gradient.register_fake
def _(hidden: Tensor, upstream: Tensor) -> tuple[Tensor, Tensor]:
    return hidden.new_empty(hidden.shape), hidden.new_empty(hidden.shape[1], dtype=torch.float32)


@gelu_gradient.register_kernel("cuda")
def _(hidden: Tensor, upstream: Tensor) -> tuple[Tensor, Tensor]:
    from cribo.model.networks.fused_gelu import fused_gelu_gradient  # needs Triton, often missing on machines without a GPU

    return fused_gelu_gradient(hidden, upstream)


def replace_mlps(vit: nn.Module) -> None:
    """Replace timm's MLPs by ours, reusing their layers, if they consist of two linear layers with only GELU in between."""
    for block in vit.blocks:
        old = block.mlp
        if type(old) is not timm.layers.Mlp or type(old.act) is not nn.GELU or old.act.approximate != "none":
            continue
        if not isinstance(old.norm, nn.Identity) or old.drop1.p or old.drop2.p:
            continue
        if not all(isinstance(layer, nn.Linear) and layer.bias is not None for layer in (old.fc1, old.fc2)):
            continue
        new = Mlp(1, device="meta")
        for name, layer in old.named_children():
            setattr(new, name, layer)
        block.mlp = new
