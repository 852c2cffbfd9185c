"""The pair of memory banks and the nearest neighbour in them (§3.2.2, Eq. 2).

Bank m keeps the teacher's objects of view m of the last S images, before the projection head. Slot s of both banks holds
the same image, and entry k of a slot the same object, so that `jump` is reading the other bank at the same index.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from cribo.method.objects import unit
from cribo.method.oracle import VOID

# Keys compared at once: a [queries, TILE] block of similarities is all that is ever held.
TILE = 8192


@dataclass
class MemoryBank:
    """A ring buffer of S images with K entries each: static shapes, nothing is moved when images are added.

    `pushed` counts every image ever added. It lives on the host, so neither the write position nor the filled part needs
    a look at the device.
    """

    units: Float[Tensor, "2 S K d"]  # direction of each object
    norms: Float[Tensor, "2 S K"]  # its length: object = unit · norm
    valid: Bool[Tensor, "S K"]  # whether the entry is an object at all
    image_ids: Int[Tensor, " S"]
    classes: UInt8[Tensor, "S K"]  # of each entry, for the oracle; VOID without one
    pushed: int = 0

    @classmethod
    def empty(cls, images: int, K: int, width: int, device: torch.device | str = "cpu") -> MemoryBank:
        """A bank for S = `images` images. Empty slots can never be retrieved, unlike the released code's noise."""
        return cls(
            torch.zeros(2, images, K, width, device=device),
            torch.zeros(2, images, K, device=device),
            torch.zeros(images, K, dtype=torch.bool, device=device),
            torch.full((images,), -1, dtype=torch.long, device=device),
            torch.full((images, K), VOID, dtype=torch.uint8, device=device),
        )

    @property
    def images(self) -> int:
        """S, the number of images that fit."""
        return self.valid.shape[0]

    @property
    def filled(self) -> int:
        """Number of slots that hold an image."""
        return min(self.pushed, self.images)


def push(
    bank: MemoryBank,
    objects: Float[Tensor, "2 B K d"],
    valid: Bool[Tensor, "B K"],
    image_ids: Int[Tensor, " B"],
    classes: UInt8[Tensor, "B K"] | None = None,
) -> None:
    """Add B ≤ S images in place of the oldest. Comes after `retrieve` in a step: a query never meets itself."""
    count = valid.shape[0]
    if count > bank.images:
        raise ValueError(
            f"a batch of {count} images does not fit in a memory bank of {bank.images}: raise memory_bank.images"
        )
    slots = (torch.arange(count, device=valid.device) + bank.pushed) % bank.images
    bank.units[:, slots] = unit(objects)
    bank.norms[:, slots] = objects.float().norm(dim=-1)
    bank.valid[slots] = valid
    bank.image_ids[slots] = image_ids
    if classes is not None:
        bank.classes[slots] = classes
    bank.pushed += count


def nearest(
    queries: Float[Tensor, "Q d"],
    keys: Float[Tensor, "M d"],
    valid: Bool[Tensor, " M"],
    tile: int = TILE,
    owners: tuple[Int[Tensor, " Q"], Int[Tensor, " M"]] | None = None,
) -> tuple[Float[Tensor, " Q"], Int[Tensor, " Q"]]:
    """Eq. 2: cosine to, and index of, the valid key most similar to each query; all vectors of length one.

    Exact, one tile of keys at a time with a running maximum; of equal keys the first wins. Where no key is valid the
    similarity is −inf and the index 0. With `owners`, the images of queries and keys, a query never meets its own image's.
    """
    best = queries.new_full((queries.shape[0],), -torch.inf)
    index = torch.zeros(queries.shape[0], dtype=torch.long, device=queries.device)
    for start in range(0, keys.shape[0], tile):
        similarity = queries @ keys[start : start + tile].T
        similarity.masked_fill_(~valid[start : start + tile], -torch.inf)
        if owners is not None:
            similarity.masked_fill_(owners[0][:, None] == owners[1][start : start + tile], -torch.inf)
        top, where = similarity.max(dim=1)
        better = top > best
        best = torch.where(better, top, best)
        index = torch.where(better, where + start, index)
    return best, index


@dataclass(frozen=True)
class Neighbours:
    """What the banks answer for each object of both views."""

    objects: Float[Tensor, "2 B K d"]  # nn(c_m) as it was stored in bank m, the target of the cross-image loss
    partners: Float[Tensor, "2 B K d"]  # jump(nn(c_m)): the same object seen in the other view, unit length
    found: Bool[Tensor, "2 B K"]  # False while the bank holds no object
    similarity: Float[Tensor, "2 B K"]  # cosine between object and neighbour
    slots: Int[Tensor, "2 B K"]  # slot of the neighbour's image in the bank
    classes: UInt8[Tensor, "2 B K"]  # its class, for the oracle


@torch.no_grad()
def retrieve(
    bank: MemoryBank,
    objects: Float[Tensor, "2 B K d"],
    tile: int = TILE,
    image_ids: Int[Tensor, " B"] | None = None,
) -> Neighbours:
    """nn(c_m, M_m) for every object of both views, each in the bank of its own view (Eq. 2).

    With the `image_ids` of the objects, what the bank still holds of the same images is left out.
    """
    K, filled = bank.valid.shape[1], bank.filled
    units = bank.units[:, :filled].flatten(1, 2)
    valid = bank.valid[:filled].flatten()
    if filled == 0:
        blank = torch.zeros_like(objects, dtype=torch.float32)
        flags = torch.zeros(objects.shape[:-1], dtype=torch.bool, device=objects.device)
        return Neighbours(blank, blank, flags, blank[..., 0] - torch.inf, flags.long(), flags.to(torch.uint8) + VOID)

    queries = unit(objects).flatten(1, 2)
    owners = None
    if image_ids is not None:
        owners = image_ids.repeat_interleave(objects.shape[2]), bank.image_ids[:filled].repeat_interleave(K)
    answers = [nearest(queries[m], units[m], valid, tile, owners) for m in range(2)]
    similarity, index = (torch.stack(pair) for pair in zip(*answers, strict=True))
    own = torch.stack([units[m, index[m]] for m in range(2)])
    norms = torch.stack([bank.norms[m, :filled].flatten()[index[m]] for m in range(2)])
    partners = torch.stack([units[1 - m, index[m]] for m in range(2)])
    shape = objects.shape[:-1]
    return Neighbours(
        (own * norms[..., None]).view(objects.shape),
        partners.view(objects.shape),
        similarity.isfinite().view(shape),
        similarity.view(shape),
        (index // K).view(shape),
        bank.classes[:filled].flatten()[index].view(shape),
    )
