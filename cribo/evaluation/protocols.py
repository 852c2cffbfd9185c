"""The protocols that need an encoder and a folder only, each with the paper's settings: what `cribo.evaluate` offers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cribo import params
from cribo.data.class_folders import LabelledImages, open_class_folders
from cribo.data.location import locate
from cribo.data.manifest import MANIFEST, DataError
from cribo.data.prepare import prepare
from cribo.data.readers import PreparedSet, open_set
from cribo.evaluation import dense_nn_result, hummingbird, knn
from cribo.evaluation.detection import run as yolos
from cribo.evaluation.detection.boxes import DetectionSet, open_coco
from cribo.evaluation.stage import Judge


@dataclass(frozen=True)
class Protocol:
    """schema: of its block in params.yaml; paper: values for it; layout: of the photos; open: PATH → what judge takes."""

    schema: type[params.Group]
    paper: dict[str, Any]
    layout: str
    open: Callable[[str, Path, dict, Path], Any]
    judge: Judge


def open_masks(name: str, path: Path, settings: dict, scratch: Path) -> PreparedSet:
    """A prepared folder (with MANIFEST.json) as it is; a folder in VOC's layout is checked first, file by file.

    `settings` may name the lists and the folder of masks (train, val, masks); without them the augmented ones of SBD are
    taken where they are. The index of the check is kept in `scratch`.
    """
    if (path / MANIFEST).exists():
        _nothing_else(settings, ())
        return open_set(path.name, path.parent)
    _nothing_else(settings, ("train", "val", "masks"))
    root = locate(name, path)
    lists = {file.stem for file in (root / "ImageSets/Segmentation").glob("*.txt")}
    augmented = next((s for s in ("train_aug", "trainaug") if s in lists), None)
    if augmented is None or not (root / "SegmentationClassAug").is_dir():
        chosen = {"train": "train", "val": "val", "masks": "SegmentationClass"}
    else:
        chosen = {"train": augmented, "val": "val", "masks": "SegmentationClassAug"}
    prepare(name, {"kind": "voc", "path": str(path), **chosen, **settings}, scratch)
    return open_set(name, scratch, path)


def open_classes(name: str, path: Path, settings: dict, scratch: Path) -> LabelledImages:
    """A folder {train,val}/CLASS/ of photos."""
    _nothing_else(settings, ())
    return open_class_folders(name, path)


def open_instances(name: str, path: Path, settings: dict, scratch: Path) -> DetectionSet:
    """A folder in COCO's layout."""
    _nothing_else(settings, ())
    return open_coco(name, path)


def _nothing_else(settings: dict, known: tuple[str, ...]) -> None:
    if unknown := sorted(set(settings) - set(known)):
        allowed = ", ".join(f"data.{key}" for key in known) or "none"
        raise DataError(f"--set data.{unknown[0]} is no choice that this data has (there are: {allowed})")


PROTOCOLS = {
    "dense_nn": Protocol(
        params.DenseNN,
        {"k": 50, "temperature": 0.07, "subsample": [1, 8, 64, 128], "runs": 5, "seed": 0},
        "a folder in Pascal VOC's layout, or one that `prepare` made",
        open_masks,
        dense_nn_result.judge,
    ),
    "hummingbird": Protocol(
        params.Hummingbird,
        {
            "size": 512,
            "k": 30,
            "temperature": 0.02,
            "passes": 2,
            "crop_area": [0.5, 2.0],
            "jitter": 0.1,
            "jitter_probability": 0.5,
            "patches_per_image": None,
            "void_is_class_0": True,
            "match_classes": True,
            "seed": 0,
        },
        "as for dense_nn",
        open_masks,
        hummingbird.judge,
    ),
    "knn": Protocol(
        params.KNN,
        {"k": [10, 20, 100, 200], "temperature": 0.07, "short_side": 256, "crop": 224},
        "folders {train,val}/CLASS/ of photos",
        open_classes,
        knn.judge,
    ),
    "yolos": Protocol(
        params.Yolos,
        {
            "epochs": 150,
            "batch_size": 32,
            "lr": 2.5e-5,
            "min_lr": 1e-7,
            "weight_decay": 1e-4,
            "clip_norm": 0.1,
            "tokens": 100,
            "grid": [512, 864],
            "short": [480, 800, 16],
            "longest": 1333,
            "crop_from": [400, 500, 600],
            "crop": [384, 600],
            "test": 800,
            "seed": 42,
        },
        "COCO's folders: annotations/, {train,val}2017/ or images/{train,val}2017/",
        open_instances,
        yolos.judge,
    ),
}
