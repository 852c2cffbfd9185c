"""Storage for features: in memory, or in a file if they would exceed the memory they may use."""

from __future__ import annotations

import os
import tempfile

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from cribo.evaluation.harness.errors import EvaluationError


def feature_rows(rows: int, width: int, memory_gb: float) -> Float[Tensor, "rows width"]:
    """Return fp32 rows to be filled: in memory up to `memory_gb` (10^9 bytes), else in an unnamed file in $TMPDIR.

    The system keeps as much of the file in memory as it can spare. The file disappears with the process, however that ends.
    Its blocks are reserved at once, so that a full disk is an error here and not a crash later.

    Raises:
        EvaluationError: the disk has too little space.
    """
    size = 4 * rows * width
    if size <= memory_gb * 1e9:
        return torch.empty(rows, width)
    folder = tempfile.gettempdir()
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            raise EvaluationError(
                f"{size / 2**20:,.0f} MiB of features do not fit into {folder} ({error.strerror}): set TMPDIR to a larger "
                "disk, or raise compute.feature_memory_gb"
            ) from None
        return torch.from_numpy(np.memmap(file, np.float32, "r+", shape=(rows, width)))
