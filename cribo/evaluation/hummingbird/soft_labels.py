"""How many pixels of each class a patch has. Most counts are zero, so only the others are stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int, Int32, Int64, UInt8

from cribo.training.engine.distributed import World

SUMMED = 1 << 22  # numbers that the processes exchange at once
Packed = tuple[UInt8[np.ndarray, " n"], Int32[np.ndarray, " m"]]  # number of classes in each patch, entries of all patches


@dataclass(frozen=True)
class SoftLabels:
    """Class counts of the P patches of all processes. A patch takes 8 bytes, plus 4 for each class in it; storing every
    count would take 2 · C bytes.

    Attributes:
        columns: C, the number of classes, plus one if void has its own column.
        starts: `[P + 1]`; patch i owns entries starts[i] up to, but not including, starts[i + 1].
        entries: class · 2^16 + pixels; those of a patch in the order of their classes.
    """

    columns: int
    starts: Int64[np.ndarray, " P+1"]
    entries: Int32[np.ndarray, " m"]

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def labelled(self) -> Bool[np.ndarray, " P"]:
        """Whether each patch has a pixel that counts."""
        return self.starts[1:] > self.starts[:-1]

    def counts(self, patches: Int[np.ndarray, " n"]) -> Int32[np.ndarray, "n C"]:
        """Return the number of pixels of each class in each of these patches."""
        firsts = self.starts[patches]
        lengths = self.starts[patches + 1] - firsts
        ends = lengths.cumsum()
        within = np.arange(lengths.sum()) - np.repeat(ends - lengths, lengths)
        entries = self.entries[np.repeat(firsts, lengths) + within]
        out = np.zeros((len(patches), self.columns), np.int32)
        out[np.repeat(np.arange(len(patches)), lengths), entries >> 16] = entries & 0xFFFF
        return out


def packed(counts: Int[np.ndarray, "n C"]) -> Packed:
    """Return the counts of a photo's patches without the zeros."""
    patch, label = counts.nonzero()
    entries = (label << 16) + counts[patch, label]
    return np.bincount(patch, minlength=len(counts)).astype(np.uint8), entries.astype(np.int32)


def soft_labels(own: Mapping[int, Packed], photos: int, each: int, columns: int, world: World) -> SoftLabels:
    """Join the soft labels of `photos` photos with `each` patches; `own` maps a photo's number to this process's labels."""
    lengths = np.zeros((photos, each), np.uint8)
    for photo, (found, _) in own.items():
        lengths[photo] = found
    _exchange(lengths.reshape(-1), world)
    starts = np.zeros(photos * each + 1, np.int64)
    np.cumsum(lengths, out=starts[1:])
    entries = np.zeros(starts[-1], np.int32)
    for photo, (_, found) in own.items():
        first = starts[photo * each]
        entries[first : first + len(found)] = found
    _exchange(entries, world)
    return SoftLabels(columns, starts, entries)


def _exchange(numbers: Int[np.ndarray, " n"], world: World) -> None:
    """Fill in, in place, the numbers of the other processes; they are zero here before."""
    if world.size == 1:
        return
    for first in range(0, len(numbers), SUMMED):
        part = numbers[first : first + SUMMED]
        part[:] = world.sum(torch.from_numpy(part.astype(np.int32)).to(world.device)).cpu().numpy()
