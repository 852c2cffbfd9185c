"""The processes of one training run: several started by torchrun, or a single one."""

from __future__ import annotations

import os
import re
import socket
import sys
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

# Messages of gloo and NCCL when the other end of a connection is gone.
LOST = re.compile(r"closed by peer|reset by peer|broken pipe|connection was likely closed|remote process exited", re.I)
_all_gather = getattr(dist, "all_gather_single", dist.all_gather_into_tensor)  # torch ≥ 2.13 has the first name
_PARALLEL: weakref.WeakSet[nn.Module] = weakref.WeakSet()  # modules that DDP has wrapped
TIMEOUT = timedelta(minutes=10)  # for a collective in training; longer than one process takes to save the state


class PeerLost(ConnectionError):
    """Another process of this run has ended."""


class AllStop(Exception):
    """Raised by all processes after the same step, so that none waits for another."""


@dataclass(frozen=True)
class World:
    """This process among all. `sum` and the gathers are collectives; with a single process they return their input."""

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
        """The `x` of all processes, of equal shape, concatenated along `dim` in order of rank."""
        return self.gather_all([x], [dim])[0]

    def gather_all(self, tensors: Sequence[Tensor], dims: Sequence[int]) -> list[Tensor]:
        """`gather` of several tensors, each along its own dimension, in one collective."""
        if self.size == 1:
            return list(tensors)
        order = sorted(range(len(tensors)), key=lambda i: -tensors[i].element_size())  # keeps each tensor aligned
        wire = torch.cat([tensors[i].contiguous().flatten().view(torch.uint8) for i in order])
        wire = F.pad(wire, (0, -len(wire) % 8))  # keeps the next process's part aligned
        every = wire.new_empty(self.size * len(wire))
        _all_gather(every, wire)
        out: dict[int, Tensor] = {}
        start = 0
        for i in order:
            x, dim = tensors[i], dims[i]
            end = start + x.numel() * x.element_size()
            parts = [row[start:end].view(x.dtype).view(x.shape) for row in every.view(self.size, -1)]
            out[i], start = torch.cat(parts, dim=dim), end
        return [out[i] for i in range(len(tensors))]

    def broadcast(self, x: Tensor, source: int) -> Tensor:
        """`x` of process `source`, written into the `x` of all other processes, which must have the same shape."""
        if self.size > 1:
            dist.broadcast(x, source)
        return x

    def gather_objects(self, item: object) -> list:
        """The `item` of each process in order of rank; any Python object, so keep it small."""
        if self.size == 1:
            return [item]
        items: list = [None] * self.size
        dist.all_gather_object(items, item)
        return items

    def any(self, flag: bool) -> bool:
        """Whether the flag is set on any process."""
        return bool(self.sum(torch.tensor(float(flag), device=self.device)) > 0)

    def barrier(self) -> None:
        """Wait for all processes."""
        if self.size > 1:
            dist.barrier()


def pick_device(wish: str) -> torch.device:
    """The device of this process for `auto`, `cpu` or `cuda`. Raises ValueError if a requested GPU is missing."""
    if wish == "cuda" and not torch.cuda.is_available():
        raise ValueError("compute.device is cuda and torch sees no GPU: set it to auto or cpu, or check the driver")
    if wish == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))


def data_parallel(module: nn.Module, world: World) -> nn.Module:
    """The module itself, or a wrapper that averages the gradients of its parameters over processes.

    After its first backward pass, DDP moves gradients to other buckets, and a gradient's place decides the order in which
    more than two processes are summed. A resumed training would have such a first pass where an uninterrupted one has none,
    and its last digits would differ. So the first pass is done here, with a stand-in for the module's forward; compile the
    module only afterwards.
    """
    if world.size == 1:
        return module
    parallel = DistributedDataParallel(module, gradient_as_bucket_view=True)  # avoids copying gradients to send them
    module.forward = lambda: sum(p.sum() for p in module.parameters() if p.requires_grad)
    parallel().backward()
    del module.forward
    module.zero_grad(set_to_none=True)
    _PARALLEL.add(parallel)
    return parallel


@contextmanager
def join_world(wish: str, timeout: timedelta = TIMEOUT) -> Iterator[World]:
    """Join the run that torchrun describes in the environment, and leave it at the end. A collective that takes longer than
    `timeout` fails.

    A process that fails prints its rank, host and error before it ends; torchrun then ends the others, which may be waiting
    for it in a collective. Raises PeerLost in a process that notices by itself that another is gone. When all processes
    stop together (SIGTERM, Ctrl-C, a loss that is not finite), only the main process prints a message.
    """
    device = pick_device(wish)
    size = int(os.environ.get("WORLD_SIZE", 1))
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if size == 1:
        yield World(0, 1, device)
        return
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, timeout=timeout, device_id=device if device.type == "cuda" else None)
    world = World(dist.get_rank(), size, device)
    me = f"process {world.rank} of {size} on {socket.gethostname()}"
    try:
        yield world
    except (AllStop, FloatingPointError):
        _leave()
        if not world.main:
            raise SystemExit(1) from None
        raise
    except Exception as error:  # the group is not taken down here: with a dead member, that could wait forever
        if isinstance(error, RuntimeError) and LOST.search(str(error)):  # a broken pipe of our own is no RuntimeError
            raise PeerLost(f"{me} has lost its peers: the first of them to fail says why") from None
        print(f"{me} stops: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        raise
    _leave()


def _leave() -> None:
    """Take the process group down, after releasing DDP's references to it even if the wrapped modules are still in use.

    If DDP's reference were the last, releasing it would wait for gloo's threads while holding Python's lock, and such a
    thread may itself wait for that lock to free a tensor: a deadlock (pytorch/pytorch#56297). Python's own reference to a
    group is released without holding the lock.
    """
    for parallel in _PARALLEL:
        del parallel.reducer, parallel.logger
    _PARALLEL.clear()
    dist.destroy_process_group()
