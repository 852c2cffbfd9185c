"""Compact records: a million images take tens of megabytes, in the main process and in each of its workers."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cribo.data.prepared.images import Mask
from cribo.data.prepared.labels import rule_of
from cribo.data.prepared.manifest import Row


@dataclass(frozen=True)
class Record:
    """One image of a split, sizes in px. `read_mask(record.mask)` gives class ids, 255 = void.

    `mask` is None if the data set has no masks; `label` (the class of the whole image) is None if it has no such classes.
    """

    id: str
    image: Path
    mask: Mask | Path | None
    width: int
    height: int
    label: int | None = None


class Records(Sequence[Record]):
    """The images of a split. Each record is made on access, from one block of text and one of numbers."""

    def __init__(self, root: Path, rules: Mapping[str, bytes], classes: Mapping[str, int]):
        """Start empty; `rules` (by mask suffix) and `classes` (number by name) are those of the data set."""
        self.root, self.rules, self.classes = root, rules, classes
        self._text, self._ends, self._numbers = bytearray(), array("q", [0]), array("i")

    def add(self, row: Row) -> None:
        """Append one image."""
        self._text += f"{row.id}\0{row.image}\0{row.mask}".encode()
        self._ends.append(len(self._text))
        self._numbers.extend((row.width, row.height, self.classes[row.label] if row.label else -1))

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index):
        """A record, or a tuple of them for a slice."""
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        index = range(len(self))[index]  # negative indices count from the end; too large ones raise IndexError
        identity, image, mask = self._text[self._ends[index] : self._ends[index + 1]].decode().split("\0")
        width, height, label = self._numbers[3 * index : 3 * index + 3]
        read_as = Mask(self.root / mask, rule_of(self.rules, mask)) if mask else None
        return Record(identity, self.root / image, read_as, width, height, None if label < 0 else label)

    def __repr__(self) -> str:
        return f"{len(self)} images in {self.root}"
