"""Which rows of a padded tensor to compute: on a CPU those that count; on a GPU all, as counting makes the host wait."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Int
from torch import Tensor


def worth_computing(counts: Bool[Tensor, " n"]) -> Int[Tensor, " m"]:
    """Indices of the rows to compute, ascending; rows that do not count may be among them and change no result."""
    if counts.device.type == "cpu":
        return counts.nonzero()[:, 0]
    return torch.arange(len(counts), device=counts.device)
