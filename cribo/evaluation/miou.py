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
    """Count how often each true class (row) was predicted as each class (column), without entries whose truth is `ignore`.

    `columns` exceeds `classes` if something that is not a class can be predicted too.
    """
    columns = columns or classes
    counted = truth != ignore
    pairs = truth[counted].astype(np.int64) * columns + prediction[counted]
    return np.bincount(pairs, minlength=classes * columns).reshape(classes, columns)


@dataclass(frozen=True)
class IoU:
    """Intersection over union, as shares.

    Attributes:
        per_class: one value per class; NaN if the class does not occur in the ground truth.
        mean: over the classes that occur; a class predicted but absent counts only through what it takes from others.
        occurring: number of classes that occur.
    """

    per_class: Float[np.ndarray, " C"]
    mean: float
    occurring: int


def iou(matrix: Int[np.ndarray, "C P"]) -> IoU:
    """Return the IoU of a confusion matrix (rows: truth). Entries in columns beyond the classes count as misses.

    Raises ValueError if nothing was counted.
    """
    truth, predicted, hit = matrix.sum(1), matrix.sum(0)[: len(matrix)], matrix.diagonal()
    occurs = truth > 0
    if not occurs.any():
        raise ValueError("no labelled patch or pixel was compared: the ground truth is void everywhere")
    per_class = np.full(len(matrix), np.nan)
    per_class[occurs] = hit[occurs] / (truth + predicted - hit)[occurs]
    return IoU(per_class, float(per_class[occurs].mean()), int(occurs.sum()))
