"""What the method asks of the processes that share a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor


class World(Protocol):
    """Process `rank` of `size`, each with an equal run of consecutive images of the batch.

    Alone, all three give back what they get.
    """

    rank: int
    size: int

    def sum(self, x: Tensor) -> Tensor: ...

    def gather(self, x: Tensor, dim: int) -> Tensor: ...

    def gather_all(self, tensors: Sequence[Tensor], dims: Sequence[int]) -> list[Tensor]: ...
