"""The pair of memory banks and the nearest neighbour in them (§3.2.2, Eq. 2).

Bank m keeps the teacher's objects of view m of the last S images, before the projection head. Slot s holds the same image
in both banks, and entry k of a slot the same object, so `jump` means reading the other bank at the same index.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int, Int64
from torch import Tensor

from cribo.method.oracle import WORDS
from cribo.method.precision import exact, products, unit
from cribo.method.rows import worth_computing

# Keys compared at once. Only a [queries, tile] block of similarities is ever held; on a CPU it should fit the cache.
TILES = {"cpu": 1024, "cuda": 8192}

# How products with keys are computed. In each case the similarities returned are exact in fp32.
Search = Literal["fp32", "half", "fused"]


@dataclass
class MemoryBank:
    """A ring buffer of S images with K entries each. Shapes are static, and adding images moves nothing.

    `pushed` counts every image ever added. It lives on the host, so the write position and the filled part are known
    without reading from the device.
    """

    units: Float[Tensor, "2 S K d"]  # direction of each object
    norms: Float[Tensor, "2 S K"]  # length of each object: object = unit · norm
    valid: Bool[Tensor, "S K"]  # whether the entry is an object at all
    image_ids: Int[Tensor, " S"]
    classes: Int64[Tensor, "S K W"]  # classes of each entry, for the oracle: a set stored as bits
    pushed: int = 0

    @classmethod
    def empty(cls, images: int, K: int, width: int, device: torch.device | str = "cpu") -> MemoryBank:
        """A bank for S = `images` images. Empty slots can never be retrieved; the released code fills them with noise."""
        return cls(
            torch.zeros(2, images, K, width, device=device),
            torch.zeros(2, images, K, device=device),
            torch.zeros(images, K, dtype=torch.bool, device=device),
            torch.full((images,), -1, dtype=torch.long, device=device),
            torch.zeros(images, K, WORDS, dtype=torch.long, device=device),
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
    classes: Int64[Tensor, "B K W"] | None = None,
) -> None:
    """Replace the oldest images by B ≤ S new ones. In a step, call it after `retrieve`, so that no query finds itself."""
    count = valid.shape[0]
    if count > bank.images:
        raise ValueError(
            f"a batch of {count} images does not fit in a memory bank of {bank.images}: raise memory_bank.images"
        )
    slots = (torch.arange(count, device=valid.device) + bank.pushed) % bank.images
    bank.units[:, slots] = unit(objects)
    bank.norms[:, slots] = exact(objects).norm(dim=-1)
    bank.valid[slots] = valid
    bank.image_ids[slots] = image_ids
    if classes is not None:
        bank.classes[slots] = classes
    bank.pushed += count


def ages(bank: MemoryBank, slots: Int[Tensor, "*n"], step_images: int) -> Int[Tensor, "*n"]:
    """Steps since the image in each slot was added, when every step adds `step_images`; the newest batch has age 1."""
    newest = bank.pushed - 1
    return (newest - slots) % bank.images // step_images + 1


def nearest(
    queries: Float[Tensor, "Q d"],
    keys: Float[Tensor, "M d"],
    valid: Bool[Tensor, " M"],
    tile: int | None = None,
    ids: tuple[Int[Tensor, " Q"], Int[Tensor, " M"]] | None = None,
    search: Search = "fp32",
    asked: Bool[Tensor, " Q"] | None = None,
) -> tuple[Float[Tensor, " Q"], Int[Tensor, " Q"]]:
    """Eq. 2: cosine to, and index of, the valid key most similar to each query; all vectors have length one.

    Keys are searched tile by tile with a running maximum. Of equal keys the first wins (with `fused`, any may win). With
    `ids` (of queries, of keys), keys with the query's own id are skipped. If no key is left, similarity is −inf and index 0.

    `fp32` is exact. `half` rounds vectors to half precision, sums products in fp32 and scores each tile's winner again in
    fp32. The similarity returned is exact for its key, and at most 2⁻⁹ below the best (four unit vectors, each rounded to
    11 bits). In practice the same key wins, except for near-ties below 10⁻⁴. `fused` searches in a GPU kernel, which may
    fall short by another 2⁻¹⁵, and scores only the overall winner again. It leaves out queries that are not `asked`, whose
    answers are arbitrary.
    """
    if search == "fused":
        return _nearest_by_kernel(queries, keys, valid, ids, valid.new_ones(len(queries)) if asked is None else asked)
    best = queries.new_full((queries.shape[0],), -torch.inf)
    index = torch.zeros(queries.shape[0], dtype=torch.long, device=queries.device)
    winners = _winners_of_tiles(queries, keys, valid, tile or TILES[keys.device.type], ids, search == "half")
    for similarity, where in winners:
        better = similarity > best
        best = torch.where(better, similarity, best)
        index = torch.where(better, where, index)
    return best, index


def _winners_of_tiles(
    queries: Tensor, keys: Tensor, valid: Tensor, tile: int, ids: tuple[Tensor, Tensor] | None, half: bool
) -> Iterator[tuple[Float[Tensor, " Q"], Int[Tensor, " Q"]]]:
    """Similarity and index of the best key of each tile."""
    rounded = queries.half()  # as fast as bf16, and no number here exceeds the range of half precision
    for rows, block, live in _tiles(keys, valid, tile):
        similarity = products(rounded, block.half().T) if half else queries @ block.T
        if live is not None:
            similarity.masked_fill_(~live, -torch.inf)
        if ids is not None:
            similarity.masked_fill_(ids[0][:, None] == ids[1][rows], -torch.inf)
        top, where = similarity.max(dim=1)
        if half:
            top = torch.where(top.isneginf(), top, (queries * block[where]).sum(dim=1))
        yield top, rows[where]


def _nearest_by_kernel(
    queries: Tensor, keys: Tensor, valid: Tensor, ids: tuple[Tensor, Tensor] | None, asked: Tensor
) -> tuple[Float[Tensor, " Q"], Int[Tensor, " Q"]]:
    """Similarity in fp32 and index of the winner that the kernel finds."""
    from cribo.method.fused_search import fused_nearest  # needs Triton, often missing on machines without a GPU

    index = fused_nearest(queries, asked, keys, valid, ids)
    allowed = valid[index] if ids is None else valid[index] & (ids[0] != ids[1][index])
    similarity = (queries * keys[index]).sum(dim=1).masked_fill(~allowed, -torch.inf)
    return similarity, index.masked_fill(~allowed, 0)


def _tiles(
    keys: Float[Tensor, "M d"], valid: Bool[Tensor, " M"], tile: int
) -> Iterator[tuple[Int[Tensor, " t"], Float[Tensor, "t d"], Bool[Tensor, " t"] | None]]:
    """Index, vector and validity of `tile` keys at a time. On a CPU it yields only valid keys, and None for validity."""
    all_rows = worth_computing(valid)
    for start in range(0, len(all_rows), tile):
        rows = all_rows[start : start + tile]
        if keys.device.type == "cpu":
            yield rows, keys[rows], None
        else:
            yield rows, keys[start : start + tile], valid[start : start + tile]


@dataclass(frozen=True)
class Neighbours:
    """What the banks return for each object of both views."""

    objects: Float[Tensor, "2 B K d"]  # nn(c_m) as it was stored in bank m, the target of the cross-image loss
    partners: Float[Tensor, "2 B K d"]  # jump(nn(c_m)): the same object seen in the other view, unit length
    found: Bool[Tensor, "2 B K"]  # False for invalid objects, and if the bank holds none; other fields are then arbitrary
    similarity: Float[Tensor, "2 B K"]  # cosine between object and neighbour
    slots: Int[Tensor, "2 B K"]  # slot of the neighbour's image in the bank
    classes: Int64[Tensor, "2 B K W"]  # the neighbour's classes, for the oracle


@torch.no_grad()
def retrieve(
    bank: MemoryBank,
    objects: Float[Tensor, "2 B K d"],
    valid: Bool[Tensor, "B K"],
    image_ids: Int[Tensor, " B"] | None = None,
    tile: int | None = None,
    search: Search = "fp32",
) -> Neighbours:
    """nn(c_m, M_m) for every valid object of both views, each in the bank of its own view (Eq. 2).

    If `image_ids` of the batch are given, entries of the same image still in the bank are skipped. `search`: see `nearest`.
    """
    views, batch, K, d = objects.shape
    filled = bank.filled
    rows = worth_computing(valid.flatten())
    keys, live = bank.units[:, :filled].flatten(1, 2), bank.valid[:filled].flatten()
    ids = None
    if image_ids is not None:
        ids = image_ids.repeat_interleave(K, output_size=batch * K)[rows], bank.image_ids[:filled].repeat_interleave(K)
    similarity = keys.new_full((views, batch * K), -torch.inf)
    index = torch.zeros(views, batch * K, dtype=torch.long, device=objects.device)
    neighbours = keys.new_zeros(views, batch * K, d)
    partners = torch.zeros_like(neighbours)
    if filled:
        for m, queries in enumerate(unit(objects).flatten(1, 2)[:, rows]):
            similarity[m, rows], where = nearest(queries, keys[m], live, tile, ids, search, valid.flatten()[rows])
            neighbours[m, rows] = keys[m][where] * bank.norms[m, :filled].flatten()[where][:, None]
            partners[m, rows] = keys[1 - m][where]
            index[m, rows] = where
    found = similarity.isfinite() & valid.flatten()
    return Neighbours(
        *(x.unflatten(1, (batch, K)) for x in (neighbours, partners, found, similarity, index // K)),
        bank.classes.flatten(0, 1)[index].unflatten(1, (batch, K)),
    )
