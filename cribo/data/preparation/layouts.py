"""Generated scenes in three standard layouts under one root, so that every protocol reads them as it reads real photos.

VOC     VOCdevkit/VOC2012/{JPEGImages/*.jpg, SegmentationClass/*.png, ImageSets/Segmentation/{train,val}.txt}
COCO    annotations/instances_{train,val}.json over the same photos; RLE of each object's visible part
folders objects/{train,val}/CLASS/*.jpg, a square crop of each object that is mostly visible, for image-level k-NN
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import simplejpeg
from PIL import Image
from pycocotools import mask as rle

from cribo.data.preparation.scenes import CLASSES, SPLITS, Scene, render
from cribo.data.prepared.manifest import Row, sha256

VOC = "VOCdevkit/VOC2012"
QUALITY = 90  # of the JPEGs
MOSTLY = 0.75  # least visible share at which an object gets its own crop


@dataclass(frozen=True)
class Written:
    """A scene on disk: its row, the values in its mask, its COCO objects, and the rows of its crops."""

    row: Row
    values: tuple[int, ...]
    objects: list[dict]
    crops: list[Row]


def instances(split: str) -> str:
    """The COCO file of a split."""
    return f"annotations/instances_{split}.json"


def voc_palette() -> list[int]:
    """VOC's colour map, 768 values: an id's bits 0, 1, 2 are the high bits of R, G, B, bits 3, 4, 5 the next, and so on."""
    ids = np.arange(256)
    colours = np.zeros((256, 3), dtype=int)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= ((ids >> (3 * bit + channel)) & 1) << (7 - bit)
    return colours.ravel().tolist()


_PALETTE = voc_palette()


def make_folders(root: Path) -> None:
    """Make every folder of the layouts, once, before workers write into them."""
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / VOC / folder).mkdir(parents=True)
    (root / "annotations").mkdir()
    for split in SPLITS:
        for name in CLASSES[1:]:
            (root / "objects" / split / name).mkdir(parents=True)


def write_scene(root: Path, settings: dict, split: str, index: int) -> Written:
    """Render one scene and write its photo, mask and crops."""
    scene = render(settings["size"], settings["objects"], settings["seed"], split, index)
    identity = f"{split}_{index:06d}"
    image, mask = f"{VOC}/JPEGImages/{identity}.jpg", f"{VOC}/SegmentationClass/{identity}.png"
    ids = scene.mask()
    photo, png = _jpeg(scene.image), _palette_png(ids)
    (root / image).write_bytes(photo)
    (root / mask).write_bytes(png)
    crops = _write_crops(root, split, identity, scene)
    size = settings["size"]
    row = Row(split, identity, image, mask, size, size, len(photo), len(png), sha256(photo), sha256(png))
    return Written(row, tuple(np.unique(ids).tolist()), coco_objects(scene), crops)


def write_lists(root: Path, split: str, rows: list[Row], objects: list[list[dict]]) -> None:
    """Write the split's VOC list and COCO file; `objects` holds each row's COCO objects."""
    (root / VOC / "ImageSets" / "Segmentation" / f"{split}.txt").write_text("".join(f"{row.id}\n" for row in rows))
    images = [
        {"id": number, "file_name": f"{row.id}.jpg", "width": row.width, "height": row.height}
        for number, row in enumerate(rows, 1)
    ]
    annotations = [{"image_id": number, **entry} for number, entries in enumerate(objects, 1) for entry in entries]
    tree = {
        "info": {"description": f"generated scenes, {split}; photos in {VOC}/JPEGImages"},
        "licenses": [],
        "images": images,
        "annotations": [{"id": n, **entry} for n, entry in enumerate(annotations, 1)],
        "categories": [{"id": k, "name": name, "supercategory": name.split("_")[1]} for k, name in enumerate(CLASSES) if k],
    }
    (root / instances(split)).write_text(json.dumps(tree))


def coco_objects(scene: Scene) -> list[dict]:
    """COCO annotations of a scene's objects, without ids: compressed RLE of the visible part, its area and box."""
    found = []
    for number, placed in enumerate(scene.objects, 1):
        region = rle.encode(np.asfortranarray(scene.instances == number, dtype=np.uint8))
        if area := int(rle.area(region)):  # an object that others hide completely has no annotation
            found.append(
                {
                    "category_id": placed.category,
                    "iscrowd": 0,
                    "area": area,
                    "bbox": rle.toBbox(region).tolist(),
                    "segmentation": {"size": region["size"], "counts": region["counts"].decode("ascii")},
                }
            )
    return found


def _write_crops(root: Path, split: str, identity: str, scene: Scene) -> list[Row]:
    """Write a square crop of each mostly visible object, a quarter wider than it and shifted to stay inside the image."""
    size, rows_of_crops = scene.instances.shape[0], []
    for number, placed in enumerate(scene.objects, 1):
        if placed.visible < MOSTLY:
            continue
        rows, columns = np.nonzero(scene.instances == number)
        side = min(size, int(1.25 * (max(np.ptp(rows), np.ptp(columns)) + 1)))
        top, left = (int(np.clip((a.min() + a.max() + 1 - side) // 2, 0, size - side)) for a in (rows, columns))
        crop = np.ascontiguousarray(scene.image[top : top + side, left : left + side])
        photo, label = _jpeg(crop), CLASSES[placed.category]
        file = f"objects/{split}/{label}/{identity}_{number}.jpg"
        (root / file).write_bytes(photo)
        names = f"objects/{split}", f"{identity}_{number}", file, ""
        rows_of_crops.append(Row(*names, side, side, len(photo), 0, sha256(photo), "", label))
    return rows_of_crops


def _jpeg(image: np.ndarray) -> bytes:
    return simplejpeg.encode_jpeg(image, quality=QUALITY, colorspace="RGB", colorsubsampling="444")


def _palette_png(ids: np.ndarray) -> bytes:
    picture = Image.fromarray(ids)
    picture.putpalette(_PALETTE)
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()
