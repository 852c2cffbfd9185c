"""Which photos an example shows: they are spread evenly over a split, never picked by how good they look."""

from __future__ import annotations

from collections.abc import Sequence

from cribo.data.prepared.readers import Record


def spread(records: Sequence[Record], count: int, offset: int = 0) -> list[Record]:
    """Return at most `count` evenly spaced records, starting with number `offset`."""
    count = min(count, len(records) - offset)
    return [records[offset + i * (len(records) - offset) // count] for i in range(count)]
