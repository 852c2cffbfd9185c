"""Pascal VOC 2012 and data sets in its layout: where the photos are, and whether each can be used.

Photos stay where they are. All paths are relative to the folder that holds JPEGImages, so moving it changes nothing.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from cribo.data.labels import LABELS
from cribo.data.manifest import DataError, Row, sha256
from cribo.data.readers import decode_image, decode_mask
from cribo.params_errors import lines_of

LICENCE = ("Photos from Flickr under Flickr's terms of use; annotations free for research. "
           "Cite Everingham et al. 2010 and 2015.")
SOURCE = "PASCAL VOC 2012, host.robots.ox.ac.uk/pascal/VOC/voc2012"
SOURCE_AUG = SOURCE + "; SBD masks, Hariharan et al. 2011"


def locate(name: str, path: str | Path | None) -> Path:
    """The folder of data set `name` that holds JPEGImages: at `path`, else params.yaml's path, else below $CRIBO_DATA.

    Raises:
        DataError: nothing says where the photos are, or they are not there.
    """
    key = f"data.{name}.path"
    said = "the given path" if path is not None else key
    path = path if path is not None else _path_in_params(name)
    if path is not None:
        starts = [Path(path)]
    elif os.environ.get("CRIBO_DATA"):
        said = "the environment variable CRIBO_DATA"
        base = Path(os.environ["CRIBO_DATA"])
        starts = [base / name, base]
    else:
        raise DataError(f"nothing says where the photos of {name} are: set {key} in params.yaml, or the environment "
                        f"variable CRIBO_DATA to a folder that holds them or a subfolder {name}")
    for start in starts:
        for inside in ("VOCdevkit/VOC2012", "VOC2012", "."):
            if (start / inside / "JPEGImages").is_dir():
                return start / inside
    raise DataError(f"{' and '.join(map(str, starts))} (from {said}) holds no JPEGImages folder, nor does VOC2012 or "
                    f"VOCdevkit/VOC2012 in it: set {key} in params.yaml or CRIBO_DATA to the folder of {name}")


def _path_in_params(name: str) -> str | None:
    """`data.NAME.path` of params.yaml in the current folder, if there is one."""
    if not Path("params.yaml").exists():
        return None
    tree, _ = lines_of(Path("params.yaml"))
    return ((tree.get("data") or {}).get(name) or {}).get("path")


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
    row = Row(split, identity, image, mask, width, height, len(raw[image]), len(raw[mask]), sha256(raw[image]),
              sha256(raw[mask]))
    return row, tuple(np.flatnonzero(np.bincount(decoded[mask].ravel())).tolist())
