"""Inputs that every protocol may refuse, and the error it raises."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from cribo.data.prepared.images import Mask
from cribo.data.prepared.readers import PreparedSet, Record


class EvaluationError(ValueError):
    """Photos, masks or settings that cannot be evaluated; the message is one sentence for the user."""


def train_and_val(data: PreparedSet) -> tuple[Sequence[Record], Sequence[Record]]:
    """Return the images of both splits. Raises EvaluationError if either has none."""
    train, val = (data.splits.get(split, ()) for split in ("train", "val"))
    if not train or not val:
        raise EvaluationError(f"{data.name} needs images in both splits: it has {len(train)} train and {len(val)} val")
    return train, val


def refuse_unknown_classes(ids: UInt8[np.ndarray, " ..."], classes: int, ignore: int, mask: Mask | Path) -> None:
    """Raise EvaluationError, naming `mask`, if one of its `ids` is neither one of `classes` classes nor `ignore`."""
    unknown = ids[(ids >= classes) & (ids != ignore)]
    if unknown.size:
        raise EvaluationError(f"{mask} holds {unknown[0]}, which is neither one of {classes} classes nor {ignore}")
