"""Converts LOCA's ViT from the names and layout of scenic (JAX) to those of timm.

flax multiplies rows by kernels `[in, out]` and keeps attention heads as separate axes; torch stores `[out, in]`.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor

# Parts of the training objective behind the encoder.
DROPPED = ("cross_attention_block/", "final_norm/", "position_predictor/", "projection_head_for_clustering_prediction/")
NORMS = {"LayerNorm_0": "norm1", "LayerNorm_1": "norm2"}
DENSE = {"MlpBlock_0/Dense_0": "mlp.fc1", "MlpBlock_0/Dense_1": "mlp.fc2"}
ATTENTION = "MultiHeadDotProductAttention_0"


def timm_names(flat: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename parameters from flax's path (`encoderblock_0/LayerNorm_0/scale`) to timm's name. A parameter without a
    counterpart keeps its name, so that a strict load refuses it."""
    out: dict[str, Tensor] = {}
    projections: dict[tuple[str, str], dict[str, Tensor]] = {}
    for key, value in flat.items():
        block = re.fullmatch(r"encoderblock_(\d+)/(.+)/(scale|bias|kernel)", key)
        kind = "bias" if key.endswith("/bias") else "weight"
        if key.startswith(DROPPED):
            continue
        if key == "ToTokenSequence_0/posembed_input":
            out["pos_embed"] = value.flatten(1, 2)
        elif key == "ToTokenSequence_0/embedding/kernel":
            out["patch_embed.proj.weight"] = value.permute(3, 2, 0, 1)
        elif key == "ToTokenSequence_0/embedding/bias":
            out["patch_embed.proj.bias"] = value
        elif key in ("encoder_norm/scale", "encoder_norm/bias"):
            out[f"norm.{kind}"] = value
        elif block and block[2] in NORMS:
            out[f"blocks.{block[1]}.{NORMS[block[2]]}.{kind}"] = value
        elif block and block[2] in DENSE:
            out[f"blocks.{block[1]}.{DENSE[block[2]]}.{kind}"] = value if kind == "bias" else value.T
        elif block and block[2] == f"{ATTENTION}/out":
            out[f"blocks.{block[1]}.attn.proj.{kind}"] = value if kind == "bias" else value.flatten(0, -2).T
        elif block and block[2] in (f"{ATTENTION}/{name}" for name in ("query", "key", "value")):
            matrix = value.flatten() if kind == "bias" else value.flatten(1).T
            projections.setdefault((block[1], kind), {})[block[2].rpartition("/")[2]] = matrix
        else:
            out[key] = value
    for (block, kind), parts in projections.items():
        if parts.keys() == {"query", "key", "value"}:
            out[f"blocks.{block}.attn.qkv.{kind}"] = torch.cat([parts["query"], parts["key"], parts["value"]])
    return out
