"""Label rules of the data sets, in one place: class names, and the class id of each value that a mask stores.

Everything after `read_mask` sees class ids only: 0 … classes − 1, and 255 for void, which has no part in losses and scores.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Integer, UInt8

VOID = 255
ILLEGAL = 254  # no data set has so many classes


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.replace("\n", " ").split(","))


VOC = _names("""
background, aeroplane, bicycle, bird, boat, bottle, bus, car, cat, chair, cow, diningtable, dog, horse, motorbike,
person, pottedplant, sheep, sofa, train, tvmonitor
""")

# The 59 classes of Mottaghi et al. 2014 in alphabetical order, and everything else.
PASCAL_CONTEXT = _names("""
background, aeroplane, bag, bed, bedclothes, bench, bicycle, bird, boat, book, bottle, building, bus, cabinet, car,
cat, ceiling, chair, cloth, computer, cow, cup, curtain, dog, door, fence, floor, flower, food, grass, ground, horse,
keyboard, light, motorbike, mountain, mouse, person, plate, platform, pottedplant, road, rock, sheep, shelves,
sidewalk, sign, sky, snow, sofa, table, track, train, tree, truck, tvmonitor, wall, water, window, wood
""")

# The first name of each line of objectInfo150.txt (SceneParsing 2016).
ADE20K = _names("""
wall, building, sky, floor, tree, ceiling, road, bed, windowpane, grass, cabinet, sidewalk, person, earth, door,
table, mountain, plant, curtain, chair, car, water, painting, sofa, shelf, house, sea, mirror, rug, field, armchair,
seat, fence, desk, rock, wardrobe, lamp, bathtub, railing, cushion, base, box, column, signboard, chest of drawers,
counter, sand, sink, skyscraper, fireplace, refrigerator, grandstand, path, stairs, runway, case, pool table, pillow,
screen door, stairway, river, bridge, bookcase, blind, coffee table, toilet, flower, book, hill, bench, countertop,
stove, palm, kitchen island, computer, swivel chair, boat, bar, arcade machine, hovel, bus, towel, light, truck,
tower, chandelier, awning, streetlight, booth, television, airplane, dirt track, apparel, pole, land, bannister,
escalator, ottoman, bottle, buffet, poster, stage, van, ship, fountain, conveyer belt, canopy, washer, plaything,
swimming pool, stool, barrel, basket, waterfall, tent, bag, minibike, cradle, oven, ball, food, step, tank, trade
name, microwave, pot, animal, bicycle, lake, dishwasher, screen, blanket, sculpture, hood, sconce, vase, traffic
light, tray, ashcan, fan, pier, crt screen, plate, monitor, bulletin board, shower, radiator, glass, clock, flag
""")

# COCO's 80 things, then 91 kinds of stuff (Caesar et al. 2018).
COCO_STUFF = _names("""
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

CLASSES = {"voc": VOC, "pascal_context": PASCAL_CONTEXT, "ade20k": ADE20K, "coco_stuff": COCO_STUFF}

# ---------------------------------------------------------------------------------------------------------- stored values
# COCO's category ids that stayed empty when the set was made; its maps store id - 1.
_COCO_UNUSED = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91)
# Of the 459 labels in labels.txt, those that belong to the 59 classes; the classes' alphabetical order is theirs.
_CONTEXT_59 = (
    *(2, 9, 18, 19, 22, 23, 25, 31, 33, 34, 44, 45, 46, 59, 65, 68, 72, 80, 85, 98, 104, 105, 113, 115, 144, 158, 159, 162),
    *(187, 189, 207, 220, 232, 258, 259, 260, 284, 295, 296, 308, 324, 326, 347, 349, 354, 355, 360, 366, 368, 397, 415),
    *(416, 420, 424, 427, 440, 445, 454, 458),
)


def _table(ids: dict[int, int], size: int) -> UInt8[np.ndarray, " values"]:
    table = np.full(size, ILLEGAL, dtype=np.uint8)
    table[list(ids)] = list(ids.values())
    return table


_STUFF = [value for value in range(182) if value + 1 not in _COCO_UNUSED]
_CONTEXT = {value: _CONTEXT_59.index(value) + 1 if value in _CONTEXT_59 else 0 for value in range(460)}

# Class id by stored value. The last entry stands for all larger values.
RULES: dict[str, UInt8[np.ndarray, " values"]] = {
    "ids": _table({value: value for value in range(256)}, 257),  # class ids as they are
    "ade20k": _table({0: VOID} | {k: k - 1 for k in range(1, 151)}, 257),  # 0 is "other"
    "coco_stuff": _table({value: k for k, value in enumerate(_STUFF)} | {255: VOID}, 257),
    "pascal_context_459": _table(_CONTEXT, 461),  # the official .mat files: 459 labels, of which 59 count
}


def rule_of(kind: str, mask: str) -> str:
    """The rule for a mask file of a data set of this kind."""
    if kind == "pascal_context":
        return "pascal_context_459" if mask.endswith(".mat") else "ids"
    return kind if kind in RULES else "ids"


def class_ids(stored: Integer[np.ndarray, "H W"], rule: str) -> UInt8[np.ndarray, "H W"]:
    """Class ids of stored values: VOID where nothing counts, ILLEGAL where the rule knows no such value."""
    if rule == "ids" and stored.dtype == np.uint8:
        return stored
    return np.take(RULES[rule], stored, mode="clip")


def illegal(stored: Integer[np.ndarray, "H W"], rule: str, classes: int) -> list[int]:
    """Stored values that are neither one of the first `classes` classes nor void."""
    values = np.unique(stored)
    ids = class_ids(values, rule)
    return values[(ids >= classes) & (ids != VOID)].tolist()


def legal(rule: str, classes: int) -> str:
    """The legal values as a person writes them: "0-20, 255"."""
    table = RULES[rule]
    good = np.flatnonzero((table < classes) | (table == VOID))
    runs = np.split(good, np.flatnonzero(np.diff(good) > 1) + 1)
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
