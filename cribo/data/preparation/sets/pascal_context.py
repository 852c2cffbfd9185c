"""Pascal Context, 59 classes and background: photos and lists of VOC 2010, masks as published or as PNGs.

Published: trainval/ID.mat with a LabelMap of 459 labels, of which 59 count. As PNG: SegmentationClassContext/ID.png with
class ids 0-59 and lists in ImageSets/SegmentationContext, as mmsegmentation's converter leaves them.
"""

from __future__ import annotations

from pathlib import Path

from cribo.data.preparation.download import Remote
from cribo.data.preparation.sets import voc
from cribo.data.preparation.sets.archive import Archive
from cribo.data.preparation.sets.listing import Entry, Listing, first_folder, lines_in, words
from cribo.data.prepared.labels import rule
from cribo.data.prepared.manifest import Place

LICENCE = "Photos from Flickr under Flickr's terms of use; annotations free for research. Cite Mottaghi et al. 2014."
SOURCE = "PASCAL-Context, cs.stanford.edu/~roozbeh/pascal-context; photos of PASCAL VOC 2010"
PUBLISHED = {"train": 4998, "val": 5105}
PLACE = Place((".",), ("VOCdevkit/VOC2010/JPEGImages", "VOC2010/JPEGImages", "JPEGImages"))
PHOTOS = voc.devkit(2010, "VOCtrainval_03-May-2010.tar", "da459979d0c395079b5c75ee67908abb")
MASKS = Archive(
    Remote("trainval.tar.gz", "https://cs.stanford.edu/~roozbeh/pascal-context/trainval.tar.gz"),
    tuple(
        f"{inside}{masks}"
        for inside in ("", "VOCdevkit/VOC2010/", "VOC2010/")
        for masks in ("trainval", "SegmentationClassContext")
    ),
)

# Background (everything else), then the 59 classes of Mottaghi et al. 2014 in alphabetical order.
CLASSES = words("""
background, aeroplane, bag, bed, bedclothes, bench, bicycle, bird, boat, book, bottle, building, bus, cabinet, car,
cat, ceiling, chair, cloth, computer, cow, cup, curtain, dog, door, fence, floor, flower, food, grass, ground, horse,
keyboard, light, motorbike, mountain, mouse, person, plate, platform, pottedplant, road, rock, sheep, shelves,
sidewalk, sign, sky, snow, sofa, table, track, train, tree, truck, tvmonitor, wall, water, window, wood
""")

# The 59 of labels.txt's 459 labels that are classes, in the same (alphabetical) order as CLASSES.
COUNTING = (
    *(2, 9, 18, 19, 22, 23, 25, 31, 33, 34, 44, 45, 46, 59, 65, 68, 72, 80, 85, 98, 104, 105, 113, 115, 144, 158, 159, 162),
    *(187, 189, 207, 220, 232, 258, 259, 260, 284, 295, 296, 308, 324, 326, 347, 349, 354, 355, 360, 366, 368, 397, 415),
    *(416, 420, 424, 427, 440, 445, 454, 458),
)
RULES = {".mat": rule({value: COUNTING.index(value) + 1 if value in COUNTING else 0 for value in range(460)}, 461)}


def archives(settings: dict, folder: Path) -> tuple[Archive, ...]:
    return PHOTOS, MASKS


def listing(name: str, settings: dict, root: Path) -> Listing:
    photos = first_folder(root, *PLACE.signs)
    inside = photos.removesuffix("JPEGImages")
    masks = first_folder(root, "trainval", f"{inside}trainval", f"{inside}SegmentationClassContext")
    suffix = "mat" if masks.endswith("trainval") else "png"
    lists = first_folder(root, f"{inside}ImageSets/SegmentationContext", f"{inside}ImageSets/Main")
    entries = [
        Entry(split, identity, f"{photos}/{identity}.jpg", f"{masks}/{identity}.{suffix}")
        for split in ("train", "val")
        for identity in lines_in(root / lists / f"{split}.txt")
    ]
    return Listing(root, entries, CLASSES, LICENCE, SOURCE, PUBLISHED, rules=RULES)
