"""Small data sets in the layouts in which the big ones are published, generated."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

from cribo.data.preparation.layouts import voc_palette

SIZE = (30, 20)  # width, height


def photo(path: Path, seed: int = 0, size: tuple[int, int] = SIZE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng([seed, *path.name.encode()]).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def values(seed: int, of: tuple[int, ...]) -> np.ndarray:
    """A mask in which every given value occurs, in blocks."""
    height, width = SIZE[1], SIZE[0]
    return np.resize(np.roll(np.array(of), seed), height * width).reshape(height, width)


def png(path: Path, stored: np.ndarray, palette: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(stored.astype(np.uint8))
    if palette:
        image.putpalette(voc_palette())
    image.save(path)


def text(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def voc(root: Path, train: int = 4, val: int = 2) -> None:
    """VOCdevkit/VOC2012 with its own masks."""
    inside = root / "VOCdevkit/VOC2012"
    lists = {"train": [f"2007_{n:06d}" for n in range(train)], "val": [f"2008_{n:06d}" for n in range(val)]}
    for split, ids in lists.items():
        text(inside / f"ImageSets/Segmentation/{split}.txt", ids)
        for n, identity in enumerate(ids):
            photo(inside / f"JPEGImages/{identity}.jpg", n)
            png(inside / f"SegmentationClass/{identity}.png", values(n, (0, 1, 20, 255)), palette=True)


def sbd(root: Path) -> None:
    """benchmark_RELEASE inside VOC2012: five photos more, one image of VOC's train and one of its val among its own."""
    inside = root / "VOCdevkit/VOC2012"
    ids = {"train": ["2007_000000", "2009_000000", "2009_000001", "2009_000002"], "val": ["2008_000000", "2009_000003"]}
    for split, names in ids.items():
        text(inside / f"benchmark_RELEASE/dataset/{split}.txt", names)
        for n, identity in enumerate(names):
            photo(inside / f"JPEGImages/{identity}.jpg", n)
            path = inside / f"benchmark_RELEASE/dataset/cls/{identity}.mat"
            path.parent.mkdir(parents=True, exist_ok=True)
            savemat(path, {"GTcls": {"Segmentation": values(n, (0, 5)).astype(np.uint8), "Boundaries": [0]}})


def pascal_context(root: Path, train: int = 3, val: int = 2) -> None:
    """VOC 2010's photos and lists, and trainval/ID.mat with 459 labels."""
    for split, count in (("train", train), ("val", val)):
        ids = [f"2010_{split}{n:03d}" for n in range(count)]
        text(root / f"VOCdevkit/VOC2010/ImageSets/Main/{split}.txt", ids)
        for n, identity in enumerate(ids):
            photo(root / f"VOCdevkit/VOC2010/JPEGImages/{identity}.jpg", n)
            (root / "trainval").mkdir(exist_ok=True)
            savemat(root / f"trainval/{identity}.mat", {"LabelMap": values(n, (1, 2, 258, 431, 458)).astype(np.uint16)})


def ade20k(root: Path, train: int = 3, val: int = 2) -> None:
    for split, folder, count in (("train", "training", train), ("val", "validation", val)):
        for n in range(count):
            name = f"ADE_{split}_{n:08d}"
            photo(root / f"ADEChallengeData2016/images/{folder}/{name}.jpg", n)
            png(root / f"ADEChallengeData2016/annotations/{folder}/{name}.png", values(n, (0, 1, 150)))


def coco(root: Path, train: int = 3, val: int = 2) -> None:
    """Photos and instances; one photo more than the annotations know, and one image without an object."""
    for split, count in (("train", train), ("val", val)):
        images = [
            {"id": 10 * n + 1, "file_name": f"{10 * n + 1:012d}.jpg", "width": SIZE[0], "height": SIZE[1]}
            for n in range(count)
        ]
        for n, image in enumerate([*images, {"file_name": f"{999:012d}.jpg"}]):
            photo(root / f"{split}2017/{image['file_name']}", n)
        objects = [
            {"id": n, "image_id": image["id"], "category_id": 18, "bbox": [1, 2, 5, 6], "area": 30, "iscrowd": 0}
            for n, image in enumerate(images[1:])
        ]
        tree = {
            "images": images,
            "annotations": objects,
            "categories": [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}],
        }
        path = root / f"annotations/instances_{split}2017.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(tree))


def coco_stuff(root: Path, train: int = 3, val: int = 2) -> None:
    for split, count in (("train", train), ("val", val)):
        for n in range(count):
            photo(root / f"{split}2017/{n:012d}.jpg", n)
            png(root / f"stuffthingmaps/{split}2017/{n:012d}.png", values(n, (0, 12, 181, 255)))


def imagenet(root: Path, train: int = 3, val: int = 2, flat: bool = False) -> None:
    """Two classes; with `flat`, val as its archive unpacks and the development kit beside it."""
    wnids = ("n01440764", "n02102040")
    for wnid in wnids:
        for n in range(train):
            photo(root / f"train/{wnid}/{wnid}_{n}.JPEG", n)
        for n in range(0 if flat else val):
            photo(root / f"val/{wnid}/ILSVRC2012_val_{n:08d}.JPEG", n)
    if flat:
        for n in range(2 * val):
            photo(root / f"val/ILSVRC2012_val_{n + 1:08d}.JPEG", n)
        kit = root / "ILSVRC2012_devkit_t12/data"
        text(kit / "ILSVRC2012_validation_ground_truth.txt", [str(2 - n % 2) for n in range(2 * val)])  # 2, 1, 2, 1
        rows = np.zeros((3, 1), dtype=[("ILSVRC2012_ID", object), ("WNID", object)])
        for n, row in enumerate([(1, wnids[0]), (2, wnids[1]), (1001, "n00001740")]):
            rows[n, 0] = row
        savemat(kit / "meta.mat", {"synsets": rows})


def folder(root: Path, masks: bool = False) -> None:
    for n, name in enumerate(("a.jpg", "deep/b.png", "deep/er/c.jpg", "held/d.jpg")):
        photo(root / name, n)
        if masks:
            png((root / "labels" / name).with_suffix(".png"), values(n, (0, 1, 255)))
    (root / ".hidden").mkdir()
    photo(root / ".hidden/e.jpg")
    text(root / "notes.txt", ["no image"])


MAKE = {
    "voc": voc,
    "pascal_context": pascal_context,
    "ade20k": ade20k,
    "coco": coco,
    "coco_stuff": coco_stuff,
    "imagenet": imagenet,
    "folder": folder,
}
SETTINGS: dict[str, dict] = {kind: {"kind": kind} for kind in MAKE}
SETTINGS["voc"] |= {"train": "train", "val": "val", "masks": "SegmentationClass"}
SETTINGS["folder"] |= {"train": ".", "val": "held"}
