"""The memory bank spread over P processes: each holds every P-th slot and searches it for the objects of all processes.

Each process keeps 1/P of the memory and does 1/P of the search. The answer is that of a single bank, except for near-ties
if the search rounds. Similarities are exact. Of equal keys, the one in the first slot wins (with `fused`, the first among
those that the processes found). The winner's vectors travel as a sum to which all other processes add zeros, which is exact
too.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Bool, Float, Int, Int64
from torch import Tensor

from cribo.method.memory_bank import MemoryBank, Neighbours, Search, push, retrieve
from cribo.method.world import World

# The slot dimension of each tensor of a bank.
SLOTS = {"units": 1, "norms": 1, "valid": 0, "image_ids": 0, "classes": 0}
AT_ONCE = 1 << 10  # slots gathered at a time when the whole bank is assembled


@dataclass
class ShardedBank:
    """Slots rank, rank + P, rank + 2P, … of a bank of `shard.images · P` images.

    The i-th image ever pushed lies in slot i mod S of the whole bank and, as P divides S, always on process i mod P. There
    it takes the next place of the ring buffer, so a shard is an ordinary memory bank.
    """

    shard: MemoryBank
    world: World
    pushed: int = 0

    @property
    def images(self) -> int:
        """S, the number of images that fit in the whole bank."""
        return self.shard.images * self.world.size

    @classmethod
    def empty(cls, images: int, K: int, width: int, world: World, device: torch.device | str = "cpu") -> ShardedBank:
        """This process's part of a bank for `images` images. Raises ValueError unless P divides `images`."""
        if images % world.size:
            raise ValueError(
                f"a memory bank of {images} images cannot be spread over {world.size} processes: change memory_bank.images, "
                "the number of processes, or set compute.shard_bank to false"
            )
        return cls(MemoryBank.empty(images // world.size, K, width, device), world)


@torch.no_grad()
def retrieve_sharded(
    bank: ShardedBank,
    objects: Float[Tensor, "2 G K d"],
    valid: Bool[Tensor, "G K"],
    ours: slice,
    image_ids: Int[Tensor, " G"] | None = None,
    search: Search = "fp32",
) -> Neighbours:
    """`memory_bank.retrieve` in the whole bank, for objects that all processes hold; the answers for images `ours`."""
    world = bank.world
    local = retrieve(bank.shard, objects, valid, image_ids, search=search)
    local = replace(local, slots=local.slots * world.size + world.rank)
    similarity, slots = world.gather_all([local.similarity[None], local.slots[None]], [0, 0])
    best = similarity == similarity.amax(dim=0)
    winner = torch.where(best, slots, torch.iinfo(slots.dtype).max).argmin(dim=0)
    wins = winner == world.rank
    won = {}
    for field in fields(Neighbours):
        value = getattr(local, field.name)
        mask = wins[..., None] if value.ndim > wins.ndim else wins
        wire = torch.where(mask, value, torch.zeros_like(value))
        won[field.name] = world.sum(wire.to(torch.uint8) if wire.dtype == torch.bool else wire)[:, ours].to(value.dtype)
    return Neighbours(**won)


def push_sharded(
    bank: ShardedBank,
    objects: Float[Tensor, "2 G K d"],
    valid: Bool[Tensor, "G K"],
    image_ids: Int[Tensor, " G"],
    classes: Int64[Tensor, "G K W"] | None = None,
) -> None:
    """`memory_bank.push` of the whole batch: each process keeps the images whose slots are its own."""
    mine = slice((bank.world.rank - bank.pushed) % bank.world.size, None, bank.world.size)
    push(bank.shard, objects[:, mine], valid[mine], image_ids[mine], None if classes is None else classes[mine])
    bank.pushed += len(valid)


def whole(bank: ShardedBank) -> dict | None:
    """All slots in order, on the CPU, as a single bank would hold them. A collective; only process 0 receives the result."""
    keep, out = bank.world.rank == 0, {}
    for name, dim in SLOTS.items():
        parts = []
        for part in getattr(bank.shard, name).split(AT_ONCE, dim):
            rows = bank.world.gather(part.unsqueeze(dim + 1), dim + 1).flatten(dim, dim + 1)
            if keep:
                parts.append(rows.cpu())
        out[name] = torch.cat(parts, dim) if keep else None
    return {**out, "pushed": bank.pushed} if keep else None


def restore(bank: ShardedBank, saved: dict) -> None:
    """Load this process's slots of a whole bank, which any number of processes may have saved."""
    world = bank.world
    for name, dim in SLOTS.items():
        mine = torch.arange(world.rank, saved[name].shape[dim], world.size)
        getattr(bank.shard, name).copy_(saved[name].index_select(dim, mine))
    bank.pushed = saved["pushed"]
    bank.shard.pushed = len(range(world.rank, bank.pushed, world.size))
