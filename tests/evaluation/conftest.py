"""Generated photos with masks, and a small encoder, for the protocol's tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from cribo.data.prepared.readers import PreparedSet, Record
from cribo.model.encoder import Encoder

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
COLOURS = np.array([[30, 30, 30], [220, 40, 40], [40, 200, 60], [60, 70, 230]])


@pytest.fixture(scope="session")
def encoder() -> Encoder:
    """A random ViT of patch 8 and width 24."""
    torch.manual_seed(0)
    vit = timm.create_model(
        "vit_tiny_patch16_224",
        num_classes=0,
        patch_size=8,
        embed_dim=24,
        depth=2,
        num_heads=3,
        img_size=32,
        dynamic_img_size=True,
    )
    return Encoder(vit, MEAN, STD, "small")


@pytest.fixture(scope="session")
def write_set() -> Callable[..., PreparedSet]:
    """Writes a data set of photos with masks."""
    return _write_set


def _write_set(folder: Path, sizes: dict[str, list[tuple[int, int]]], void: float = 0.1) -> PreparedSet:
    """Photos of coloured rectangles, (width, height) each: class c has colour c, and the val split has no blue.
    Masks have void stripes, and their first patch is wholly void."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    splits = {}
    for split, wanted in sizes.items():
        records = []
        for i, (width, height) in enumerate(wanted):
            mask = np.zeros((height, width), np.uint8)
            for label in rng.integers(1, 4 if split == "train" else 3, 3):
                y, x = rng.integers(0, height - 8), rng.integers(0, width - 8)
                mask[y : y + rng.integers(6, height), x : x + rng.integers(6, width)] = label
            image = np.clip(COLOURS[mask] + rng.normal(0, 25, (height, width, 3)), 0, 255).astype(np.uint8)
            mask[rng.random(height) < void] = 255
            mask[:10, :10] = 255
            record = Record(f"{split}{i}", folder / f"{split}{i}.image.png", folder / f"{split}{i}.mask.png", width, height)
            Image.fromarray(image).save(record.image)
            Image.fromarray(mask).save(record.mask)
            records.append(record)
        splits[split] = tuple(records)
    return PreparedSet("rectangles", ("background", "red", "green", "blue"), 255, "digest", splits, "none", "generated")
