"""Oracles that know the classes of patches (Table 11): ground truth as clusters, or as the judge of neighbours.

Both read one class id per patch, from the mask's pixel at the centre of the patch. VOID marks a patch without a class.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int, Int64, UInt8
from torch import Tensor
from torch.nn import functional as F

VOID = 255
WORDS = 4  # 64-bit words that hold a set of classes, one bit per class; the bit of VOID is never set


@dataclass(frozen=True)
class LabelSettings:
    """What the clustering oracle reads of `pretrain.clustering`: K, which must be at least the number of classes."""

    K: int


def label_clusters(classes: UInt8[Tensor, "B n"], K: int) -> Int[Tensor, "B n"]:
    """One cluster per class in both views: the labels are the class ids, and K (no cluster) for void patches."""
    return torch.where(classes == VOID, K, classes.long())


def object_classes(labels: Int[Tensor, "B n"], classes: UInt8[Tensor, "B n"], K: int) -> Int64[Tensor, "B K W"]:
    """The set of classes of each cluster's patches in both views together, as bits; empty if all patches are void."""
    has = F.one_hot(classes.long(), WORDS * 64).float()
    has[..., VOID] = 0
    has = F.one_hot(labels, K + 1)[..., :K].float().transpose(1, 2) @ has > 0
    return (has.unflatten(-1, (WORDS, 64)).long() << torch.arange(64, device=has.device)).sum(dim=-1)


def same_classes(objects: Int64[Tensor, "B K W"], neighbours: Int64[Tensor, "2 B K W"]) -> Bool[Tensor, "2 B K"]:
    """Whether an object has any class, and the same classes as the neighbour found for it in each view (C.9)."""
    return (neighbours == objects).all(dim=-1) & (objects != 0).any(dim=-1)
