"""Photos that several files prepare."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.photos import save_mask


@pytest.fixture
def photos(tmp_path) -> Path:
    """Six images in VOC's layout, values 0-2 and void; returns the folder that holds VOCdevkit."""
    rng = np.random.default_rng(0)
    root = tmp_path / "photos" / "VOCdevkit" / "VOC2012"
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    for n in range(6):
        Image.fromarray(rng.integers(0, 256, (20 + n, 30, 3), dtype=np.uint8)).save(root / f"JPEGImages/{n}.jpg")
        save_mask(root, n, rng.choice([0, 1, 2, 255], (20 + n, 30)).astype(np.uint8))
    (root / "ImageSets/Segmentation/train.txt").write_text("0\n1\n2\n3\n")
    (root / "ImageSets/Segmentation/val.txt").write_text("4\n5\n")
    return tmp_path / "photos"
