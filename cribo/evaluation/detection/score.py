"""Detections on the val split, and their average precision by COCO's official definition."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from faster_coco_eval import COCO, COCOeval_faster
from jaxtyping import Float
from torch import Tensor
from transformers import YolosForObjectDetection

from cribo.evaluation.detection.augment import Sizes, val_sample
from cribo.evaluation.detection.boxes import BoxedPhoto, DetectionSet
from cribo.evaluation.detection.train import network_input
from cribo.evaluation.detection.yolos import predict
from cribo.evaluation.harness.progress import Progress
from cribo.evaluation.harness.read_ahead import read_ahead
from cribo.model.encoder import Encoder
from cribo.training.engine.distributed import World

STATS = ("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large")


@dataclass(frozen=True)
class Precision:
    """COCO's summary by name and AP by category, as shares; NaN where the ground truth has no such box."""

    stats: dict[str, float]
    per_class: dict[str, float]


@torch.no_grad()
def detect(
    model: YolosForObjectDetection, encoder: Encoder, data: DetectionSet, sizes: Sizes, workers: int, world: World
) -> list[dict]:
    """Return entries as in COCO's result files, at most one per detection token and photo. The processes share the photos;
    each returns all entries."""
    photos, model = data.splits["val"], model.eval()
    own = range(world.rank, len(photos), world.size)
    progress, found = Progress(f"detections on {data.name}", max(1, len(own))), []
    for (index,), (sample,) in read_ahead([[i] for i in own], lambda i: val_sample(photos[i], sizes), workers):
        logits, boxes = predict(model, network_input(encoder, [sample]))
        found += entries(logits[0], boxes[0], photos[index], data.categories)
        if world.main:
            progress.add(1)
    return sorted((e for part in world.gather_objects(found) for e in part), key=lambda e: (e["image_id"], -e["score"]))


def entries(
    logits: Float[Tensor, "T C"], boxes: Float[Tensor, "T 4"], photo: BoxedPhoto, categories: dict[int, str]
) -> list[dict]:
    """Return each token's best category other than "no object"; drop tokens whose best id the data set does not have."""
    scores, labels = logits.softmax(-1)[:, :-1].max(-1)
    centre, size = boxes[:, :2], boxes[:, 2:]
    scale = boxes.new_tensor([photo.width, photo.height] * 2)
    corners = torch.cat([centre - size / 2, size], dim=1) * scale
    rows = zip(labels.tolist(), scores.tolist(), corners.tolist(), strict=True)
    return [
        {"image_id": photo.id, "category_id": label, "bbox": box, "score": score}
        for label, score, box in rows
        if label in categories
    ]


def average_precision(data: DetectionSet, detections: list[dict]) -> Precision:
    """Return COCO's box AP of detections on the val split (crowds ignored, at most 100 detections per photo).

    A true box without width or height counts as one that no detection finds, as in pycocotools.
    """
    truth = COCO(_counted(data.instances["val"]))
    nothing = {"image_id": data.splits["val"][0].id, "category_id": min(data.categories), "bbox": [0] * 4, "score": 0.0}
    judged = COCOeval_faster(truth, truth.loadRes(detections or [nothing]), "bbox")  # loadRes rejects an empty list
    judged.evaluate()
    judged.accumulate()
    judged.summarize()
    precision = np.asarray(judged.eval["precision"])[:, :, :, 0, -1]  # IoU, recall, category; all areas, 100 per photo
    per_class = {
        data.categories[category]: _known(precision[:, :, n].mean()) for n, category in enumerate(judged.params.catIds)
    }
    return Precision({name: _known(value) for name, value in zip(STATS, judged.stats, strict=False)}, per_class)


def _counted(instances: Path) -> dict:
    """Return COCO's tree with annotation ids counted from 1: COCO's code reads an id of 0 as "nothing found"."""
    tree = json.loads(instances.read_bytes())
    return {**tree, "annotations": [{**entry, "id": n} for n, entry in enumerate(tree["annotations"], 1)]}


def _known(value: float) -> float:
    """Turn COCO's -1, which means no true box of this category or size, into NaN."""
    return float(value) if value > -1 else math.nan
