"""ADE20K as in SceneParsing 2016: 150 classes; 0 in a mask is "other" and void here."""

from __future__ import annotations

from pathlib import Path

from cribo.data.labels import ADE20K
from cribo.data.sets.listing import IMAGES, Entry, Listing, names_in

LICENCE = "Images for non-commercial research and education (MIT CSAIL's terms); annotations BSD-3. Cite Zhou et al. 2017."
SOURCE = "ADE20K, MIT Scene Parsing Challenge 2016, sceneparsing.csail.mit.edu"
PUBLISHED = {"train": 20210, "val": 2000}
SPLITS = {"train": "training", "val": "validation"}


def listing(name: str, settings: dict, root: Path) -> Listing:
    entries = [
        Entry(split, Path(file).stem, f"images/{folder}/{file}", f"annotations/{folder}/{Path(file).stem}.png")
        for split, folder in SPLITS.items()
        for file in names_in(root / "images" / folder, IMAGES)
    ]
    return Listing(root, entries, ADE20K, LICENCE, SOURCE, PUBLISHED)
