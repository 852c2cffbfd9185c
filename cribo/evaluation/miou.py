"""Mean intersection over union from a confusion matrix."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int


def confusion(
    truth: Int[np.ndarray, " ..."],
    prediction: Int[np.ndarray, " ..."],
    classes: int,
    ignore: int,
    columns: int | None = None,
) -> Int[np.ndarray, "C P"]:
    """How often each true class (row) was called each class (column); entries whose truth is `ignore` do not count.

    `columns` is more than `classes` where something that is no class may be predicted, too.
    """
    columns = columns or classes
    counted = truth != ignore
    pairs = truth[counted].astype(np.int64) * columns + prediction[counted]
    return np.bincount(pairs, minlength=classes * columns).reshape(classes, columns)


@dataclass(frozen=True)
class IoU:
    """Intersection over union, as shares.

    Attributes:
        per_class: one value a class; NaN where the class does not occur in the ground truth.
        mean: over the classes that do occur; a class predicted but absent counts only through what it takes from others.
        occurring: number of those classes.
    """

    per_class: Float[np.ndarray, " C"]
    mean: float
    occurring: int


def iou(matrix: Int[np.ndarray, "C P"]) -> IoU:
    """IoU of a confusion matrix (rows: truth); what is called none of the classes, in columns behind them, is missed.

    Raises ValueError where nothing was counted.
    """
    truth, predicted, hit = matrix.sum(1), matrix.sum(0)[: len(matrix)], matrix.diagonal()
    occurs = truth > 0
    if not occurs.any():
        raise ValueError("no labelled patch or pixel was compared: the ground truth is void everywhere")
    per_class = np.full(len(matrix), np.nan)
    per_class[occurs] = hit[occurs] / (truth + predicted - hit)[occurs]
    return IoU(per_class, float(per_class[occurs].mean()), int(occurs.sum()))
