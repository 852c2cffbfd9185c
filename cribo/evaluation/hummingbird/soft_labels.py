"""How many pixels of each class a patch has. Of most classes it has none, so only the others take room."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int, Int32, Int64, UInt8

from cribo.training.engine.distributed import World

SUMMED = 1 << 22  # numbers that processes exchange at once
Packed = tuple[UInt8[np.ndarray, " n"], Int32[np.ndarray, " m"]]  # classes of each patch, entries of all


@dataclass(frozen=True)
class SoftLabels:
    """Of P patches, of all processes: 8 bytes a patch and 4 for each class in it, where every count would take 2 · C.

    Attributes:
        columns: C, how many classes there are.
        starts: `[P + 1]`; patch i owns entries starts[i] to starts[i + 1].
        entries: class · 2^16 + pixels, by class.
    """

    columns: int
    starts: Int64[np.ndarray, " P+1"]
    entries: Int32[np.ndarray, " m"]

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def labelled(self) -> Bool[np.ndarray, " P"]:
        """Which patches have a pixel that counts."""
        return self.starts[1:] > self.starts[:-1]

    def counts(self, patches: Int[np.ndarray, " n"]) -> Int32[np.ndarray, "n C"]:
        """Pixels of each class in these patches."""
        firsts = self.starts[patches]
        lengths = self.starts[patches + 1] - firsts
        ends = lengths.cumsum()
        within = np.arange(lengths.sum()) - np.repeat(ends - lengths, lengths)
        entries = self.entries[np.repeat(firsts, lengths) + within]
        out = np.zeros((len(patches), self.columns), np.int32)
        out[np.repeat(np.arange(len(patches)), lengths), entries >> 16] = entries & 0xFFFF
        return out


def packed(counts: Int[np.ndarray, "n C"]) -> Packed:
    """The counts of a photo's patches without their zeros."""
    patch, label = counts.nonzero()
    entries = (label << 16) + counts[patch, label]
    return np.bincount(patch, minlength=len(counts)).astype(np.uint8), entries.astype(np.int32)


def soft_labels(own: Mapping[int, Packed], photos: int, each: int, columns: int, world: World) -> SoftLabels:
    """Those of `photos` photos with `each` patches, of which this process brings its own by their number."""
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
    """Put into their places the numbers of the other processes, which are zero here."""
    if world.size == 1:
        return
    for first in range(0, len(numbers), SUMMED):
        part = numbers[first : first + SUMMED]
        part[:] = world.sum(torch.from_numpy(part.astype(np.int32)).to(world.device)).cpu().numpy()
