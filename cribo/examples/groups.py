"""How many photos the object-level matches are made of, so that they fall into the groups in which the model was trained.

Photos of a training batch share two things: the scaling of the clustering's cost (`clustering.normalise_images`) and the
objects that a cycle may come back to (`matching.pool_images`). An example of fewer photos would show other clusters and
accept other neighbours than the model learnt from.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, lcm

MOST = 256  # photos whose objects are all compared with one another: bounds an example's memory and time
POOL = 32  # of a model that was trained without neighbours


@dataclass(frozen=True)
class Groups:
    """How many photos share a cost's scaling, make a pool, are asked, and have their objects kept: queries are whole groups
    and pools, the bank is whole groups. `own`: both are the training's.
    """

    normalise: int
    pool: int
    queries: int
    bank: int
    own: bool


def groups(model: dict, photos: int, bank: int, available: int) -> Groups:
    """Groups for at least `photos` queries and about `bank` other photos, of two or more that are `available`.

    `model`: settings of its training. Where its groups do not fit into half of the photos, or MOST, the largest that do.
    """
    normalise = model["clustering"].get("normalise_images", 1)
    pool = model["matching"].get("pool_images", 1) if "matching" in model else POOL
    most = min(available // 2, MOST)
    scaled = min(normalise, most)
    together = lcm(normalise, pool)
    queries = ceil(photos / together) * together
    if queries > most:
        queries = max(scaled, min(max(photos, pool), most) // scaled * scaled)
    shared = pool if queries % pool == 0 else queries
    kept = min(ceil(bank / scaled), (available - queries) // scaled) * scaled
    return Groups(scaled, shared, queries, kept, (scaled, shared) == (normalise, pool))
