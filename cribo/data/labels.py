"""Label rules of the data sets, in one place: which class each value of a mask stands for, and which is void."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cribo.data import scenes

VOID = 255

VOC_CLASSES = (
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)


@dataclass(frozen=True)
class Labels:
    """Values 0 … len(classes) - 1 of a mask are classes as they are; `ignore` is left out of losses and scores."""

    classes: tuple[str, ...]
    ignore: int = VOID

    def illegal(self, mask: np.ndarray) -> list[int]:
        """Values in a mask (uint8 [H, W]) that are neither a class nor void."""
        present = np.flatnonzero(np.bincount(mask.ravel(), minlength=256))
        return [int(v) for v in present if v >= len(self.classes) and v != self.ignore]


LABELS = {"scenes": Labels(scenes.CLASSES), "voc": Labels(VOC_CLASSES)}
