"""Evaluate one encoder by YOLOS: keep the state of the finetuning, score the detector, build the result."""

from __future__ import annotations

import hashlib
from contextlib import nullcontext
from functools import cache
from importlib.metadata import version
from pathlib import Path

import yaml

from cribo.data.prepared.readers import PreparedSet
from cribo.evaluation.detection.boxes import DetectionSet, boxes_of, digest_of
from cribo.evaluation.detection.score import average_precision, detect
from cribo.evaluation.detection.train import finetune, sizes_of
from cribo.evaluation.harness.result import Meter, known_percent, result
from cribo.model.encoder import Encoder
from cribo.params import Compute
from cribo.training.engine import checkpoint
from cribo.training.engine.distributed import World
from cribo.training.engine.sources import digest_of_sources

SOURCES = (
    "data/prepared",
    "evaluation/detection",
    "evaluation/harness/read_ahead.py",
    "model/encoder.py",
    "model/networks/backbone.py",
)


def judge(encoder: Encoder, prepared: PreparedSet, spec: dict, compute: Compute, world: World, meter: Meter) -> dict:
    """Finetune and score `encoder` on `prepared`; return the JSON tree. The training state stays in `run_directory`."""
    data, settings = boxes_of(prepared), _settings(spec)
    folder = _folder(encoder, data.name, data.digest, settings)
    with checkpoint.sole_owner(folder) if world.main else nullcontext():
        world.barrier()
        model = finetune(encoder, data, settings, folder, compute, world)
        detections = detect(model, encoder, data, sizes_of(settings, encoder.patch_size), compute.workers, world)
    world.barrier()
    return yolos_result(encoder.name, data, settings, detections, meter.read())


def run_directory(encoder: Encoder, prepared: PreparedSet, spec: dict) -> Path:
    """Return the folder where `judge` keeps the state of the finetuning. It is not needed once the result is written."""
    return _folder(encoder, prepared.name, digest_of(prepared), _settings(spec))


def _settings(spec: dict) -> dict:
    return {key: value for key, value in spec.items() if key != "dataset"}


def _folder(encoder: Encoder, dataset: str, digest: str, settings: dict) -> Path:
    return checkpoint.RUNS / f"yolos-{encoder.name}-{dataset}-{fingerprint(encoder, settings, digest)}"


def fingerprint(encoder: Encoder, settings: dict, digest: str) -> str:
    """Return sixteen hex digits for everything that determines the detector: weights, settings, photos and our sources."""
    sha = hashlib.sha256(yaml.safe_dump(settings, sort_keys=True).encode() + digest.encode() + _sources())
    sha.update(repr((encoder.mean, encoder.std)).encode())  # --set may give the same weights other ones
    for key, value in encoder.net.state_dict().items():
        sha.update(key.encode() + value.cpu().numpy().tobytes())
    return sha.hexdigest()[:16]


@cache
def _sources() -> bytes:
    """Return a digest of our sources as they are when a finetuning begins: someone may edit them before it ends."""
    return digest_of_sources(SOURCES)


def yolos_result(model: str, data: DetectionSet, settings: dict, detections: list[dict], cost: dict) -> dict:
    """Return the JSON tree, AP in percent. docs/protocols.md explains every field."""
    found = average_precision(data, detections)
    scores = {
        "data_warnings": list(data.warnings),
        **{name: known_percent(value) for name, value in found.stats.items()},
        "per_class": {name: known_percent(ap) for name, ap in found.per_class.items()},
        "n": {
            "train_images": len(data.splits["train"]),
            "val_images": len(data.splits["val"]),
            "val_boxes": sum(len(photo.boxes) for photo in data.splits["val"]),
            "categories": len(data.categories),
            "detections": len(detections),
        },
    }
    card = {
        "card": "docs/protocols.md, YOLOS",
        **settings,
        "metric": "box AP over IoU 0.50 to 0.95 as COCO defines it, by faster-coco-eval",
        "value": "AP",
    }
    tree = result("yolos", model, data.name, data.digest, scores["AP"], scores, card, cost)
    tree["versions"] |= {name: version(name) for name in ("transformers", "faster-coco-eval")}
    return tree
