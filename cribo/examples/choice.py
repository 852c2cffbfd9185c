"""Which photos an example shows: spread evenly over a split, never picked by how well they look."""

from __future__ import annotations

from collections.abc import Sequence

from cribo.data.prepared.readers import Record


def spread(records: Sequence[Record], count: int, offset: int = 0) -> list[Record]:
    """At most `count` records at equal distances, the first of them number `offset`."""
    count = min(count, len(records) - offset)
    return [records[offset + i * (len(records) - offset) // count] for i in range(count)]
