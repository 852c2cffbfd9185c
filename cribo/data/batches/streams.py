"""The random streams of a pretraining: what is drawn for one thing says nothing of another.

Everything random is a function of (seed, stream, epoch or step, …), so restarts, processes and workers change nothing.
"""

from __future__ import annotations

import numpy as np

ORDER, VIEWS, DROP_PATH, MASKING, LOCAL_CROPS, LOCAL_DROP_PATH = range(6)


def seed_of(*stream: int) -> int:
    """A seed of 32 bits, for torch, of the stream with these numbers."""
    return int(np.random.SeedSequence(stream).generate_state(1)[0])
