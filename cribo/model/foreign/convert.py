"""Converts a file's tree strictly to the encoder's weights under timm's names, as the file's format says (formats.py)."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from cribo.model.encoder import EncoderError
from cribo.model.foreign.flax_vit import timm_names
from cribo.model.foreign.formats import FORMATS

DDP = "module."  # torch's DistributedDataParallel prefixes every name of the network it wraps with this


def weights_of(tree: dict, form: str, path: Path) -> dict[str, Tensor]:
    """The encoder's weights in a file's tree, under timm's names. Raises EncoderError if an entry or key does not fit."""
    rule = FORMATS[form]
    if rule.entry:
        if not isinstance(tree.get(rule.entry), dict):
            held = ", ".join(list(map(str, tree))[:5])
            raise EncoderError(f"{path} has no entry {rule.entry}, which the format {form} has (it holds {held})")
        tree = tree[rule.entry]
    if rule.convert == "flax":
        return timm_names(_flattened(tree, path))
    if odd := [key for key in tree if not isinstance(key, str)]:
        raise EncoderError(f"{path} has the key {odd[0]!r}, where the format {form} has names: it holds no such weights")
    if not rule.prefix.startswith(DDP) and all(key.startswith(DDP) for key in tree):
        tree = {key.removeprefix(DDP): value for key, value in tree.items()}
    kept = {}
    for key, value in tree.items():
        dropped = max((len(start) for start in rule.dropped if key.startswith(start)), default=-1)
        ours = len(rule.prefix) if key.startswith(rule.prefix) else -1
        if ours > dropped:  # if both prefixes fit, the longer one counts
            kept[key.removeprefix(rule.prefix)] = value
        elif dropped < 0:
            raise EncoderError(f"{path} has the surplus {key}, which belongs to no part that the format {form} knows")
    for key, value in kept.items():
        if not torch.is_tensor(value):
            raise EncoderError(f"{path} holds a {type(value).__name__} as {key}, where the format {form} has a tensor")
    return _dinov2(kept) if rule.convert == "dinov2" else kept


def _dinov2(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights in timm's layout: with registers, timm adds the CLS token's position embedding to the token itself."""
    if "register_tokens" not in weights or not {"cls_token", "pos_embed"} <= weights.keys():
        return weights
    out = {key: value for key, value in weights.items() if key != "register_tokens"}
    out["reg_token"] = weights["register_tokens"]
    out["cls_token"] = weights["cls_token"] + weights["pos_embed"][:, :1]
    out["pos_embed"] = weights["pos_embed"][:, 1:]
    return out


def _flattened(tree: dict, path: Path, at: str = "") -> dict[str, Tensor]:
    """Tensors by their path through the tree, joined by slashes."""
    flat = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= _flattened(value, path, f"{at}{key}/")
        elif torch.is_tensor(value):
            flat[f"{at}{key}"] = value
        else:
            raise EncoderError(f"{path} holds a {type(value).__name__} as {at}{key}, where a tensor should be")
    return flat
