"""Which rows of a padded tensor to compute: those that count, wherever the host can learn their number in time."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor


def worth_computing(counts: Bool[Tensor, " n"]) -> Int[Tensor, " m"]:
    """Indices of the rows to compute, ascending: on a CPU only those that count; on a GPU all, as counting stalls the host.

    The rows that do not count change no result.
    """
    if counts.device.type == "cpu":
        return counts.nonzero()[:, 0]
    return torch.arange(len(counts), device=counts.device)


def counted_first(counts: Bool[Tensor, " n"]) -> Int[Tensor, " n"]:
    """A stable order of the rows, with those that count before the others."""
    place = torch.where(counts, counts.cumsum(0) - 1, counts.sum() - 1 + (~counts).cumsum(0))  # by counting, without a sort
    return torch.empty_like(place).scatter_(0, place, torch.arange(len(counts), device=counts.device))


@dataclass(frozen=True)
class Rows:
    """An order of all rows with those that count first, and their number, on its way to the host.

    Reading a number from a GPU makes the host wait for all work queued there. The copy of this number starts as soon as it
    is computed, and is read after more work was queued (the student's pass). The host may wait a little, the GPU never does.
    """

    order: Int[Tensor, " n"]
    number: Int[Tensor, ""]  # in the host's memory, once `arrived` has happened
    arrived: torch.cuda.Event | None

    @classmethod
    def of(cls, counts: Bool[Tensor, " n"]) -> Rows:
        """The rows for which `counts` is true."""
        number, arrived = counts.sum(), None
        if counts.is_cuda:
            host = torch.empty(number.shape, dtype=number.dtype, pin_memory=True)
            number, arrived = host.copy_(number, non_blocking=True), torch.cuda.Event()
            arrived.record()
        return cls(counted_first(counts), number, arrived)

    def indices(self) -> Int[Tensor, " m"]:
        """Indices of the rows that count, ascending. Waits for their number."""
        if self.arrived:
            self.arrived.synchronize()
        return self.order[: int(self.number)]
