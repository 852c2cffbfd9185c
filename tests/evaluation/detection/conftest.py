"""A dozen photos of coloured squares with boxes, in COCO's layout, and a tiny encoder."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from cribo import params
from cribo.data.preparation.prepare import prepare
from cribo.data.prepared.readers import open_set
from cribo.evaluation.detection.boxes import boxes_of
from cribo.model.encoder import Encoder
from cribo.model.networks.backbone import MEAN, STD
from tests.tiny import tiny_vit

CATEGORIES = [{"id": 1, "name": "red"}, {"id": 3, "name": "green"}]


@pytest.fixture(scope="session")
def coco(tmp_path_factory):
    return write_coco(tmp_path_factory.mktemp("coco"))


def write_coco(root):
    rng = np.random.default_rng(0)
    (root / "annotations").mkdir(parents=True)
    for split, count in (("train", 9), ("val", 5)):
        (root / f"{split}2017").mkdir()
        images, annotations = [], []
        for i in range(1, count + 1):
            width, height = (48, 40) if i % 2 else (40, 56)
            pixels = rng.integers(0, 60, (height, width, 3))
            for category in rng.choice([1, 3], 0 if i == 2 else int(rng.integers(1, 4))):
                w, h = (int(n) for n in rng.integers(8, 24, 2))
                x, y = int(rng.integers(0, width - w)), int(rng.integers(0, height - h))
                pixels[y : y + h, x : x + w, 0 if category == 1 else 1] = 220
                entry = {"id": len(annotations) + 1, "image_id": i, "category_id": int(category), "bbox": [x, y, w, h]}
                annotations.append({**entry, "area": w * h, "iscrowd": int(i == 4), "segmentation": []})
            Image.fromarray(pixels.astype(np.uint8)).save(root / f"{split}2017/{i}.png")
            images.append({"id": i, "file_name": f"{i}.png", "width": width, "height": height})
        tree = {"info": {}, "images": images, "annotations": annotations, "categories": CATEGORIES}
        (root / f"annotations/instances_{split}2017.json").write_text(json.dumps(tree))
    return root


def open_squares(root, data):
    """The photos as a prepared set of kind coco."""
    prepare("squares", {"kind": "coco", "path": str(root)}, data, workers=1)
    return open_set("squares", data, root)


@pytest.fixture(scope="session")
def prepared(coco, tmp_path_factory):
    return open_squares(coco, tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def data(prepared):
    return boxes_of(prepared)


@pytest.fixture(scope="session")
def encoder():
    torch.manual_seed(0)
    return Encoder(tiny_vit(), MEAN, STD, "tiny")


@pytest.fixture
def settings():
    return {
        "epochs": 3, "batch_size": 4, "lr": 1e-3, "min_lr": 1e-5, "weight_decay": 1e-2, "clip_norm": 0.1, "tokens": 6,
        "grid": [48, 40], "short": [32, 48, 8], "longest": 64, "crop_from": [32, 40], "crop": [24, 40], "test": 40,
        "seed": 0,
    }  # fmt: skip


@pytest.fixture
def compute():
    return params.load("recipes/demo.yaml").compute.model_copy(update={"workers": 1, "log_steps": 1, "checkpoint_steps": 1})
