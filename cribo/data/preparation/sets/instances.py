"""Reads and checks COCO's instances file of a split: the scorer accepts wrong entries silently, and its AP is then wrong.

Boxes of zero width or height pass: COCO's own train2017 has a few.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePosixPath
from reprlib import repr as shown  # shortens: a file may hold anything

from cribo.data.prepared.manifest import DataError, listed

LARGEST = 2**53  # bound of every number: beyond it floats skip whole numbers
AGAIN = "correct it, or unpack the published file again"


def read_instances(path: Path) -> dict:
    """The content of an instances file: `images`, `categories`, `annotations`; ids and names are unique, boxes in images.

    Raises:
        DataError: the file is missing, is no instances file, or has wrong entries; the sentence names the file and the ids.
    """
    tree = _tree(path)
    _refuse(path, "images", tree["images"], _image_fault, ("id", "file_name"))
    _refuse(path, "categories", tree["categories"], _category_fault, ("id", "name"))
    sizes = {image["id"]: (image["width"], image["height"]) for image in tree["images"]}
    known = {category["id"] for category in tree["categories"]}
    if not sizes:
        raise DataError(f"{path} names no image")
    _refuse(path, "annotations", tree["annotations"], lambda entry: _annotation_fault(entry, sizes, known), ("id",))
    return tree


def _tree(path: Path) -> dict:
    """The parsed file. Raises DataError unless it holds the three lists."""
    try:
        tree = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise DataError(f"{path} is missing") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): a file of COCO instances is needed there") from None
    except ValueError as error:
        raise DataError(f"{path} is not a file of COCO instances ({error}): {AGAIN}") from None
    for kind in ("images", "categories", "annotations"):
        if not isinstance(tree, dict) or not isinstance(tree.get(kind), list):
            raise DataError(f"{path} is not a file of COCO instances (it has no list {kind}): {AGAIN}")
    return tree


def _refuse(path: Path, kind: str, entries: list, fault: Callable[[dict], str | None], unlike: Sequence[str]) -> None:
    """Raise DataError naming the entries with a fault or, if there are none, values shared under a key in `unlike`."""
    wrong = [f"{_called(entry, place)} ({said})" for place, entry in enumerate(entries, 1) if (said := fault(entry))]
    if wrong:
        raise DataError(f"{path} has {len(wrong)} wrong {kind}: {listed(wrong)}; {AGAIN}")
    for key in unlike:
        if twice := [str(value) for value, count in Counter(entry[key] for entry in entries).items() if count > 1]:
            raise DataError(f"{path} has {kind} of the same {key}: {listed(twice)}; {AGAIN}")


def _called(entry: object, place: int) -> str:
    identity = entry.get("id") if isinstance(entry, dict) else None
    return f"entry {place}" if identity is None else str(identity)


# --------------------------------------------------------------------------------------------- what is wrong with an entry
def _image_fault(entry: dict) -> str | None:
    if said := _misfit(entry, whole=("id",), text=("file_name",), numbers=("width", "height")):
        return said
    name = PurePosixPath(entry["file_name"])
    if name.is_absolute() or ".." in name.parts:
        return f"file_name {name} leaves the folder of photos"
    return None


def _category_fault(entry: dict) -> str | None:
    return _misfit(entry, whole=("id",), text=("name",))


def _annotation_fault(entry: dict, sizes: dict[int, tuple[float, float]], categories: set[int]) -> str | None:
    if said := _misfit(entry, whole=("id", "image_id", "category_id")):
        return said
    if entry["image_id"] not in sizes:
        return f"no image {entry['image_id']}"
    if entry["category_id"] not in categories:
        return f"no category {entry['category_id']}"
    box, (width, height) = entry.get("bbox"), sizes[entry["image_id"]]
    if not isinstance(box, list) or len(box) != 4 or not all(map(_number, box)):
        return f"bbox {shown(box)} is not four finite numbers"
    x, y, w, h = box
    if x < -1 or y < -1 or w < 0 or h < 0 or x + w > width + 1 or y + h > height + 1:  # COCO's own boxes are rounded
        return f"box {box} leaves its image of {width}x{height}"
    return None


def _misfit(entry: dict, whole: Iterable[str] = (), text: Iterable[str] = (), numbers: Iterable[str] = ()) -> str | None:
    """What is wrong with the first key that is missing or holds a value of the wrong kind; None if all are right."""
    if not isinstance(entry, dict):
        return "not a group of keys"
    for keys, fits, kind in (
        (whole, _whole, "a whole number"),
        (text, _text, "text"),
        (numbers, _number, "a finite number"),
    ):
        for key in keys:
            if key not in entry:
                return f"it has no {key}"
            if not fits(entry[key]):
                return f"{key} {shown(entry[key])} is not {kind}"
    return None


def _whole(value: object) -> bool:
    return isinstance(value, int) and _number(value)


def _number(value: object) -> bool:
    """Whether a value is a finite number, below the bound that no photo reaches."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST


def _text(value: object) -> bool:
    return isinstance(value, str) and bool(value)
