"""COCO-Stuff 164K, other annotations of COCO's photos: every photo that has a map in stuffthingmaps.

The maps may also lie in annotations/train2017 and val2017, where mmsegmentation puts them.
"""

from __future__ import annotations

from pathlib import Path

from cribo.data.preparation.download import Remote
from cribo.data.preparation.sets import coco
from cribo.data.preparation.sets.archive import Archive
from cribo.data.preparation.sets.listing import IMAGES, Entry, Listing, first_folder, names_in, words
from cribo.data.prepared.labels import VOID, rule

LICENCE = f"Annotations CC BY 4.0; {coco.PHOTO_TERMS}. Cite Caesar et al. 2018."
SOURCE = "COCO-Stuff 164K, github.com/nightrome/cocostuff; photos of COCO 2017"
PUBLISHED, PLACE = coco.PUBLISHED, coco.PLACE
MAPS = Archive(
    Remote(
        "stuffthingmaps_trainval2017.zip",
        "http://calvin.inf.ed.ac.uk/wp-content/uploads/data/cocostuffdataset/stuffthingmaps_trainval2017.zip",
    ),
    ("stuffthingmaps/train2017", "annotations/train2017"),
    "stuffthingmaps",
)

# COCO's 80 things, then 91 kinds of stuff (Caesar et al. 2018).
CLASSES = words("""
person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, stop sign, parking
meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, backpack, umbrella, handbag, tie,
suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard, surfboard, tennis
racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange, broccoli, carrot, hot dog,
pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet, tv, laptop, mouse, remote, keyboard, cell
phone, microwave, oven, toaster, sink, refrigerator, book, clock, vase, scissors, teddy bear, hair drier, toothbrush,
banner, blanket, branch, bridge, building-other, bush, cabinet, cage, cardboard, carpet, ceiling-other, ceiling-tile,
cloth, clothes, clouds, counter, cupboard, curtain, desk-stuff, dirt, door-stuff, fence, floor-marble, floor-other,
floor-stone, floor-tile, floor-wood, flower, fog, food-other, fruit, furniture-other, grass, gravel, ground-other,
hill, house, leaves, light, mat, metal, mirror-stuff, moss, mountain, mud, napkin, net, paper, pavement, pillow,
plant-other, plastic, platform, playingfield, railing, railroad, river, road, rock, roof, rug, salad, sand, sea,
shelf, sky-other, skyscraper, snow, solid-other, stairs, stone, straw, structural-other, table, tent, textile-other,
towel, tree, vegetable, wall-brick, wall-concrete, wall-other, wall-panel, wall-stone, wall-tile, wall-wood,
water-other, waterdrops, window-blind, window-other, wood
""")

# COCO category ids that were left unused when the set was made; its maps store id - 1.
UNUSED = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91)
STORED = [value for value in range(182) if value + 1 not in UNUSED]
RULES = {".png": rule({value: number for number, value in enumerate(STORED)} | {255: VOID})}


def archives(settings: dict, folder: Path) -> tuple[Archive, ...]:
    return *coco.PHOTOS, MAPS


def listing(name: str, settings: dict, root: Path) -> Listing:
    entries: list[Entry] = []
    notes: list[str] = []
    for split, folder in coco.SPLITS.items():
        photos = coco.photos_in(root, folder)
        maps = first_folder(root, f"stuffthingmaps/{folder}", f"annotations/{folder}")
        ids = [Path(file).stem for file in names_in(root / maps, frozenset({".png"})) if "_label" not in file]
        entries += [Entry(split, identity, f"{photos}/{identity}.jpg", f"{maps}/{identity}.png") for identity in ids]
        notes += coco.left_out({Path(n).stem for n in names_in(root / photos, IMAGES)} - set(ids), photos, maps)
    return Listing(root, entries, CLASSES, LICENCE, SOURCE, PUBLISHED, notes=notes, rules=RULES)
