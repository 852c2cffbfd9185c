"""Independent random streams of a pretraining run: draws for one purpose say nothing about those for another.

Everything random is a function of (seed, stream, epoch or step, …), so restarts, processes and workers change nothing.
"""

from __future__ import annotations

import numpy as np

ORDER, VIEWS, DROP_PATH, MASKING, LOCAL_CROPS, LOCAL_DROP_PATH = range(6)


def seed_of(*stream: int) -> int:
    """A 32-bit seed for torch, derived from the numbers that identify a stream."""
    return int(np.random.SeedSequence(stream).generate_state(1)[0])
