"""What a data set lists, before any of its files is opened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cribo.data.prepared.manifest import DataError, listed

IMAGES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})


@dataclass(frozen=True)
class Entry:
    """One image: paths relative to the root, its class if it has one, and its size in px where an annotation states it."""

    split: str
    id: str
    image: str
    mask: str = ""
    label: str = ""
    size: tuple[int, int] | None = None  # width, height


@dataclass(frozen=True)
class Listing:
    """`classes`: of masks, or of whole images; `annotations`: COCO's JSON by split, relative to the root.

    `published`: images per split in the set as the paper uses it; `notes`: what the user should know. `rules`: by mask
    suffix, a table from `cribo.data.prepared.labels.rule`, for masks that do not store class ids.
    """

    root: Path
    entries: Sequence[Entry]
    classes: Sequence[str]
    licence: str
    source: str
    published: dict[str, int] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    rules: dict[str, bytes] = field(default_factory=dict)


def words(text: str) -> tuple[str, ...]:
    """Class names from a comma-separated text of any number of lines."""
    return tuple(name.strip() for name in text.replace("\n", " ").split(","))


def names_in(folder: Path, suffixes: frozenset[str]) -> list[str]:
    """Sorted names of the files in a folder that have one of the suffixes (lower case).

    Raises:
        DataError: there is no such folder, or no such file in it.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is missing")
    found = sorted(p.name for p in folder.iterdir() if p.suffix.lower() in suffixes and not p.name.startswith("."))
    if not found:
        raise DataError(f"{folder} holds no {' or '.join(sorted(suffixes))} file: put some into it, or remove it")
    return found


def lines_in(path: Path) -> list[str]:
    """The first word of each line of a list.

    Raises:
        DataError: the list is missing, empty, not UTF-8, or names an image twice.
    """
    if not path.is_file():
        there = ", ".join(sorted(p.stem for p in path.parent.glob("*.txt"))) or "none"
        raise DataError(f"{path} is missing (lists there: {there})")
    try:
        text = path.read_text(encoding="utf-8-sig")  # without the byte-order mark that some editors write
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 ({error}): save it as UTF-8") from None
    found = [line.split()[0] for line in text.splitlines() if line.strip()]
    if not found:
        raise DataError(f"{path} names no image")
    if twice := sorted(name for name, times in Counter(found).items() if times > 1):
        said = "names images more than once, the first word of a line being the name"
        raise DataError(f"{path} {said}: {listed(twice)} ({len(twice)} in all)")
    return found


def first_folder(root: Path, *choices: str) -> str:
    """The first of `choices` that is a folder of `root`. Raises DataError naming them all if none is."""
    for choice in choices:
        if (root / choice).is_dir():
            return choice
    raise DataError(f"{root} holds none of {', '.join(choices)}")
