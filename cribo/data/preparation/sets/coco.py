"""COCO 2017, and COCO-Stuff 164K, which is other annotations of the same photos.

`coco` is what instances_{train,val}2017.json list, images without an object included; `coco_stuff` is every photo with a
map in stuffthingmaps (also found as annotations/train2017, where mmsegmentation has them).
"""

from __future__ import annotations

from pathlib import Path

from cribo.data.preparation.sets.instances import read_instances
from cribo.data.preparation.sets.listing import IMAGES, Entry, Listing, first_folder, names_in, words
from cribo.data.prepared.labels import VOID, rule
from cribo.data.prepared.manifest import DataError, listed

PHOTOS = "photos each under its Flickr licence (stated in the annotations), COCO's terms of use"
LICENCE = f"Annotations CC BY 4.0; {PHOTOS}. Cite Lin et al. 2014."
LICENCE_STUFF = f"Annotations CC BY 4.0; {PHOTOS}. Cite Caesar et al. 2018."
SOURCE = "COCO 2017, cocodataset.org"
SOURCE_STUFF = "COCO-Stuff 164K, github.com/nightrome/cocostuff; photos of COCO 2017"
PUBLISHED = {"train": 118287, "val": 5000}
SPLITS = {"train": "train2017", "val": "val2017"}

# COCO's 80 things, then 91 kinds of stuff (Caesar et al. 2018).
STUFF = words("""
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

# COCO's category ids that stayed empty when the set was made; its maps store id - 1.
UNUSED = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91)
STORED = [value for value in range(182) if value + 1 not in UNUSED]
RULES = {".png": rule({value: number for number, value in enumerate(STORED)} | {255: VOID})}


def listing(name: str, settings: dict, root: Path) -> Listing:
    entries: list[Entry] = []
    annotations, notes, categories = {}, [], {}
    for split, folder in SPLITS.items():
        photos = _photos(root, folder)
        annotations[split] = f"annotations/instances_{folder}.json"
        tree = read_instances(root / annotations[split])
        categories[split] = [(c["id"], c["name"]) for c in tree["categories"]]
        entries += [
            Entry(split, f"{i['id']:012d}", f"{photos}/{i['file_name']}", size=(i["width"], i["height"]))
            for i in sorted(tree["images"], key=lambda image: image["id"])
        ]
        named = {image["file_name"] for image in tree["images"]}
        notes += _unused(set(names_in(root / photos, IMAGES)) - named, photos, annotations[split])
    if categories["train"] != categories["val"]:
        odd = listed(f"{number} {name}" for number, name in sorted(set(categories["train"]) ^ set(categories["val"])))
        both = f"{annotations['train']} and {annotations['val']} in {root}"
        raise DataError(f"{both} have different categories, give both the same: {odd or 'their order differs'}")
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
    return Listing(root, entries, STUFF, LICENCE_STUFF, SOURCE_STUFF, PUBLISHED, notes=notes, rules=RULES)


def _photos(root: Path, folder: str) -> str:
    return first_folder(root, folder, f"images/{folder}")


def _unused(files: set[str], photos: str, listing: str) -> list[str]:
    return [f"{len(files)} photos of {photos} are not in {listing} and left out"] if files else []
