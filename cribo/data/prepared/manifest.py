"""Definition of a prepared data set: MANIFEST.json for people, index.csv with one line per image; writes and reads both.

Neither holds an absolute path or a date, so the same photos in another folder give the same bytes. The sha256 of the
index, and of the rules that map mask values to class ids, identifies the content. Whatever depends on a data set depends
on these two small files.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

MANIFEST, INDEX = "MANIFEST.json", "index.csv"
SHOWN = 20  # files named in a message; the rest are counted


class DataError(ValueError):
    """A mistake in the user's data or settings, explained in sentences and shown without a traceback."""


class Row(NamedTuple):
    """One image of a split. Paths are relative to the data set's root, with forward slashes; sizes are in px and bytes.

    `mask` and `label` (the class of the whole image) are empty if there is none.
    """

    split: str
    id: str
    image: str
    mask: str
    width: int
    height: int
    bytes: int
    mask_bytes: int
    sha256_image: str
    sha256_mask: str
    label: str = ""


@dataclass(frozen=True)
class Place:
    """How to find a set: its root is one of the paths `inside` the user's folder, and contains a folder of `signs`."""

    inside: Sequence[str]
    signs: Sequence[str]


@dataclass(frozen=True)
class Manifest:
    """`counts`: images per split, and in how many of them each class occurs. `index`: sha256 of index.csv.

    `annotations`: COCO's JSON file per split, with bytes and sha256. `excluded`: what is wrong with each image left out.
    `rules`: by mask suffix, the class id of each stored value (`labels.py`); masks with other suffixes store class ids.
    `place`: None for a set whose files lie in its own folder.
    """

    name: str
    kind: str
    settings: dict
    classes: Sequence[str]
    ignore: int
    counts: dict[str, dict]
    index: str
    licence: str
    source: str
    warnings: Sequence[str]
    annotations: dict[str, dict]
    excluded: dict[str, str]
    rules: dict[str, bytes]
    place: Place | None
    version: str = ""

    @property
    def digest(self) -> str:
        """The sha256 that identifies the content: of the index, and of the rules if there are any."""
        if not self.rules:
            return self.index
        return sha256(json.dumps([self.index, {suffix: list(rule) for suffix, rule in sorted(self.rules.items())}]).encode())


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def listed(files: Iterable[str]) -> str:
    """The first files of a list and how many more there are, for a message."""
    files = list(files)
    more = f" and {len(files) - SHOWN} more" if len(files) > SHOWN else ""
    return ", ".join(files[:SHOWN]) + more


def index_bytes(rows: Iterable[Row]) -> bytes:
    """index.csv as bytes, one line per row in the given order."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Row._fields)
    writer.writerows(rows)
    return text.getvalue().encode()


def write(folder: Path, manifest: Manifest, rows: Sequence[Row]) -> None:
    """Write index.csv, then MANIFEST.json, which makes the folder count as prepared; return once both are on the disk."""
    _write_through(folder / INDEX, index_bytes(rows))
    rules = {suffix: " ".join(map(str, rule)) for suffix, rule in manifest.rules.items()}  # a line per rule
    tree = asdict(manifest) | {"rules": rules, "version": tool_version()}
    _write_through(folder / MANIFEST, (json.dumps(tree, indent=2, ensure_ascii=False) + "\n").encode())


def tool_version() -> str:
    return version("cribo")


def read(folder: Path) -> tuple[Manifest, Iterator[Row]]:
    """Read both files; the rows of the index, which may have a million lines, are parsed lazily.

    Raises:
        DataError: the folder was not prepared, or by an earlier version; the manifest is damaged, or names another index.
    """
    name = folder.name
    try:
        tree = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        raw = (folder / INDEX).read_bytes()
        manifest = _manifest(tree) if {"rules", "place"} <= tree.keys() else None
    except FileNotFoundError as error:
        raise DataError(f"{error.filename} is missing: run `dvc repro prepare@{name}`") from None
    except (AttributeError, KeyError, TypeError, ValueError):
        raise DataError(f"{folder / MANIFEST} is damaged: run `dvc repro prepare@{name}`") from None
    if manifest is None:
        raise DataError(f"{folder / MANIFEST} is of an earlier version: run `dvc repro prepare@{name}`")
    if sha256(raw) != manifest.index:
        raise DataError(f"{folder / INDEX} is not the index that {MANIFEST} names: run `dvc repro prepare@{name}`")
    return manifest, _rows(raw)


def _manifest(tree: dict) -> Manifest:
    """The manifest in parsed JSON. Raises Attribute-, Key-, Type- or ValueError if it is not what `write` writes."""
    rules = {suffix: bytes(map(int, text.split())) for suffix, text in tree["rules"].items()}
    place = tree["place"] and Place(*(tuple(map(os.fspath, tree["place"][key])) for key in ("inside", "signs")))
    if not all(rules.values()):
        raise ValueError("a rule for no value at all")
    return Manifest(**tree | {"rules": rules, "place": place})


def _rows(raw: bytes) -> Iterator[Row]:
    lines = csv.reader(io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8", newline=""))
    next(lines)  # the names of the columns
    for split, identity, image, mask, *numbers, sha256_image, sha256_mask, label in lines:
        yield Row(split, identity, image, mask, *map(int, numbers), sha256_image, sha256_mask, label)


def _write_through(path: Path, data: bytes) -> None:
    """Write a file and wait until it is on the disk, not merely in the system's memory."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Wait until a folder's list of names is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
