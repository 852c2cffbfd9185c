"""Pascal VOC 2012 and data sets in its layout; masks are VOC's own, a folder of PNGs, or SBD's .mat files.

If `masks` is SBD's folder cls (benchmark_RELEASE/dataset/cls, put into VOC2012), VOC's own mask is preferred where there
is one, and a missing list train_aug is put together: SBD's images and VOC's, without VOC's validation images.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cribo.data.preparation.download import Remote
from cribo.data.preparation.sets.archive import Archive
from cribo.data.preparation.sets.listing import Entry, Listing, lines_in, words
from cribo.data.prepared.manifest import DataError, Place

LICENCE = (
    "Photos from Flickr under Flickr's terms of use; annotations free for research. Cite Everingham et al. 2010 and 2015."
)
SOURCE = "PASCAL VOC 2012, host.robots.ox.ac.uk/pascal/VOC/voc2012"
SOURCE_AUG = SOURCE + "; SBD masks, Hariharan et al. 2011"
PUBLISHED = {"train": 10582, "val": 1449}  # images that the paper uses: it trains on train_aug
PLACE = Place(("VOCdevkit/VOC2012", "VOC2012", "."), ("JPEGImages",))
LISTS = ("train", "val", "train_aug", "trainaug", "trainval")  # VOC's and SBD's; any other is the user's own
OWN = "SegmentationClass"
CLASSES = words("""
background, aeroplane, bicycle, bird, boat, bottle, bus, car, cat, chair, cow, diningtable, dog, horse, motorbike,
person, pottedplant, sheep, sofa, train, tvmonitor
""")


def devkit(year: int, name: str, md5: str) -> Archive:
    """The archive of one year of VOC."""
    url = f"https://thor.robots.ox.ac.uk/pascal/VOC/voc{year}/{name}"
    inside = f"VOC{year}/JPEGImages"
    return Archive(Remote(name, url, digest=f"md5:{md5}"), (f"VOCdevkit/{inside}", inside, "JPEGImages"))


PHOTOS = devkit(2012, "VOCtrainval_11-May-2012.tar", "6cd6e144f989b92b3379bac3b3de84fd")
SBD = Archive(
    Remote(
        "benchmark.tgz",
        "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours/benchmark.tgz",
        digest="md5:82b4d87ceb2ed10f6038a1cba92111cb",
    ),
    ("benchmark_RELEASE",),
)


def archives(settings: dict, folder: Path) -> tuple[Archive, ...]:
    """VOC 2012 and, if masks are SBD's, SBD, unpacked into the VOC 2012 folder that exists or is going to."""
    if not settings["masks"].startswith("benchmark_RELEASE"):
        return (PHOTOS,)
    here = (inside for inside in PLACE.inside if (folder / inside / "JPEGImages").is_dir())
    inside = next(here, "VOCdevkit/VOC2012")
    return PHOTOS, replace(SBD, makes=(f"{inside}/benchmark_RELEASE",), into=inside)


def listing(name: str, settings: dict, root: Path) -> Listing:
    masks = settings["masks"]
    if not (root / masks).is_dir():
        raise DataError(f"{root / masks} is missing: data.{name}.masks must name the folder of the masks in {root}")
    sbd = any((root / masks).glob("*.mat"))
    entries = [
        Entry(split, identity, f"JPEGImages/{identity}.jpg", _mask(root, masks, identity, sbd))
        for split in ("train", "val")
        for identity in _ids(root, settings[split], masks if sbd else None)
    ]
    published = {split: images for split, images in PUBLISHED.items() if settings[split] in LISTS}
    return Listing(root, entries, CLASSES, LICENCE, SOURCE if masks == OWN else SOURCE_AUG, published)


def _mask(root: Path, masks: str, identity: str, sbd: bool) -> str:
    if not sbd:
        return f"{masks}/{identity}.png"
    own = f"{OWN}/{identity}.png"
    return own if (root / own).is_file() else f"{masks}/{identity}.mat"


def _ids(root: Path, which: str, sbd: str | None) -> list[str]:
    """The ids of a list; train_aug is put together from VOC and SBD if there is no file."""
    lists = root / "ImageSets" / "Segmentation"
    path = lists / f"{which}.txt"
    if path.is_file() or sbd is None or which not in ("train_aug", "trainaug"):
        # Each word is an id, which may have dots, or the photo's path, as in DeepLab's train_aug.txt.
        return [Path(word).stem if "/" in word else word for word in lines_in(path)]
    theirs = [i for split in ("train", "val") for i in lines_in((root / sbd).parent / f"{split}.txt")]
    held_out = set(lines_in(lists / "val.txt"))
    return sorted({*theirs, *lines_in(lists / "train.txt")} - held_out)
