"""The processes of one training run: started by torchrun, or one alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class World:
    """This process among all. `sum` and `gather` are collectives, and the identity when it is alone."""

    rank: int
    size: int
    device: torch.device

    @property
    def main(self) -> bool:
        """Whether this process writes files and log lines."""
        return self.rank == 0

    def sum(self, x: Tensor) -> Tensor:
        """The sum of `x` over all processes."""
        if self.size > 1:
            x = x.clone()
            dist.all_reduce(x)
        return x

    def gather(self, x: Tensor, dim: int) -> Tensor:
        """The `x` of all processes, of equal shape, put side by side along `dim` in order of rank."""
        if self.size == 1:
            return x
        wire = x.contiguous().to(torch.uint8) if x.dtype == torch.bool else x.contiguous()
        parts = [torch.empty_like(wire) for _ in range(self.size)]
        dist.all_gather(parts, wire)
        return torch.cat(parts, dim=dim).to(x.dtype)

    def any(self, flag: bool) -> bool:
        """Whether the flag is set on any process."""
        return bool(self.sum(torch.tensor(float(flag), device=self.device)) > 0) if self.size > 1 else flag

    def barrier(self) -> None:
        """Wait for all."""
        if self.size > 1:
            dist.barrier()


def pick_device(wish: str) -> torch.device:
    """`auto`, `cpu` or `cuda` → the device of this process. Raises ValueError when a wished GPU is not there."""
    if wish == "cuda" and not torch.cuda.is_available():
        raise ValueError("compute.device is cuda and torch sees no GPU: set it to auto or cpu, or check the driver")
    if wish == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))


@contextmanager
def join_world(wish: str) -> Iterator[World]:
    """Take part in the run that torchrun describes in the environment; leave it in the end."""
    device = pick_device(wish)
    size = int(os.environ.get("WORLD_SIZE", 1))
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if size == 1:
        yield World(0, 1, device)
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", device_id=device if device.type == "cuda" else None)
    try:
        yield World(dist.get_rank(), size, device)
    finally:
        dist.destroy_process_group()


def world_means(values: dict[str, Tensor], world: World) -> dict[str, float]:
    """Scalars averaged over all processes: the one place where the host waits for the device."""
    means = world.sum(torch.stack([v.float() for v in values.values()])) / world.size
    return dict(zip(values, means.tolist(), strict=True))
