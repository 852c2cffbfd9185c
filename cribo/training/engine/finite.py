"""Whether the loss is a number and all may go on: watched at every step, without waiting for the step just launched."""

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
    """The scalars of the last steps: averaged over processes on the device, copied to the host on the side.

    On a GPU they are looked at two steps late, when they have long arrived; on the CPU at once. As every process looks at
    the same step at the same time, and at the same means, all stop together.
    """

    def __init__(self, world: World):
        self.world = world
        self.lag = 2 if world.device.type == "cuda" else 0
        self.pending: deque[_Pending] = deque()
        self.latest: dict[str, float] = {}
        self.stopping = False  # whether any process was asked to stop, as far as the steps looked at

    def add(self, step: int, values: dict[str, Tensor], batch: tuple | None, stop: bool = False) -> None:
        """Note the values of step `step`, the first being 1, and look at those of `lag` steps before. Raises NonFinite.

        `stop` says that this process was asked to stop; it travels with the values, at no cost.
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
    """Whether every weight is a number. Waits for the device."""
    return bool(torch.stack(torch._foreach_norm(parameters, 1)).isfinite().all())


def _listed(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in values.items())
