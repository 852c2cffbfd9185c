"""Pascal Context, 59 classes and background: photos and lists of VOC 2010, masks as published or as PNGs.

Published: trainval/ID.mat with a LabelMap of 459 labels, of which 59 count. As PNG: SegmentationClassContext/ID.png with
class ids 0-59 and lists in ImageSets/SegmentationContext, as mmsegmentation's converter leaves them.
"""

from __future__ import annotations

from pathlib import Path

from cribo.data.labels import PASCAL_CONTEXT
from cribo.data.sets.listing import Entry, Listing, first_folder, lines_in

LICENCE = "Photos from Flickr under Flickr's terms of use; annotations free for research. Cite Mottaghi et al. 2014."
SOURCE = "PASCAL-Context, cs.stanford.edu/~roozbeh/pascal-context; photos of PASCAL VOC 2010"
PUBLISHED = {"train": 4998, "val": 5105}


def listing(name: str, settings: dict, root: Path) -> Listing:
    photos = first_folder(root, "VOCdevkit/VOC2010/JPEGImages", "VOC2010/JPEGImages", "JPEGImages")
    inside = photos.removesuffix("JPEGImages")
    masks = first_folder(root, "trainval", f"{inside}trainval", f"{inside}SegmentationClassContext")
    suffix = "mat" if masks.endswith("trainval") else "png"
    lists = first_folder(root, f"{inside}ImageSets/SegmentationContext", f"{inside}ImageSets/Main")
    entries = [
        Entry(split, identity, f"{photos}/{identity}.jpg", f"{masks}/{identity}.{suffix}")
        for split in ("train", "val")
        for identity in lines_in(root / lists / f"{split}.txt")
    ]
    return Listing(root, entries, PASCAL_CONTEXT, LICENCE, SOURCE, PUBLISHED)
