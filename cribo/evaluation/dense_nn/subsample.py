"""Which training images a reduced memory holds."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int


def draws(images: int, factor: int, runs: int, seed: int) -> list[Int[np.ndarray, " n"]]:
    """Indices (ascending) of ⌈images / factor⌉ images, uniformly without replacement, once for each run.

    Factor 1 keeps every image, hence has a single run. The stream of a draw depends on (seed, factor, run) alone, so
    another list of factors or more runs changes no draw that was there before.
    """
    if factor == 1:
        return [np.arange(images)]
    size = -(-images // factor)
    return [np.sort(np.random.default_rng([seed, factor, run]).choice(images, size, replace=False)) for run in range(runs)]
