"""Verifies an image and its mask by decoding them: gives their line in the index, or what is wrong with which file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cribo.data.preparation.sets.listing import Entry
from cribo.data.prepared import labels
from cribo.data.prepared.images import decode_image, decode_mask
from cribo.data.prepared.manifest import DataError, Row, sha256


@dataclass(frozen=True)
class Fault:
    """What is wrong with a file; `what` fills the gap in the sentence "3 of the files … : FILE, FILE, FILE"."""

    entry: Entry
    what: str
    file: str

    def __str__(self) -> str:
        return f"{self.what}: {self.file}"


def check(root: Path, rules: Mapping[str, bytes], classes: int, entry: Entry) -> tuple[Row, tuple[int, ...]] | Fault:
    """Decode one image and its mask; return their row and the class ids in the mask, or the first fault."""
    raw = {}
    for file in filter(None, (entry.image, entry.mask)):
        try:
            raw[file] = (root / file).read_bytes()
        except OSError as error:
            return Fault(entry, f"cannot be read ({error.strerror})", file)
    try:
        height, width = decode_image(raw[entry.image], entry.image).shape[:2]
        stored = decode_mask(raw[entry.mask], entry.mask) if entry.mask else None
    except DataError as error:
        return Fault(entry, "cannot be used", str(error))
    if entry.size and entry.size != (width, height):
        stated = f"{entry.image} ({width}x{height}, stated {entry.size[0]}x{entry.size[1]})"
        return Fault(entry, "have not the size that their annotation states", stated)
    present: tuple[int, ...] = ()
    if stored is not None:
        if stored.shape != (height, width):
            sizes = f"{entry.mask} ({stored.shape[1]}x{stored.shape[0]}, image {width}x{height})"
            return Fault(entry, "differ in size from their images", sizes)
        rule, found = labels.rule_of(rules, entry.mask), np.unique(stored)
        if wrong := labels.illegal(found, rule, classes):
            values = f"{entry.mask} (has {', '.join(map(str, wrong[:5]))})"
            return Fault(entry, f"hold values that are not classes (legal: {labels.legal(rule, classes)})", values)
        present = tuple(np.unique(labels.class_ids(found, rule)).tolist())
    image, mask = raw[entry.image], raw.get(entry.mask, b"")
    digests = sha256(image), sha256(mask) if entry.mask else ""
    names = entry.split, entry.id, entry.image, entry.mask
    return Row(*names, width, height, len(image), len(mask), *digests, entry.label), present
