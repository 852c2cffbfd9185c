"""Oracles that know the classes of patches (Table 11): ground truth as clusters, or as the judge of neighbours.

Both read one class id a patch, of the mask's pixel at the centre of the patch; VOID is a patch without a class.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int, UInt8
from torch import Tensor
from torch.nn import functional as F

VOID = 255


@dataclass(frozen=True)
class LabelSettings:
    """What the clustering oracle reads of `pretrain.clustering`: K, at least as many as there are classes."""

    K: int


def label_clusters(classes: UInt8[Tensor, "B n"], K: int) -> Int[Tensor, "B n"]:
    """One cluster a class, in both views: the class ids themselves, and K, which is no cluster, for void patches."""
    return torch.where(classes == VOID, K, classes.long())


def object_classes(labels: Int[Tensor, "B n"], classes: UInt8[Tensor, "B n"], K: int) -> UInt8[Tensor, "B K"]:
    """The class that most patches of a cluster have, of both views together; VOID where none has one.

    Of classes with equally many patches the one with the lowest id.
    """
    votes = F.one_hot(classes.long(), VOID + 1)[..., :VOID].float()
    count = F.one_hot(labels, K + 1)[..., :K].float().transpose(1, 2) @ votes
    most, winner = count.max(dim=-1)
    return torch.where(most > 0, winner, VOID).to(torch.uint8)


def same_class(objects: UInt8[Tensor, "B K"], neighbours: UInt8[Tensor, "2 B K"]) -> Bool[Tensor, "2 B K"]:
    """Whether an object and the neighbour found for it in each view have one class; an object without class has none."""
    return (neighbours == objects) & (objects != VOID)
