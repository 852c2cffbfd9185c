"""Photos and their boxes, read from COCO's instances files."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from cribo.data.prepared.readers import PreparedSet
from cribo.evaluation.harness.errors import EvaluationError


@dataclass(frozen=True)
class BoxedPhoto:
    """`boxes`: left, top, right, bottom in px; `categories`: COCO's ids. Regions marked as crowds are left out.

    Boxes without width or height, of which COCO has a few, are kept: the official score counts them, though none is ever
    found.
    """

    id: int
    photo: Path
    width: int
    height: int
    boxes: Float[np.ndarray, "n 4"]
    categories: Int[np.ndarray, " n"]


@dataclass(frozen=True)
class DetectionSet:
    """`instances`: COCO's file of each split, for the official scores; `digest`: from `digest_of`;
    `warnings`: those of the prepared set."""

    name: str
    digest: str
    categories: dict[int, str]
    splits: dict[str, tuple[BoxedPhoto, ...]]
    instances: dict[str, Path]
    warnings: tuple[str, ...] = ()


def boxes_of(data: PreparedSet) -> DetectionSet:
    """Read the boxes of a prepared set that has COCO's annotations.

    Raises:
        EvaluationError: a split has no annotations or no category, the val split has no box to find, the annotations name a
            photo that the set lacks, or two photos share a name.
    """
    if set(data.annotations) != {"train", "val"}:
        raise EvaluationError(f"{data.name} has no boxes in both splits, which YOLOS needs")
    splits, categories = {}, {}
    for split, path in data.annotations.items():
        tree = json.loads(path.read_bytes())
        categories = {category["id"]: category["name"] for category in tree["categories"]}
        if not categories:
            raise EvaluationError(f"{path} has no category, which YOLOS needs: give one to each kind of object")
        files = {record.image.name: record.image for record in data.splits[split]}
        if len(files) < len(data.splits[split]):
            raise EvaluationError(
                f"{path} names photos of the same name in several folders, and YOLOS tells them by their names: rename them"
            )
        splits[split] = tuple(_photos(tree, files, path))
    if not any(len(photo.boxes) for photo in splits["val"]):
        raise EvaluationError(
            f"{data.annotations['val']} has no box, those of crowds apart, and YOLOS is judged by what it finds there: give "
            "a val split with boxes"
        )
    return DetectionSet(data.name, digest_of(data), categories, splits, dict(data.annotations), data.warnings)


def digest_of(data: PreparedSet) -> str:
    """Return the sha256 of photos and boxes: of the prepared set's digest and the contents of COCO's files."""
    digest = hashlib.sha256(data.digest.encode())
    for path in data.annotations.values():
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _photos(tree: dict, files: dict[str, Path], path: Path) -> list[BoxedPhoto]:
    by_image: dict[int, list[dict]] = {image["id"]: [] for image in tree["images"]}
    for entry in tree["annotations"]:
        if not entry.get("iscrowd"):
            by_image[entry["image_id"]].append(entry)
    photos = []
    for image in tree["images"]:
        boxes = np.array([entry["bbox"] for entry in by_image[image["id"]]], dtype=np.float64).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        boxes = np.clip(boxes, 0, [image["width"], image["height"]] * 2)
        ids = np.array([entry["category_id"] for entry in by_image[image["id"]]], dtype=np.int64)
        photo = files.get(Path(image["file_name"]).name)
        if photo is None:
            raise EvaluationError(
                f"{path} names {image['file_name']}, which is not in the prepared set (left out as broken, or new since)"
            )
        photos.append(BoxedPhoto(image["id"], photo, image["width"], image["height"], boxes, ids))
    return photos
