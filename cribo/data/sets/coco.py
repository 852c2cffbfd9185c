"""COCO 2017, and COCO-Stuff 164K, which is other annotations of the same photos.

`coco` is what instances_{train,val}2017.json list, images without an object included; `coco_stuff` is every photo with a
map in stuffthingmaps (also found as annotations/train2017, where mmsegmentation has them).
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from cribo.data.labels import COCO_STUFF
from cribo.data.manifest import DataError, listed
from cribo.data.sets.listing import IMAGES, Entry, Listing, first_folder, names_in

PHOTOS = "photos each under its Flickr licence (stated in the annotations), COCO's terms of use"
LICENCE = f"Annotations CC BY 4.0; {PHOTOS}. Cite Lin et al. 2014."
LICENCE_STUFF = f"Annotations CC BY 4.0; {PHOTOS}. Cite Caesar et al. 2018."
SOURCE = "COCO 2017, cocodataset.org"
SOURCE_STUFF = "COCO-Stuff 164K, github.com/nightrome/cocostuff; photos of COCO 2017"
PUBLISHED = {"train": 118287, "val": 5000}
SPLITS = {"train": "train2017", "val": "val2017"}


def listing(name: str, settings: dict, root: Path) -> Listing:
    entries: list[Entry] = []
    annotations, notes, categories = {}, [], {}
    for split, folder in SPLITS.items():
        photos = _photos(root, folder)
        annotations[split] = f"annotations/instances_{folder}.json"
        tree = _read(root / annotations[split])
        categories[split] = [(c["id"], c["name"]) for c in tree["categories"]]
        entries += [
            Entry(split, f"{i['id']:012d}", f"{photos}/{i['file_name']}", size=(i["width"], i["height"]))
            for i in sorted(tree["images"], key=lambda image: image["id"])
        ]
        named = {image["file_name"] for image in tree["images"]}
        notes += _unused(set(names_in(root / photos, IMAGES)) - named, photos, annotations[split])
    if categories["train"] != categories["val"]:
        raise DataError(f"{annotations['train']} and {annotations['val']} in {root} have different categories")
    classes = [category for _, category in categories["train"]]
    return Listing(root, entries, classes, LICENCE, SOURCE, PUBLISHED, annotations, notes)


def listing_stuff(name: str, settings: dict, root: Path) -> Listing:
    entries: list[Entry] = []
    notes: list[str] = []
    for split, folder in SPLITS.items():
        photos = _photos(root, folder)
        maps = first_folder(root, f"stuffthingmaps/{folder}", f"annotations/{folder}")
        ids = [Path(file).stem for file in names_in(root / maps, frozenset({".png"})) if "_label" not in file]
        entries += [Entry(split, identity, f"{photos}/{identity}.jpg", f"{maps}/{identity}.png") for identity in ids]
        notes += _unused({Path(n).stem for n in names_in(root / photos, IMAGES)} - set(ids), photos, maps)
    return Listing(root, entries, COCO_STUFF, LICENCE_STUFF, SOURCE_STUFF, PUBLISHED, notes=notes)


def _photos(root: Path, folder: str) -> str:
    return first_folder(root, folder, f"images/{folder}")


def _unused(files: set[str], photos: str, listing: str) -> list[str]:
    return [f"{len(files)} photos of {photos} are not in {listing} and left out"] if files else []


def _read(path: Path) -> dict:
    """Instances of a split, checked: known images and categories, boxes inside the image."""
    try:
        tree = json.loads(path.read_bytes())
        sizes = {image["id"]: (image["width"], image["height"]) for image in tree["images"]}
        known = {category["id"] for category in tree["categories"]}
        wrong = [fault for a in tree["annotations"] if (fault := _fault(a, sizes, known))]
        names = Counter(image["file_name"] for image in tree["images"])
    except FileNotFoundError:
        raise DataError(f"{path} is missing") from None
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is no file of COCO instances ({type(error).__name__}: {error})") from None
    if not sizes:
        raise DataError(f"{path} names no image")
    if twice := [file for file, count in names.items() if count > 1]:
        raise DataError(f"{path} names images more than once: {listed(twice)}")
    if wrong:
        raise DataError(f"{path} has {len(wrong)} wrong annotations: {listed(wrong)}")
    return tree


def _fault(annotation: dict, sizes: dict[int, tuple[int, int]], categories: set[int]) -> str | None:
    identity = annotation["id"]
    if annotation["image_id"] not in sizes:
        return f"{identity} (no image {annotation['image_id']})"
    if annotation["category_id"] not in categories:
        return f"{identity} (no category {annotation['category_id']})"
    (x, y, w, h), (width, height) = annotation["bbox"], sizes[annotation["image_id"]]
    if x < -1 or y < -1 or w < 0 or h < 0 or x + w > width + 1 or y + h > height + 1:  # COCO's own boxes are rounded
        return f"{identity} (box {annotation['bbox']} leaves its image of {width}x{height})"
    return None
