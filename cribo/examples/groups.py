"""How many photos the object-level matches use, so that they form groups as large as those the model was trained with.

In training, photos of a batch share two things: the scaling of the clustering's cost (`clustering.normalise_images`) and the
objects that a cycle may return to (`matching.pool_images`). An example of fewer photos would show other clusters and
accept other neighbours than those the model learnt from.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, lcm

MOST = 256  # maximum number of query photos, whose objects may all be compared with one another; limits memory and time
POOL = 32  # pool size for a model that was trained without neighbours


@dataclass(frozen=True)
class Groups:
    """Numbers of photos. normalise: in a group that shares the scaling of a cost; pool: in a pool; queries: whole groups and
    whole pools; bank: photos whose objects are in the bank, whole groups. own: `normalise` and `pool` are as in training.
    """

    normalise: int
    pool: int
    queries: int
    bank: int
    own: bool


def groups(model: dict, photos: int, bank: int, available: int) -> Groups:
    """Return groups for at least `photos` queries and about `bank` other photos, out of `available` ones (two or more).

    `model`: the settings the model was trained with. If its groups do not fit into half of the photos, or exceed MOST, they
    become the largest that fit.
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
