"""A check at every step that the loss is finite and no process was asked to stop, without waiting for the current step."""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

import torch
from torch import Tensor

from cribo.training.engine.distributed import World


class NonFinite(FloatingPointError):
    """A loss is not finite; raised by all processes at the same step."""

    def __init__(self, step: int, values: dict[str, float], batch: tuple | None):
        super().__init__(f"the loss is not finite at step {step} ({_listed(values)})")
        self.step, self.values, self.batch = step, values, batch


class _Pending(NamedTuple):
    step: int
    names: tuple[str, ...]
    values: Tensor  # on the host, once `ready` has happened
    ready: torch.cuda.Event | None
    batch: tuple | None


class Watch:
    """The scalars of the last steps, averaged over processes on the device and copied to the host in the background.

    On a GPU they are checked two steps late, when they have long arrived; on the CPU at once. As every process checks the
    same means of the same step at the same time, all stop together.
    """

    def __init__(self, world: World):
        self.world = world
        self.lag = 2 if world.device.type == "cuda" else 0
        self.pending: deque[_Pending] = deque()
        self.latest: dict[str, float] = {}
        self.stopping = False  # whether any process was asked to stop in the steps checked so far

    def add(self, step: int, values: dict[str, Tensor], batch: tuple | None, stop: bool = False) -> None:
        """Record the values of step `step` (the first is 1) and check those of `lag` steps earlier. Raises NonFinite.

        `stop` says that this process was asked to stop; it travels with the values at no extra cost.
        """
        scalars = [value.float() for value in values.values()]
        means = self.world.sum(torch.stack([*scalars, scalars[0].new_full((), float(stop))])) / self.world.size
        ready = None
        if means.is_cuda:
            host = torch.empty(means.shape, pin_memory=True)
            host.copy_(means, non_blocking=True)
            ready = torch.cuda.Event()
            ready.record()
            means = host
        self.pending.append(_Pending(step, tuple(values), means, ready, batch))
        while len(self.pending) > self.lag:
            self._look()

    def means(self) -> dict[str, float]:
        """The values of the last step. Waits for the device. Raises NonFinite."""
        while self.pending:
            self._look()
        return self.latest

    def _look(self) -> None:
        oldest = self.pending.popleft()
        if oldest.ready:
            oldest.ready.synchronize()
        *values, stop = oldest.values.tolist()
        self.stopping |= stop > 0
        self.latest = dict(zip(oldest.names, values, strict=True))
        if not all(map(math.isfinite, self.latest.values())):
            raise NonFinite(oldest.step, self.latest, oldest.batch)


def finite_weights(parameters: list[Tensor]) -> bool:
    """Whether every weight is finite. Waits for the device."""
    return bool(torch.stack(torch._foreach_norm(parameters, 1)).isfinite().all())


def _listed(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in values.items())
