"""A few real photos of Pascal VOC for tests: cats and horses alone, so that what val shows is in train."""

from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = {8, 13}  # cat, horse


def few_photos(real_data: Path, folder: Path, train: int, val: int) -> None:
    """Make `folder`/VOC2012 with so many photos a split, half of each class; they stay where they are."""
    voc, own = real_data / "voc2012_subset/VOCdevkit/VOC2012", folder / "VOC2012"
    (own / "ImageSets/Segmentation").mkdir(parents=True)
    for name in ("JPEGImages", "SegmentationClass"):
        (own / name).symlink_to(voc / name)
    for split, count in (("train", train), ("val", val)):
        chosen = {wanted: [] for wanted in CLASSES}
        for name in (voc / f"ImageSets/Segmentation/{split}.txt").read_text().split():
            seen = set(np.unique(np.asarray(Image.open(voc / f"SegmentationClass/{name}.png"))).tolist()) - {0, 255}
            if len(seen) == 1 and seen <= CLASSES:
                chosen[seen.pop()].append(name)
        ids = [name for names in chosen.values() for name in names[: count // 2]]
        assert len(ids) == count
        (own / f"ImageSets/Segmentation/{split}.txt").write_text("\n".join(ids))
