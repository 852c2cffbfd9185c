"""COCO 2017: the images that instances_{train,val}2017.json list, including those without an object."""

from __future__ import annotations

from pathlib import Path

from cribo.data.preparation.download import Remote
from cribo.data.preparation.sets.archive import Archive
from cribo.data.preparation.sets.instances import read_instances
from cribo.data.preparation.sets.listing import IMAGES, Entry, Listing, first_folder, names_in
from cribo.data.prepared.manifest import DataError, Place, listed

PHOTO_TERMS = "photos each under its Flickr licence (stated in the annotations), COCO's terms of use"
LICENCE = f"Annotations CC BY 4.0; {PHOTO_TERMS}. Cite Lin et al. 2014."
SOURCE = "COCO 2017, cocodataset.org"
PUBLISHED = {"train": 118287, "val": 5000}
PLACE = Place((".",), ("train2017", "images/train2017"))
SPLITS = {"train": "train2017", "val": "val2017"}


def _archive(name: str, size: int, md5: str, *makes: str) -> Archive:
    place = "annotations" if name.startswith("annotations") else "zips"
    return Archive(Remote(name, f"http://images.cocodataset.org/{place}/{name}", size, f"md5:{md5}"), makes)


PHOTOS = (
    _archive("train2017.zip", 19336861798, "cced6f7f71b7629ddf16f17bbcfab6b2", "train2017", "images/train2017"),
    _archive("val2017.zip", 815585330, "442b8da7639aecaf257c1dceb8ba8c80", "val2017", "images/val2017"),
)
OBJECTS = _archive(
    "annotations_trainval2017.zip",
    252907541,
    "f4bbac642086de4f52a3fdda2de5fa2c",
    "annotations/instances_train2017.json",
)


def archives(settings: dict, folder: Path) -> tuple[Archive, ...]:
    return *PHOTOS, OBJECTS


def listing(name: str, settings: dict, root: Path) -> Listing:
    entries: list[Entry] = []
    annotations, notes, categories = {}, [], {}
    for split, folder in SPLITS.items():
        photos = photos_in(root, folder)
        annotations[split] = f"annotations/instances_{folder}.json"
        tree = read_instances(root / annotations[split])
        categories[split] = [(c["id"], c["name"]) for c in tree["categories"]]
        entries += [
            Entry(split, f"{i['id']:012d}", f"{photos}/{i['file_name']}", size=(i["width"], i["height"]))
            for i in sorted(tree["images"], key=lambda image: image["id"])
        ]
        named = {image["file_name"] for image in tree["images"]}
        notes += left_out(set(names_in(root / photos, IMAGES)) - named, photos, annotations[split])
    if categories["train"] != categories["val"]:
        odd = listed(f"{number} {name}" for number, name in sorted(set(categories["train"]) ^ set(categories["val"])))
        both = f"{annotations['train']} and {annotations['val']} in {root}"
        raise DataError(f"{both} have different categories, give both the same: {odd or 'their order differs'}")
    classes = [category for _, category in categories["train"]]
    return Listing(root, entries, classes, LICENCE, SOURCE, PUBLISHED, annotations, notes)


def photos_in(root: Path, folder: str) -> str:
    return first_folder(root, folder, f"images/{folder}")


def left_out(files: set[str], photos: str, listing: str) -> list[str]:
    return [f"{len(files)} photos of {photos} are not in {listing} and left out"] if files else []
