"""ADE20K as in SceneParsing 2016: 150 classes; the mask value 0 is "other", and void here."""

from __future__ import annotations

from pathlib import Path

from cribo.data.preparation.download import Remote
from cribo.data.preparation.sets.archive import Archive
from cribo.data.preparation.sets.listing import IMAGES, Entry, Listing, names_in, words
from cribo.data.prepared.labels import VOID, rule
from cribo.data.prepared.manifest import Place

LICENCE = "Images for non-commercial research and education (MIT CSAIL's terms); annotations BSD-3. Cite Zhou et al. 2017."
SOURCE = "ADE20K, MIT Scene Parsing Challenge 2016, sceneparsing.csail.mit.edu"
PUBLISHED = {"train": 20210, "val": 2000}
PLACE = Place(("ADEChallengeData2016", "."), ("images/training",))
ARCHIVE = Archive(
    Remote(
        "ADEChallengeData2016.zip",
        "http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip",
        digest="sha1:219e1696abb36c8ba3a3afe7fb2f4b4606a897c7",
    ),
    ("ADEChallengeData2016/images/training", "images/training"),
)
SPLITS = {"train": "training", "val": "validation"}
RULES = {".png": rule({0: VOID} | {k: k - 1 for k in range(1, 151)})}  # 0 is "other"

# The first name of each line of objectInfo150.txt (SceneParsing 2016).
CLASSES = words("""
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


def archives(settings: dict, folder: Path) -> tuple[Archive, ...]:
    return (ARCHIVE,)


def listing(name: str, settings: dict, root: Path) -> Listing:
    entries = [
        Entry(split, Path(file).stem, f"images/{folder}/{file}", f"annotations/{folder}/{Path(file).stem}.png")
        for split, folder in SPLITS.items()
        for file in names_in(root / "images" / folder, IMAGES)
    ]
    return Listing(root, entries, CLASSES, LICENCE, SOURCE, PUBLISHED, rules=RULES)
