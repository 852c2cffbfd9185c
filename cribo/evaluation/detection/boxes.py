"""Photos with boxes, from COCO's instances files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from cribo.data import manifest as manifests
from cribo.data.manifest import DataError, sha256

SPLITS = ("train", "val")


@dataclass(frozen=True)
class BoxedPhoto:
    """`boxes`: left, top, right, bottom in px; `categories`: COCO's ids. Regions marked as crowds are not among them."""

    id: int
    photo: Path
    width: int
    height: int
    boxes: Float[np.ndarray, "n 4"]
    categories: Int[np.ndarray, " n"]


@dataclass(frozen=True)
class DetectionSet:
    """`instances`: the instances file of each split, for the official scores; `digest`: sha256 over both files."""

    name: str
    digest: str
    categories: dict[int, str]
    splits: dict[str, tuple[BoxedPhoto, ...]]
    instances: dict[str, Path]


def open_boxes(name: str, data: str | Path = "data") -> DetectionSet:
    """The photos of `data`/`name` with their boxes: generated scenes.

    Raises:
        DataError: not prepared, or a kind of data without boxes.
    """
    folder = Path(data) / name
    manifest, _ = manifests.read(folder)
    if manifest.kind != "scenes":
        raise DataError(f"data.{name} is of kind {manifest.kind}, whose photos have no boxes: YOLOS cannot judge on it")
    photos = folder / "VOCdevkit/VOC2012/JPEGImages"
    return read_boxes(name, {split: (folder / f"annotations/instances_{split}.json", photos) for split in SPLITS})


def open_coco(name: str, root: str | Path) -> DetectionSet:
    """A folder in COCO's layout: annotations/instances_{train,val}2017.json, photos in {train,val}2017/ or images/ of that.

    Raises:
        DataError: a file is missing or contradicts another.
    """
    root, found = Path(root), {}
    for split in SPLITS:
        folders = [root / f"{split}2017", root / "images" / f"{split}2017"]
        photos = next((folder for folder in folders if folder.is_dir()), None)
        if photos is None:
            raise DataError(f"neither {folders[0]} nor {folders[1]} is there: {name} needs COCO's folders of photos")
        found[split] = (root / f"annotations/instances_{split}2017.json", photos)
    return read_boxes(name, found)


def read_boxes(name: str, files: dict[str, tuple[Path, Path]]) -> DetectionSet:
    """Read each split's instances file and look for its photos; boxes without an area are left out."""
    splits, categories, raw = {}, {}, b""
    for split, (path, photos) in files.items():
        try:
            content = path.read_bytes()
            tree = json.loads(content)
            own = {c["id"]: c["name"] for c in tree["categories"]}
            splits[split] = tuple(_photos(tree, photos))
        except OSError as error:
            raise DataError(f"{path} cannot be read ({error.strerror})") from None
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path} is no instances file of COCO ({error!r})") from None
        if categories and own != categories:
            raise DataError(f"{path} has other categories than the train split")
        if not splits[split]:
            raise DataError(f"{path} names no image")
        if missing := next((p.photo for p in splits[split] if not p.photo.is_file()), None):
            raise DataError(f"{missing} is missing, which {path} names")
        categories, raw = own, raw + content
    return DetectionSet(name, sha256(raw), categories, splits, {split: path for split, (path, _) in files.items()})


def _photos(tree: dict, folder: Path) -> list[BoxedPhoto]:
    by_image: dict[int, list[dict]] = {image["id"]: [] for image in tree["images"]}
    for entry in tree["annotations"]:
        if not entry.get("iscrowd"):
            by_image[entry["image_id"]].append(entry)
    photos = []
    for image in tree["images"]:
        boxes = np.array([entry["bbox"] for entry in by_image[image["id"]]], dtype=np.float64).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        boxes = np.clip(boxes, 0, [image["width"], image["height"]] * 2)
        solid = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        ids = np.array([entry["category_id"] for entry in by_image[image["id"]]], dtype=np.int64)
        photo = folder / image["file_name"]
        photos.append(BoxedPhoto(image["id"], photo, image["width"], image["height"], boxes[solid], ids[solid]))
    return photos
