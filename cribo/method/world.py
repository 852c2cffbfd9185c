"""What the method needs from the processes that share a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor


class World(Protocol):
    """Process `rank` of `size`; each holds equally many consecutive images of the batch.

    With a single process, all three methods return their input.
    """

    rank: int
    size: int

    def sum(self, x: Tensor) -> Tensor: ...

    def gather(self, x: Tensor, dim: int) -> Tensor: ...

    def gather_all(self, tensors: Sequence[Tensor], dims: Sequence[int]) -> list[Tensor]: ...
