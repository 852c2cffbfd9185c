"""The attention of a transformer block: timm's, with our own passes if it is compiled for a GPU in bf16.

A view has some 200 tokens. cuDNN's kernels pad 197 of them to 256 and return the gradients of queries, keys and values
apart, so that two more passes pack and sum them. Ours pad to 208 and write the gradient as the linear layer takes it. The
weight's gradient is summed and kept in fp32.
"""

from __future__ import annotations

import math

import timm.layers
import torch
from jaxtyping import BFloat16, Float
from torch import Tensor, nn
from torch.nn import functional as F

from cribo.method.precision import products
from cribo.model.networks import mlp

SHORT = 256  # tokens; padding matters less for longer sequences, which stay with torch's kernels
WIDTHS = (16, 32, 64, 128)  # of a head: what our kernels take


class Attention(timm.layers.Attention):
    """timm's self-attention without dropout, gate and norms; weights keep timm's names."""

    recomputed = False  # whether backward recomputes activations, as for `mlp.Mlp`

    def forward(self, x: Float[Tensor, "B n d"], *masks: object, **named_masks: object) -> Float[Tensor, "B n d"]:
        """The attention's output, the same on either path except for rounding."""
        masked = any(mask is not None and mask is not False for mask in (*masks, *named_masks.values()))
        if masked or self.recomputed or not self.fused_attn or x.shape[1] > SHORT or not mlp.takes_own_passes(x):
            return super().forward(x, *masks, **named_masks)
        return self.proj(Heads.apply(x.bfloat16(), self.qkv.weight, self.qkv.bias, self.num_heads))


class Heads(torch.autograd.Function):
    """The linear layer that gives queries, keys and values, then softmax(q kᵀ / √D) v in every head, in bf16."""

    @staticmethod
    def forward(
        ctx, x: BFloat16[Tensor, "B n d"], w: Float[Tensor, "3hD d"], b: Float[Tensor, " 3hD"], heads: int
    ) -> BFloat16[Tensor, "B n hD"]:
        """The outputs of all heads, side by side."""
        packed = F.linear(x, w.to(x.dtype), b.to(x.dtype))
        out, log_sums = attend(packed, heads)
        ctx.save_for_backward(x, packed, out, log_sums, w)
        ctx.heads = heads
        return out

    @staticmethod
    def backward(ctx, upstream: BFloat16[Tensor, "B n hD"]):
        """Gradients with respect to x, the weight and the bias."""
        x, packed, out, log_sums, w = ctx.saved_tensors
        by_packed, by_b = attention_gradient(packed, out, log_sums, upstream, ctx.heads)
        by_w = products(by_packed.flatten(0, -2).T, x.flatten(0, -2))
        return by_packed @ w.to(x.dtype), by_w, by_b, None


@torch.library.custom_op("cribo::attend", mutates_args=(), schema="(Tensor packed, int heads) -> (Tensor, Tensor)")
def attend(packed: Tensor, heads: int) -> tuple[Tensor, Tensor]:
    """Outputs of all heads, [B, n, h·D] in the dtype of `packed`, and each query's log₂ Σ exp(q kᵀ / √D), [B, h, n] in fp32.

    `packed`, [B, n, 3·h·D], is what the linear layer returns: the queries of all heads, then the keys, then the values.
    """
    q, k, v = by_head(packed, heads)
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    out = (scores.softmax(dim=-1) @ v).transpose(1, 2).flatten(2)
    return out.to(packed.dtype), scores.logsumexp(dim=-1) / math.log(2)


def by_head(packed: Float[Tensor, "B n 3hD"], heads: int) -> tuple[Float[Tensor, "B h n D"], ...]:
    """Queries, keys and values in fp32."""
    return packed.float().unflatten(2, (3, heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)


@attend.register_fake
def _(packed: Tensor, heads: int) -> tuple[Tensor, Tensor]:
    B, n, width = packed.shape
    return packed.new_empty(B, n, width // 3), packed.new_empty(B, heads, n, dtype=torch.float32)


@attend.register_kernel("cuda")
def _(packed: Tensor, heads: int) -> tuple[Tensor, Tensor]:
    from cribo.model.networks.fused_attention import fused_attend  # needs Triton, often missing on machines without a GPU

    return fused_attend(packed, heads)


GRADIENT = "(Tensor packed, Tensor out, Tensor log_sums, Tensor upstream, int heads) -> (Tensor, Tensor)"


@torch.library.custom_op("cribo::attention_gradient", mutates_args=(), schema=GRADIENT)
def attention_gradient(packed: Tensor, out: Tensor, log_sums: Tensor, upstream: Tensor, heads: int) -> tuple[Tensor, Tensor]:
    """The gradient with respect to `packed`, in its shape and dtype, and its sum over all tokens, [3·h·D] in fp32.

    With p the softmax: by v it is pᵀ u, and with s = p ∘ (u vᵀ − Σ out ∘ u) it is s k / √D by q and sᵀ q / √D by k.
    """
    q, k, v = by_head(packed, heads)
    steep = 1 / math.sqrt(q.shape[-1])
    above, outputs = (x.float().unflatten(2, (heads, -1)).transpose(1, 2) for x in (upstream, out))
    p = torch.exp2(q @ k.mT * (steep / math.log(2)) - log_sums[..., None])
    s = p * (above @ v.mT - (outputs * above).sum(dim=-1, keepdim=True))
    gradient = torch.stack([s @ k * steep, s.mT @ q * steep, p.mT @ above])  # [3, B, h, n, D]
    gradient = gradient.permute(1, 3, 0, 2, 4).flatten(2)
    return gradient.to(packed.dtype), gradient.sum(dim=(0, 1))


@attention_gradient.register_fake
def _(packed: Tensor, out: Tensor, log_sums: Tensor, upstream: Tensor, heads: int) -> tuple[Tensor, Tensor]:
    return packed.new_empty(packed.shape), packed.new_empty(packed.shape[2], dtype=torch.float32)


@attention_gradient.register_kernel("cuda")
def _(packed: Tensor, out: Tensor, log_sums: Tensor, upstream: Tensor, heads: int) -> tuple[Tensor, Tensor]:
    from cribo.model.networks.fused_attention import fused_attention_gradient

    return fused_attention_gradient(packed, out, log_sums, upstream, heads)


def replace_attentions(vit: nn.Module) -> None:
    """Replace timm's attentions by ours, reusing their layers, if nothing but two linear layers with biases acts in them."""
    for block in vit.blocks:
        old = block.attn
        if type(old) is not timm.layers.Attention or old.head_dim not in WIDTHS or old.qkv.bias is None:
            continue
        acting = [name for name, layer in old.named_children() if not _inert(layer)]
        if acting != ["qkv", "proj"]:
            continue
        new = Attention(old.num_heads * old.head_dim, old.num_heads, device="meta")
        new.fused_attn = old.fused_attn
        for name, layer in old.named_children():
            setattr(new, name, layer)
        block.attn = new


def _inert(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Identity) or (isinstance(layer, nn.Dropout) and not layer.p)
