"""A small data set of photos in VOC's layout and settings to prepare it, and the bytes of what came out."""

from pathlib import Path

import numpy as np
from PIL import Image

from cribo.data.preparation import layouts
from cribo.data.prepared.manifest import sha256

SCENES = {"kind": "scenes", "seed": 0, "size": 48, "train": 40, "val": 10, "objects": [2, 5]}
VOC = {"kind": "voc", "path": None, "train": "train", "val": "val", "masks": "SegmentationClass"}


def digest(folder: Path) -> dict[str, str]:
    """sha256 of every file below a folder, by its path."""
    return {p.relative_to(folder).as_posix(): sha256(p.read_bytes()) for p in sorted(folder.rglob("*")) if p.is_file()}


def save_mask(root: Path, n: int, ids: np.ndarray) -> None:
    mask = Image.fromarray(ids)
    mask.putpalette(layouts.voc_palette())
    mask.save(root / f"SegmentationClass/{n}.png")


def inside(photos: Path) -> Path:
    return photos / "VOCdevkit" / "VOC2012"
