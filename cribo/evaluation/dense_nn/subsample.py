"""Which training images a reduced memory holds."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int


def draws(images: int, factor: int, runs: int, seed: int) -> list[Int[np.ndarray, " n"]]:
    """For each run, draw ⌈images / factor⌉ images uniformly without replacement; return their indices, ascending.

    Factor 1 keeps every image and therefore has a single run. The random stream of a draw depends only on
    (seed, factor, run), so other factors or more runs leave existing draws unchanged.
    """
    if factor == 1:
        return [np.arange(images)]
    size = -(-images // factor)
    return [np.sort(np.random.default_rng([seed, factor, run]).choice(images, size, replace=False)) for run in range(runs)]
