"""One label for each patch of a mask: the most frequent class among its pixels."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8


def patch_labels(mask: UInt8[np.ndarray, "H W"], patch: int, classes: int, ignore: int) -> UInt8[np.ndarray, "h w"]:
    """Label each `patch` × `patch` square by majority vote of its pixels; equal counts go to the lowest class id.

    Pixels of value `ignore` do not vote; a patch with no other pixels gets the label `ignore`.

    Raises:
        ValueError: the mask's sides are not multiples of the patch, or a value is neither a class nor `ignore`.
    """
    height, width = mask.shape
    if height % patch or width % patch:
        raise ValueError(f"a mask of {width} × {height} px cannot be cut into patches of {patch} px")
    h, w = height // patch, width // patch
    squares = mask.reshape(h, patch, w, patch).swapaxes(1, 2).reshape(h * w, patch * patch)
    voting = squares != ignore
    surplus = squares[voting & (squares >= classes)]
    if surplus.size:
        raise ValueError(f"a mask holds {surplus[0]}, which is neither one of {classes} classes nor {ignore} (void)")
    # One histogram covers all patches: each patch has its own range of `classes` bins.
    bins = (np.arange(h * w)[:, None] * classes + squares)[voting]
    counts = np.bincount(bins, minlength=h * w * classes).reshape(h * w, classes)
    labels = np.where(counts.any(axis=1), counts.argmax(axis=1), ignore)
    return labels.astype(np.uint8).reshape(h, w)
