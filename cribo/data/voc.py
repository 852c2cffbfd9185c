"""Pascal VOC 2012 and data sets in its layout: what is listed, and whether each photo can be used.

Photos stay where they are. All paths are relative to the folder that holds JPEGImages, so moving it changes nothing.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cribo.data.images import decode_image, decode_mask
from cribo.data.labels import LABELS
from cribo.data.manifest import DataError, Row, sha256

LICENCE = (
    "Photos from Flickr under Flickr's terms of use; annotations free for research. Cite Everingham et al. 2010 and 2015."
)
SOURCE = "PASCAL VOC 2012, host.robots.ox.ac.uk/pascal/VOC/voc2012"
SOURCE_AUG = SOURCE + "; SBD masks, Hariharan et al. 2011"


def ids(root: Path, listing: str) -> list[str]:
    """The image ids in ImageSets/Segmentation/`listing`.txt, in its order.

    Raises:
        DataError: the list is missing, empty, or names an image twice.
    """
    folder = root / "ImageSets" / "Segmentation"
    path = folder / f"{listing}.txt"
    if not path.is_file():
        there = ", ".join(sorted(p.stem for p in folder.glob("*.txt"))) or "none"
        raise DataError(f"{path} is missing (lists there: {there})")
    found = [line.split()[0] for line in path.read_text().splitlines() if line.strip()]
    if not found:
        raise DataError(f"{path} names no image")
    if twice := sorted({i for i in found if found.count(i) > 1}) if len(set(found)) < len(found) else []:
        raise DataError(f"{path} names images more than once: {', '.join(twice[:20])} ({len(twice)} in all)")
    return found


def check(root: Path, masks: str, split: str, identity: str) -> tuple[Row, tuple[int, ...]] | tuple[str, str]:
    """Decode one image and its mask: its row and the mask's values, or what is wrong and with which file."""
    image, mask = f"JPEGImages/{identity}.jpg", f"{masks}/{identity}.png"
    raw = {}
    for file in (image, mask):
        try:
            raw[file] = (root / file).read_bytes()
        except OSError as error:
            return f"cannot be read ({error.strerror})", file
    decoded = {}
    for file, decode in ((image, decode_image), (mask, decode_mask)):
        try:
            decoded[file] = decode(raw[file], file)
        except DataError as error:
            return "cannot be used", str(error)
    (height, width), size = decoded[image].shape[:2], decoded[mask].shape
    if size != (height, width):
        return "differ in size from their images", f"{mask} ({size[1]}x{size[0]}, image {width}x{height})"
    if wrong := LABELS["voc"].illegal(decoded[mask]):
        return "hold values that are no class (legal: 0-20, 255)", f"{mask} (has {', '.join(map(str, wrong[:5]))})"
    row = Row(
        split, identity, image, mask, width, height, len(raw[image]), len(raw[mask]), sha256(raw[image]), sha256(raw[mask])
    )
    return row, tuple(np.flatnonzero(np.bincount(decoded[mask].ravel())).tolist())
